"""Metrics against scikit-learn's and SQuAD's own."""

import re
import string
from collections import Counter

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp_skills.evaluation.metrics import METRICS
from nlp_skills.evaluation.metrics.answers import normal, words
from nlp_skills.evaluation.metrics.classification import confusion, per_label
from nlp_skills.evaluation.results import Prediction
from nlp_skills.task.task import METRICS as METRICS_BY_TYPE

LABELS = st.sampled_from(["billing", "delivery", "returns", "正面"])
PAIRS = st.lists(st.tuples(LABELS, LABELS), min_size=1, max_size=60)
ANSWERS = st.text(max_size=20) | st.sampled_from(
    [
        "billing",
        "B-PER I-PER O",
        "O",
        '["Ada"]',
        "[]",
        '[{"text": "Ada", "type": "PER"}]',
        '{"to": "Ann", "n": [1]}',
        "{}",
    ]
)


def sides(pairs: list[tuple[str, str]]) -> tuple[list[str], list[str]]:
    return [e for e, _ in pairs], [p for _, p in pairs]


def predictions(pairs: list[tuple[str, str]]) -> list[Prediction]:
    return [Prediction(id="", expected=e, predicted=p, correct=e == p) for e, p in pairs]


def measure(name: str, *pairs: tuple[str, str]) -> float:
    return METRICS[name].measure(predictions(list(pairs)))


@given(pairs=PAIRS)
def test_accuracy_and_macro_f1_are_those_of_scikit_learn(pairs: list[tuple[str, str]]):
    from sklearn.metrics import accuracy_score, f1_score

    expected, predicted = sides(pairs)
    assert measure("accuracy", *pairs) == pytest.approx(accuracy_score(expected, predicted))
    reference = f1_score(expected, predicted, average="macro", zero_division=0)
    assert measure("macro_f1", *pairs) == pytest.approx(reference)


@given(pairs=PAIRS)
def test_the_table_of_labels_is_that_of_scikit_learn(pairs: list[tuple[str, str]]):
    from sklearn.metrics import precision_recall_fscore_support

    expected, predicted = sides(pairs)
    table = per_label(predictions(pairs))
    labels = sorted({*expected, *predicted})
    assert list(table) == labels
    reference = precision_recall_fscore_support(expected, predicted, labels=labels, zero_division=0)
    found = [(s.precision, s.recall, s.f1, s.support) for s in table.values()]
    assert np.array(found) == pytest.approx(np.array(reference).T)


@given(pairs=PAIRS)
def test_the_confusion_matrix_is_that_of_scikit_learn_without_its_zeros(pairs: list[tuple[str, str]]):
    from sklearn.metrics import confusion_matrix

    expected, predicted = sides(pairs)
    labels = [*sorted({*expected, *predicted}), "never"]  # scikit-learn warns of a single label
    reference = confusion_matrix(expected, predicted, labels=labels)
    table = confusion(predictions(pairs))
    for i, e in enumerate(labels):
        for j, p in enumerate(labels):
            assert table.get(e, {}).get(p, 0) == reference[i, j]
    assert all(count > 0 for row in table.values() for count in row.values())


