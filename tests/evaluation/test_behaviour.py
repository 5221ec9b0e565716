"""Behaviour tests: how inputs are changed, and which changes of the answers are failures."""

from __future__ import annotations

from pathlib import Path
from random import Random
from typing import Any

import pytest

from nlp_skills.base_model import BaseModelFiles
from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.errors import NotValid
from nlp_skills.evaluation.behaviour.changing import changed
from nlp_skills.evaluation.behaviour.check_behaviour import check_behaviour
from nlp_skills.evaluation.behaviour.judging import judge, rows_of
from nlp_skills.evaluation.behaviour.record import BehaviourResult, Flip
from nlp_skills.evaluation.behaviour.scripts import TO_SIMPLIFIED, TO_TRADITIONAL, other_script
from nlp_skills.evaluation.behaviour.tests_file import BehaviourTests, Change, Invariance, default_tests
from nlp_skills.evaluation.marking import mark
from nlp_skills.evaluation.predictors import Answered, Decoding, predict
from nlp_skills.evaluation.predictors.local import load_local
from nlp_skills.evaluation.results import Interval
from nlp_skills.evaluation.significance import share
from nlp_skills.records import to_yaml, write_atomic
from nlp_skills.tables import show
from nlp_skills.task.task import Task, TaskType
from small_version import make_version

TASK = Task(
    created="2026-01-01T00:00:00Z", name="t", type=TaskType.CLASSIFICATION, goal="g", labels=["good", "bad"]
)


def row(id: str, text: str, label: str = "good", entity: str | None = None) -> Example:
    turns = [Message("system", "Good or bad?"), Message("user", text), Message("assistant", label)]
    return Example(meta=Meta(id=id, source="s", entity=entity), messages=turns)


def change(kind: Change, text: str, words: list[list[str]] | None = None) -> str:
    return changed(text, Invariance(name="x", change=kind, words=words or []), Random(1))


@pytest.mark.parametrize(
    ("kind", "text", "wanted"),
    [
        ("upper case", "Good food.", "GOOD FOOD."),
        ("lower case", "Good Food.", "good food."),
        ("punctuation", "Good food.", "Good food"),
        ("punctuation", "Good food", "Good food."),
        ("punctuation", "很好吃", "很好吃。"),
        ("punctuation", "很好吃！", "很好吃"),
        ("punctuation", "Really?", "Really?"),
        ("punctuation", "...", "..."),
        ("whitespace", "Good food", " Good  food "),
        ("width", "A1 餐廳", "Ａ１ 餐廳"),
        ("width", "Ａ１ 餐廳", "A1 餐廳"),
        ("script", "這家飯館很貴", "这家饭馆很贵"),
        ("script", "这家饭馆很贵", "這家飯館很貴"),
        ("script", "后面", "后面"),
        ("typos", "so it is", "so it is"),
        ("typos", "很好吃的餐廳", "很好吃的餐廳"),
    ],
)
def test_a_change_is_what_its_name_says(kind: Change, text: str, wanted: str) -> None:
    assert change(kind, text) == wanted


def test_a_typo_keeps_the_letters_of_every_word_and_its_ends() -> None:
    text = "The restaurant around the corner serves wonderful noodles"
    made = change("typos", text)
    assert made != text
    assert made == change("typos", text)
    for old, new in zip(text.split(), made.split(), strict=True):
        assert (sorted(old), old[0], old[-1]) == (sorted(new), new[0], new[-1])
    assert sum(a != b for a, b in zip(text.split(), made.split(), strict=True)) == 1


def test_words_of_a_group_stand_for_each_other_as_whole_words() -> None:
    assert change("words", "Paris, Parisian Paris", [["Paris", "London"]]) == "London, Parisian London"
    assert change("words", "London to Paris", [["Paris", "London"]]) == "Paris to London"
    assert change("words", "我在台北", [["台北", "高雄"]]) == "我在高雄"
    assert change("words", "Rome", [["Paris", "London"], ["Rome"]]) == "Rome"


def test_the_characters_of_both_scripts_are_pairs() -> None:
    assert len(TO_SIMPLIFIED) == len(TO_TRADITIONAL) > 250
    assert not TO_SIMPLIFIED.keys() & TO_TRADITIONAL.keys()
    for traditional, simplified in TO_SIMPLIFIED.items():
        assert other_script(traditional * 2) == simplified * 2
        assert other_script(simplified * 2) == traditional * 2
        assert simplified.encode("gb2312")
        assert traditional.encode("big5")


def test_only_the_last_question_is_changed_and_rows_without_a_change_are_left_out() -> None:
    tests = BehaviourTests.parse(
        {
            "invariance": [{"name": "case", "change": "upper case"}],
            "directional": [
                {"name": "praise", "add": ["I love it."], "at": "start", "label": "good", "must_not": "fall"}
            ],
            "minimum": [{"name": "plain", "rows": [{"input": "It is bad.", "expected": "bad"}]}],
        },
        "test",
    )
    rows = [row("a", "fine"), row("b", "FINE"), row("c", "Entity: tea\nText: cold", entity="tea")]
    case, praise, plain = rows_of(tests, rows, 13)
    assert [r.input_text for r in case.rows] == ["FINE", "Entity: tea\nText: COLD"]
    assert case.origins == [0, 2]
    assert [r.input_text for r in praise.rows] == [
        "I love it. fine",
        "I love it. FINE",
        "Entity: tea\nText: I love it. cold",
    ]
    assert [m.content for m in plain.rows[0].messages or []] == ["Good or bad?", "It is bad.", "bad"]


