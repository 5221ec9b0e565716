"""DATA-NEARDUP and near SPLIT-LEAK: exactly the planted rows, however the rows are divided."""

import csv
import json
import pickle
import random
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import given
from hypothesis import strategies as st
from row_families import found_rows, make_task, row, run_family

from nlp_skills.data.checks.near import NearRows
from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.data.similarity import jaccard, shingles
from nlp_skills.task.task import TaskType

WORDS = [f"{a}{b}" for a in "bdfglmnprst" for b in ("ana", "elo", "iru", "opa", "uke")]
COUNT = 12
TASK = make_task()


def sentence(seed: str, words: int = 30) -> str:
    """Words that no other seed gives in this order."""
    return " ".join(random.Random(seed).choices(WORDS, k=words))


def clean(side: str) -> list[Example]:
    return [row(sentence(f"{side}{n}")) for n in range(COUNT)]


def nearly(example: Example) -> Example:
    """The same with one more word and in capitals."""
    return row(example.input_text.upper() + " today!", example.output_text)


places = st.lists(st.integers(0, COUNT - 1), unique=True, max_size=5).map(sorted)


@given(places, st.integers(1, 4))
def test_exactly_the_rows_that_are_nearly_an_earlier_one_are_found(planted: list[int], parts: int):
    train = clean("train")
    rows = [*train, *(nearly(train[n]) for n in planted)]
    with TemporaryDirectory() as folder:
        family = run_family(NearRows, TASK, Path(folder), rows, clean("test"), parts=parts)
        found = family.findings()
    expected = {"DATA-NEARDUP": [f"train:{COUNT + 1 + n}" for n in range(len(planted))]}
    assert found_rows(found) == (expected if planted else {})
    assert [finding.rows[0].text.split(": ")[0] for finding in found] == [
        f"97% as data/train.jsonl:{n + 1}" for n in planted[:1]
    ]


@given(places, st.integers(1, 4))
def test_exactly_the_rows_that_nearly_stand_in_train_are_found(planted: list[int], parts: int):
    train, test = clean("train"), clean("test")
    for place in planted:
        test[place] = nearly(train[COUNT - 1 - place])
    with TemporaryDirectory() as folder:
        found = run_family(NearRows, TASK, Path(folder), train, [], test, parts=parts).findings()
    assert found_rows(found) == ({"SPLIT-LEAK": [f"test:{n + 1}" for n in planted]} if planted else {})
    assert {finding.level for finding in found} <= {"error"}


def find(
    folder: Path, *sides: list[Example], type: TaskType = TaskType.CLASSIFICATION
) -> dict[str, list[str]]:
    return found_rows(run_family(NearRows, make_task(type), folder, *sides).findings())


def test_the_very_same_input_is_left_to_the_exact_checks(tmp_path: Path):
    same = row(sentence("same"))
    assert find(tmp_path, [same, same], [same]) == {}


def test_an_exact_copy_of_a_near_duplicate_is_reported_once(tmp_path: Path):
    first = row(sentence("same"))
    assert find(tmp_path, [first, nearly(first), nearly(first)]) == {"DATA-NEARDUP": ["train:2"]}


def test_rows_of_one_group_belong_together(tmp_path: Path):
    text = sentence("news")
    rows = [row(f"Entity: {name}\nText: {text}", group="7") for name in ("Acme", "Bolt", "Corn")]
    assert find(tmp_path, rows, rows[:1], type=TaskType.ENTITY_CLASSIFICATION) == {}
    ungrouped = [row(f"Entity: {name}\nText: {text}") for name in ("Acme", "Bolt")]
    assert find(tmp_path, ungrouped) == {"DATA-NEARDUP": ["train:2"]}


def test_short_texts_of_one_template_are_not_the_same(tmp_path: Path):
    rows = [row(f"What is the exchange rate of {c} today?") for c in ("euros", "yen", "pounds")]
    assert find(tmp_path, [*rows, row("thanks a lot"), row("Thanks a lot!")]) == {}


def test_other_tools_or_another_system_prompt_make_another_input(tmp_path: Path):
    text = sentence("same")
    tools = [{"type": "function", "function": {"name": "f"}}]
    rows = [row(text), row(text.upper(), system="Translate."), row(text.title(), tools=tools)]
    assert find(tmp_path, rows) == {}


