"""Exact match and token F1 beside SQuAD's official script, and MLQA's for Chinese, on real questions."""

import json
import re
import string
import sys
import unicodedata
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp_skills.data.format import detect_layout, to_example
from nlp_skills.data.sources.formats.squad import UNANSWERABLE, squad_rows
from nlp_skills.data.sources.source import Columns
from nlp_skills.evaluation.metrics import METRICS
from nlp_skills.evaluation.metrics.answers import is_match, normal, token_f1, words
from nlp_skills.evaluation.metrics.json_values import read_structure
from nlp_skills.evaluation.results import Prediction
from nlp_skills.task.task import Task, TaskType


def measure(name: str, *pairs: tuple[str, str]) -> float:
    return METRICS[name].measure(
        [Prediction(id="", expected=e, predicted=p, correct=False) for e, p in pairs]
    )


def squad_normal(text: str) -> str:
    """As the official evaluation script of SQuAD (Rajpurkar et al. 2016, 2018) does it."""
    text = "".join(c for c in text.lower() if c not in ASCII_PUNCTUATION)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


ASCII_PUNCTUATION = set(string.punctuation)
PUNCTUATION = {chr(i) for i in range(sys.maxunicode) if unicodedata.category(chr(i)).startswith("P")} | (
    ASCII_PUNCTUATION
)


def mlqa_normal(text: str) -> str:
    """As MLQA's script (Lewis et al. 2020) does it for Chinese: no articles, a character is a word."""
    text = "".join(c for c in text.lower() if c not in PUNCTUATION)
    return " ".join(re.sub(r"([一-龥])", r" \1 ", text).split())


def official_f1(expected: str, predicted: str, normalise: Callable[[str], str]) -> float:
    """Both scripts have the same F1; 2.0 gives all or nothing where one side is empty."""
    e, p = normalise(expected).split(), normalise(predicted).split()
    shared = sum((Counter(e) & Counter(p)).values())
    if not e or not p:
        return float(e == p)
    if shared == 0:
        return 0.0
    precision, recall = shared / len(p), shared / len(e)
    return 2 * precision * recall / (precision + recall)