def test_another_name_for_the_entity_stands_in_both_its_places() -> None:
    test = Invariance(name="places", change="words", words=[["Paris", "London"]])
    rows = [row("a", "Entity: Paris\nText: Paris was cold", entity="Paris")]
    (asked,) = rows_of(BehaviourTests(invariance=[test]), rows, 13)
    assert [r.input_text for r in asked.rows] == ["Entity: London\nText: London was cold"]


def answered(label: str, good: float) -> Answered:
    return Answered(label, {"good": good, "bad": 1 - good})


def test_what_changes_that_should_not_is_counted_with_its_interval() -> None:
    tests = BehaviourTests.parse(
        {
            "invariance": [{"name": "case", "change": "upper case"}],
            "directional": [{"name": "praise", "add": ["Great!"], "label": "good", "must_not": "fall"}],
            "minimum": [{"name": "plain", "rows": [{"input": "bad", "expected": "bad"}]}],
        },
        "test",
    )
    rows = [row("a", "one"), row("b", "two"), row("c", "three", "bad")]
    before = mark(TASK, rows, [answered("good", 0.9), answered("good", 0.8), answered("good", 0.6)])
    case, praise, plain = rows_of(tests, rows, 13)
    after = mark(TASK, case.rows, [answered("good", 0.7), answered("bad", 0.4), answered("bad", 0.3)])
    found = judge(TASK, case, before, after)
    assert (found.count, found.failed, found.broken) == (3, 2, 1)
    assert found.rate == share(2, 3)
    assert found.flips == [
        Flip(id="b", input="two", changed="TWO", before="good", after="bad"),
        Flip(id="c", input="three", changed="THREE", before="good", after="bad"),
    ]
    after = mark(TASK, praise.rows, [answered("good", 0.85), answered("good", 0.6), answered("good", 0.9)])
    found = judge(TASK, praise, before, after)
    assert [(f.id, round(f.moved or 0, 6)) for f in found.flips] == [("b", -0.2)]
    found = judge(TASK, plain, before, mark(TASK, plain.rows, [answered("good", 0.9)]))
    assert (found.count, found.failed, found.flips[0].before, found.flips[0].after) == (1, 1, "bad", "good")


def usual(language: str, *, has_labels: bool) -> list[str]:
    return [test.name for test in default_tests(language, has_labels=has_labels).invariance]


def test_a_language_has_its_own_changes_and_answers_that_quote_their_input_only_blanks_and_marks() -> None:
    names = {language: usual(language, has_labels=True) for language in ("zh-Hant", "en", "de")}
    assert names == {
        "zh-Hant": ["whitespace", "punctuation", "width", "script", "names and places"],
        "en": ["whitespace", "punctuation", "typos", "upper case", "lower case", "names and places"],
        "de": ["whitespace", "punctuation", "typos", "upper case", "lower case"],
    }
    assert (
        usual("zh-Hant", has_labels=False) == usual("en", has_labels=False) == ["whitespace", "punctuation"]
    )


@pytest.fixture
def version(tmp_path: Path) -> Path:
    rows: list[dict[str, Any]] = [
        {"text": f"The weather in Paris was number {n} today.", "label": ["good", "bad"][n % 2]}
        for n in range(20)
    ]
    return make_version(tmp_path, TaskType.CLASSIFICATION, rows)


def test_the_usual_tests_are_written_once_and_the_same_seed_gives_the_same_record(
    version: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = check_behaviour(version, limit=6)
    assert found.tests_written
    assert BehaviourResult.load(version / "versions/v1/behaviour.json") == found
    assert (found.rows, {test.count for test in found.tests}) == (6, {6})
    again = check_behaviour(version, limit=6)
    assert again.tests == found.tests
    assert not again.tests_written
    show(again)
    assert "names and places" in capsys.readouterr().out


def test_a_test_that_cannot_be_is_named_with_its_place(version: Path) -> None:
    file = version / "configs" / "behaviour.yaml"
    phrase = {"name": "praise", "add": ["Great!"], "label": "goood", "must_not": "fall"}
    write_atomic(file, to_yaml({"directional": [phrase]}))
    with pytest.raises(NotValid, match=r"behaviour\.yaml: praise: there is no label 'goood' \(did you mean"):
        check_behaviour(version)
    write_atomic(file, to_yaml({"invariance": [{"name": "n", "change": "words", "words": [["one"]]}]}))
    with pytest.raises(NotValid, match="no group holds two words"):
        check_behaviour(version)
    plain = {"name": "plain", "rows": [{"input": "It is bad.", "expected": "badd"}]}
    write_atomic(file, to_yaml({"minimum": [plain]}))
    with pytest.raises(NotValid, match=r"plain: there is no label 'badd' \(did you mean"):
        check_behaviour(version)
    with pytest.raises(NotValid, match="limit is 0"):
        check_behaviour(version, limit=0)


def test_the_real_model_keeps_its_answer_to_a_question_with_a_blank_more(smollm2: BaseModelFiles) -> None:
    rows = [row("a", "This film is wonderful."), row("b", "The soup was cold and awful.", "bad")]
    tests = BehaviourTests(invariance=[Invariance(name="blanks", change="whitespace")])
    (asked,) = rows_of(tests, rows, 13)
    predictor = load_local(smollm2, None, "float32")
    how = Decoding(labels=["good", "bad"], batch_size=4)
    answers = predict(predictor, [*rows, *asked.rows], how)
    found = judge(TASK, asked, mark(TASK, rows, answers[:2]), mark(TASK, asked.rows, answers[2:]))
    assert (found.count, found.failed) == (
        2,
        sum(a.text != b.text for a, b in zip(answers[:2], answers[2:], strict=True)),
    )
    assert isinstance(found.rate, Interval)