def test_a_question_about_the_same_passage_is_another_row(tmp_path: Path):
    passage = sentence("passage", 100)
    train = [row(f"{passage}\n\n{q}?", q) for q in ("who was it", "where was it")]
    test = [row(f"{passage}\n\nwhen was it?", "in June")]
    assert find(tmp_path, train, type=TaskType.QA) == {}
    [finding] = run_family(NearRows, make_task(TaskType.QA), tmp_path, train, [], test).findings()
    assert (finding.check, finding.level, finding.count) == ("SPLIT-LEAK", "warning", 1)
    assert "columns: {group:" in finding.fix


def test_chinese_is_compared_by_characters(tmp_path: Path):
    text = "這家餐廳的牛肉麵非常好吃，服務也很親切，下次還會再來，推薦給喜歡台灣小吃的朋友們。"
    assert find(
        tmp_path, [row(text), row(text + "讚"), row(text[:20] + "，但是等了太久，我們不會再來了。")]
    ) == {"DATA-NEARDUP": ["train:2"]}


def test_text_without_a_question_is_compared_itself(tmp_path: Path):
    texts = (sentence("a"), sentence("b"), sentence("a") + " more")
    rows = [Example(meta=Meta("a", "s"), messages=[Message("assistant", text)]) for text in texts]
    assert find(tmp_path, rows, type=TaskType.GENERATION) == {"DATA-NEARDUP": ["train:3"]}


def test_thousands_of_rows_of_one_template_are_all_found(tmp_path: Path):
    text = sentence("template", 40)
    rows = [row(f"{text} {n}") for n in range(2_000)]
    [finding] = run_family(NearRows, TASK, tmp_path, rows).findings()
    assert finding.count == 1_999


def test_on_real_texts_it_finds_what_comparing_each_with_each_finds(tmp_path: Path, shared_data: Path):
    path = shared_data / "classification" / "sms_spam_latin1.csv"
    with path.open(encoding="cp1252", newline="") as stream:
        texts = [line["v2"] for line in csv.DictReader(stream)][:1_500]
    sets = [shingles(text) for text in texts]
    seen: set[str] = set()
    expected = []
    for n, (text, own) in enumerate(zip(texts, sets, strict=True)):
        alike = (jaccard(own, other) >= 0.8 and text != texts[m] for m, other in enumerate(sets[:n]))
        if text not in seen and len(own) >= 3 and any(alike):
            expected.append(n + 1)
        seen.add(text)
    family = run_family(NearRows, TASK, tmp_path, [row(text) for text in texts], parts=3)
    assert isinstance(family, NearRows)
    assert [line for _, line in family.matched()["DATA-NEARDUP"]] == expected
    assert len(expected) == 10


def test_questions_about_the_passages_of_a_real_set_are_no_duplicates(tmp_path: Path, shared_data: Path):
    articles = json.loads((shared_data / "instruction_chat/drcd_dev_subset_zh_hant.json").read_text("utf-8"))
    rows = [
        row(f"{passage['context']}\n\n{question['question']}", question["answers"][0]["text"])
        for article in articles["data"]
        for passage in article["paragraphs"]
        for question in passage["qas"]
    ]
    found = run_family(NearRows, make_task(TaskType.QA), tmp_path, rows[::2], [], rows[1::2]).findings()
    # The same answer to nearly the same question about the same passage is a leak; another question is not.
    assert [(finding.check, finding.level, finding.count) for finding in found] == [
        ("DATA-NEARDUP", "warning", 6),
        ("SPLIT-LEAK", "error", 27),
        ("SPLIT-LEAK", "warning", 770),
    ]


def test_a_family_can_be_sent_to_another_process(tmp_path: Path):
    first = row(sentence("same"))
    family = run_family(NearRows, TASK, tmp_path, [first, nearly(first)])
    assert pickle.loads(pickle.dumps(family)).findings() == family.findings()


def test_without_the_data_extra_nothing_is_claimed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(__import__("sys").modules, "rensa", None)
    family = run_family(NearRows, TASK, tmp_path, [row(sentence("a"))], parts=2)
    assert family.findings() == []
    assert "--extra data" in family.not_run()["DATA-NEARDUP"]