def squad_normal(text: str) -> str:
    """From the official evaluation script of SQuAD 1.1 (Rajpurkar et al. 2016)."""
    text = "".join(c for c in text.lower() if c not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def squad_f1(expected: str, predicted: str) -> float:
    e, p = squad_normal(expected).split(), squad_normal(predicted).split()
    shared = sum((Counter(e) & Counter(p)).values())
    if not e or not p:
        return float(e == p)
    if shared == 0:
        return 0.0
    precision, recall = shared / len(p), shared / len(e)
    return 2 * precision * recall / (precision + recall)


ASCII = st.text(st.characters(max_codepoint=126), max_size=25) | st.sampled_from(
    ["The U.S. Army", "US army", "don't", "dont", "a", "1,000", "1000", "well-known", "an apple a day"]
)


@given(pairs=st.lists(st.tuples(ASCII, ASCII), min_size=1, max_size=10))
def test_english_answers_are_compared_as_squad_does(pairs: list[tuple[str, str]]):
    expected = [e for e, _ in pairs]
    assert [normal(text) for text in expected] == [squad_normal(text) for text in expected]
    reference = [squad_f1(e, p) for e, p in pairs]
    assert measure("token_f1", *pairs) == pytest.approx(sum(reference) / len(reference))
    same = [squad_normal(e) == squad_normal(p) for e, p in pairs]
    assert measure("exact_match", *pairs) == pytest.approx(sum(same) / len(same))


@pytest.mark.parametrize(
    ("expected", "predicted"),
    [
        ("是。", "是"),
        ("「台積電」", "台積電"),
        ("ＡＢＣ", "abc"),
        ("カタカナ", "ｶﾀｶﾅ"),
        ("The cat!", "cat"),
        ("“yes”", "yes"),
    ],
)
def test_punctuation_width_and_case_do_not_count(expected: str, predicted: str):
    assert measure("exact_match", (expected, predicted)) == measure("token_f1", (expected, predicted)) == 1


def test_scripts_without_blanks_are_compared_character_by_character():
    assert words("台積電 TSMC 漲 5%") == ["台", "積", "電", "tsmc", "漲", "5"]
    assert measure("token_f1", ("台積電", "台積")) == pytest.approx(0.8)
    assert measure("token_f1", ("おはよう", "おやすみ")) == pytest.approx(2 / 8)


ROWS = st.lists(st.tuples(ANSWERS, ANSWERS) | ANSWERS.map(lambda text: (text, text)), min_size=1, max_size=8)
ELSE = ("expected_calibration_error", "brier_score", "preference_accuracy", "bleu")
"""What scores decide and not the answers; and BLEU, whose smoothing can put a few longer wrong answers first."""


def described(pairs: list[tuple[str, str]]) -> list[Prediction]:
    """Rows with everything that a metric can ask for."""
    return [
        Prediction(
            id="",
            expected=expected,
            predicted=predicted,
            correct=expected == predicted,
            scores={expected: 0.25, predicted: 0.75, "chosen": 0.5, "rejected": 0.4},
            samples=[predicted] * 10,
            passed=[expected == predicted] * 10,
            judged=float(expected == predicted),
        )
        for expected, predicted in pairs
    ]


@given(pairs=ROWS)
def test_every_metric_lies_between_0_and_1_and_right_answers_are_the_best(pairs: list[tuple[str, str]]):
    rows, right = described(pairs), described([(expected, expected) for expected, _ in pairs])
    for name, metric in METRICS.items():
        if metric.applies(rows):
            assert (-1 if name == "matthews_correlation" else 0) <= metric.measure(rows) <= 1 + 1e-12
        if metric.applies(rows) and name not in ELSE:
            gain = metric.measure(right) - metric.measure(rows)
            assert (gain if metric.higher_is_better else -gain) >= -1e-12, name


@given(pairs=ROWS)
def test_what_a_row_contributes_is_the_same_beside_other_rows_and_adds_up_to_the_metric(
    pairs: list[tuple[str, str]],
):
    for name, metric in METRICS.items():
        rows = described(pairs)
        if metric.applies(rows):
            statistics = metric.statistics(described(pairs * 2))[: len(pairs)]
            assert metric.value(statistics.sum(axis=0)) == pytest.approx(metric.measure(rows), abs=1e-12), (
                name
            )
            many = np.stack([statistics.sum(axis=0)] * 3)
            assert metric.value(many).shape == (3,), name


def test_no_metric_applies_to_no_rows():
    assert [name for name, metric in METRICS.items() if metric.applies([])] == []


def test_every_metric_that_a_task_can_name_is_there():
    assert {name for names in METRICS_BY_TYPE.values() for name in names} == set(METRICS)


@pytest.mark.parametrize(
    ("expected", "predicted", "right"),
    [
        ('{"amount": -1.50, "to": "Ann"}', '{"to":"Ann","amount":-1.5}', 1.0),
        ('{"amount": -1.50}', '{"amount": 150}', 0.0),
        ('{"to": "the Bank"}', '{"to": "Bank"}', 0.0),
        ("[1, 2]", "[12]", 0.0),
        ('{"to": "Ann"}', '{"to": "Ann"', 0.0),
        ("[sic] The end.", "sic end", 1.0),
    ],
)
def test_json_matches_by_its_value_and_not_by_its_letters(expected: str, predicted: str, right: float):
    assert measure("exact_match", (expected, predicted)) == right
