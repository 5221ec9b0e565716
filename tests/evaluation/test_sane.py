"""A bad harness is told from a bad model."""

import pytest

from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.evaluation.results import Prediction
from nlp_skills.evaluation.sane import PROBES, check_sanity, probe_rows
from nlp_skills.task.task import Task, TaskType

LABELS = Task(name="news", type=TaskType.CLASSIFICATION, goal="g", labels=["a", "b"], created="now")
FACTS = Task(name="facts", type=TaskType.EXTRACTION, goal="g", created="now")
CALLS = Task(name="calls", type=TaskType.TOOL_USE, goal="g", created="now")
CALL = '{"name": "get_weather", "arguments": {"city": "Taipei"}}'


def rows(expected: str, *predicted: str) -> list[Prediction]:
    return [
        Prediction(id=f"r{n}", expected=expected, predicted=p, correct=p == expected)
        for n, p in enumerate(predicted)
    ]


@pytest.mark.parametrize(
    ("task", "metric", "found", "verdict", "unreadable"),
    [
        (LABELS, "accuracy", rows("a", *["a"] * 8, *["b"] * 12), "ok", 0.0),
        (LABELS, "accuracy", rows("a", *["a"] * 15, *["<|im_end|>"] * 5), "harness error", 0.25),
        (LABELS, "accuracy", rows("a", *["b"] * 20), "harness error", 0.0),
        (LABELS, "matthews_correlation", rows("a", *["b"] * 20), "harness error", 0.0),
        (
            LABELS,
            "matthews_correlation",
            [*rows("a", *["b"] * 10), *rows("b", *["a"] * 10)],
            "harness error",
            0.0,
        ),
        (LABELS, "accuracy", rows("a", *["b"] * 9), "cannot tell", 0.0),
        (FACTS, "exact_match", rows('{"x": 1}', *['{"x": 1}'] * 8, *['{"x": 2}'] * 12), "ok", 0.0),
        (FACTS, "exact_match", rows('{"x": 1}', *['{"x": 1}'] * 14, *['{"x": '] * 6), "harness error", 0.3),
        (CALLS, "call_accuracy", rows(CALL, *[CALL] * 14, *["I cannot do that."] * 6), "ok", 0.0),
        (CALLS, "call_accuracy", rows(CALL, *[CALL] * 14, *[CALL[:40]] * 6), "harness error", 0.3),
    ],
)
def test_answers_that_nobody_can_read_and_no_right_one_are_the_harness(
    task: Task, metric: str, found: list[Prediction], verdict: str, unreadable: float
) -> None:
    sane = check_sanity(task, metric, found)
    assert (sane.verdict, sane.unreadable) == (verdict, unreadable)


def test_a_tuned_model_that_knows_none_of_its_training_rows_was_asked_otherwise_than_it_was_trained() -> None:
    test, known = rows("a", *["a"] * 3, *["b"] * 27), rows("a", *["b"] * 12)
    sane = check_sanity(LABELS, "accuracy", test, known)
    assert (sane.verdict, sane.known, sane.known_right) == ("harness error", 12, 0)
    assert "not those of the training" in sane.reason
    assert check_sanity(LABELS, "accuracy", test, rows("a", *["b"] * 11, "a")).verdict == "ok"


def test_texts_whose_probability_is_judged_are_right_in_no_sense_and_no_fault() -> None:
    texts = [
        Prediction(id=f"r{n}", expected="text", predicted="", correct=False, log_prob=-4.0, tokens=2)
        for n in range(20)
    ]
    assert check_sanity(LABELS, "bits_per_byte", texts).verdict == "ok"


def test_the_known_rows_are_spread_over_all_and_the_same_every_time() -> None:
    train = [
        Example(meta=Meta(id=str(n), source="s"), messages=[Message("assistant", "x")]) for n in range(60)
    ]
    assert [row.meta.id for row in probe_rows(train)] == [str(n) for n in range(0, 60, 60 // PROBES)]
    assert probe_rows(train[:5]) == train[:5]