def answered(number: int, text: str, other: str) -> str:
    """What a model might say, by the row's number: right, cut, longer, wrong, or right in other letters."""
    parts = text.split() if " " in text else list(text)
    blank = " " if " " in text else ""
    return (
        text,
        blank.join(parts[: max(1, len(parts) * 2 // 3)]),
        f"The {text}.",
        other,
        text.upper(),
        blank.join(reversed(parts)),
    )[number % 6]


def test_english_answers_are_judged_as_squads_own_script_judges_them(shared_data: Path):
    folder = shared_data / "instruction_chat"
    problems = (folder / "gsm8k_test.jsonl").read_text(encoding="utf-8").splitlines()
    texts = [json.loads(line)["answer"] for line in problems]
    texts += [
        row["output"] for row in json.loads((folder / "alpaca_en_demo.json").read_text(encoding="utf-8"))
    ]
    latin = [text for text in texts if not re.search(r"[\u0370-\u1dff\u3000-\ud7ff\uf900-\uffef]", text)]
    assert len(latin) > 2300
    for number, text in enumerate(latin):
        said = answered(number, text, latin[number - 1])
        assert token_f1(text, said) == pytest.approx(official_f1(text, said, squad_normal), abs=1e-9)
        if read_structure(text) is None:  # JSON matches by its value
            assert is_match(text, said) == (squad_normal(text) == squad_normal(said))


def drcd(shared_data: Path) -> list[tuple[str, list[str]]]:
    """The first right answer of each question, and the others."""
    file = shared_data / "instruction_chat" / "drcd_dev_subset_zh_hant.json"
    rows = list(squad_rows(json.loads(file.read_text(encoding="utf-8"))["data"]))
    task = Task.parse({"name": "a", "type": TaskType.QA, "goal": "g", "created": "now"}, "here")
    layout = detect_layout(rows, Columns(), TaskType.QA)
    examples = [
        to_example(row, layout, task=task, source="drcd", line=line) for line, row in enumerate(rows, start=1)
    ]
    return [(example.output_text, example.meta.answers or []) for example in examples]


def test_chinese_answers_are_judged_as_mlqas_script_judges_them_and_the_best_right_answer_counts(
    shared_data: Path,
):
    rows = drcd(shared_data)
    assert (len(rows), sum(bool(others) for _, others in rows)) == (1594, 346)
    predictions, f1, exact = [], [], []
    for number, (expected, others) in enumerate(rows):
        said = answered(number, (others or [expected])[0], rows[number - 1][0])
        row = Prediction(id="", expected=expected, answers=others, predicted=said, correct=False)
        predictions.append(row)
        # One thing is more lenient here: full-width letters and digits are the same as others.
        right, given_text = (
            [unicodedata.normalize("NFKC", t) for t in texts] for texts in ([expected, *others], [said])
        )
        given_text = re.sub(
            r"^The ", "", given_text[0]
        )  # SQuAD drops an English article, MLQA's Chinese does not
        f1.append(max(official_f1(text, given_text, mlqa_normal) for text in right))
        exact.append(any(mlqa_normal(text) == mlqa_normal(given_text) for text in right))
    assert METRICS["token_f1"].measure(predictions) == pytest.approx(sum(f1) / len(f1), abs=1e-9)
    assert METRICS["exact_match"].measure(predictions) == pytest.approx(sum(exact) / len(exact), abs=1e-9)


ASCII = st.text(st.characters(max_codepoint=126), max_size=25) | st.sampled_from(
    ["The U.S. Army", "US army", "don't", "dont", "a", "1,000", "1000", "well-known", "an apple a day"]
)


@given(pairs=st.lists(st.tuples(ASCII, ASCII), min_size=1, max_size=10))
def test_any_ascii_text_is_compared_as_squad_does(pairs: list[tuple[str, str]]):
    expected = [e for e, _ in pairs if not e.lstrip().startswith(("{", "["))]
    assert [normal(text) for text in expected] == [squad_normal(text) for text in expected]
    reference = [official_f1(e, p, squad_normal) for e, p in pairs]
    assert measure("token_f1", *pairs) == pytest.approx(sum(reference) / len(reference))


@pytest.mark.parametrize(
    ("expected", "predicted"),
    [
        ("是。", "是"),
        ("「台積電」", "台積電"),
        ("ＡＢＣ", "abc"),
        ("カタカナ", "ｶﾀｶﾅ"),
        ("The cat!", "cat"),
        ("５％", "5"),
    ],
)
def test_punctuation_width_and_case_do_not_count(expected: str, predicted: str):
    assert measure("exact_match", (expected, predicted)) == measure("token_f1", (expected, predicted)) == 1


def test_scripts_without_blanks_are_compared_character_by_character():
    assert words("台積電 TSMC 漲 5%") == ["台", "積", "電", "tsmc", "漲", "5"]
    assert measure("token_f1", ("台積電", "台積")) == pytest.approx(0.8)
    assert measure("token_f1", ("おはよう", "おやすみ")) == pytest.approx(2 / 8)


@pytest.mark.parametrize(
    ("predicted", "right"),
    [("", 1.0), ("unanswerable", 1.0), ("Unanswerable.", 1.0), ("it is unanswerable", 0.0)],
)
def test_no_answer_is_all_or_nothing_as_in_squad_2(predicted: str, right: float):
    pair = (UNANSWERABLE, predicted)
    assert (measure("exact_match", pair), measure("token_f1", pair)) == (right, right)
    assert token_f1("in Paris", UNANSWERABLE) == token_f1("in Paris", "") == 0


@pytest.mark.parametrize(
    ("expected", "predicted", "right"),
    [
        ('{"amount": -1.50, "to": "Ann"}', '{"to":"Ann","amount":-1.5}', 1.0),
        ('{"amount": -1.50}', '{"amount": 150}', 0.0),
        ('{"to": "the Bank"}', '{"to": "Bank"}', 0.0),
        ('{"paid": true}', '{"paid": 1}', 0.0),
        ('{"count": 1}', '{"count": 1.0}', 1.0),
        ("[1, 2]", "[12]", 0.0),
        ('{"to": "Ann"}', '{"to": "Ann"', 0.0),
        ("[sic] The end.", "sic end", 1.0),
        ("[" * 5000, "[" * 5000, 1.0),
    ],
    ids=str,
)
def test_json_matches_by_its_value_and_not_by_its_letters(expected: str, predicted: str, right: float):
    assert measure("exact_match", (expected, predicted)) == right
