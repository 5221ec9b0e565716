"""What holds for every metric, and those of labels against scikit-learn's."""

import csv
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp_skills.evaluation.metrics import METRICS
from nlp_skills.evaluation.metrics.calibration import reliability
from nlp_skills.evaluation.metrics.classification import confusion, per_label
from nlp_skills.evaluation.metrics.likelihood import LIKELIHOOD
from nlp_skills.evaluation.results import Prediction
from nlp_skills.task.task import LESS_IS_BETTER, TaskType
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


@settings(max_examples=40)
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


@settings(max_examples=40)
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


def test_tasks_and_metrics_say_the_same_of_which_less_is_better():
    asked = {name for names in METRICS_BY_TYPE.values() for name in names}
    assert set(LESS_IS_BETTER) == {name for name in asked if not METRICS[name].higher_is_better}


@settings(max_examples=50)
@given(pairs=ROWS)
def test_every_metric_lies_between_0_and_1_and_right_answers_are_the_best(pairs: list[tuple[str, str]]):
    rows, right = described(pairs), described([(expected, expected) for expected, _ in pairs])
    for name, metric in METRICS.items():
        if metric.applies(rows):
            assert (-1 if name == "matthews_correlation" else 0) <= metric.measure(rows) <= 1 + 1e-12
        if metric.applies(rows) and name not in ELSE:
            gain = metric.measure(right) - metric.measure(rows)
            assert (gain if metric.higher_is_better else -gain) >= -1e-12, name


@settings(max_examples=50)
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
    named = {name for names in METRICS_BY_TYPE.values() for name in names}
    assert named | set(LIKELIHOOD) == set(
        METRICS
    )  # plain text is judged by its likelihood, whatever the type


def banking77(shared_data: Path) -> list[Prediction]:
    """The test set with answers of a fallible model: by its number a row is right, or takes a neighbour's label."""
    with (shared_data / "classification" / "banking77_test.csv").open(encoding="utf-8", newline="") as stream:
        truth = [row["category"] for row in csv.DictReader(stream)]
    labels = sorted(set(truth))
    rows = []
    for number, label in enumerate(truth):
        place = labels.index(label)
        said = labels[(place + (0, 0, 0, 1, 7)[(number * 7919) % 5]) % len(labels)]
        sure = 0.2 + 0.79 * ((number * 104729) % 1000) / 1000
        rest = (1 - sure) / (len(labels) - 1)
        scores = {name: sure if name == said else rest for name in labels}
        rows.append(
            Prediction(id=str(number), expected=label, predicted=said, correct=label == said, scores=scores)
        )
    return rows


def test_on_banking77_every_figure_is_scikit_learns(shared_data: Path):
    from sklearn import metrics as reference

    rows = banking77(shared_data)
    expected, predicted = [row.expected for row in rows], [row.predicted for row in rows]
    labels = sorted(set(expected))
    probabilities = np.array([[(row.scores or {})[label] for label in labels] for row in rows])
    found = {name: METRICS[name].measure(rows) for name in METRICS_BY_TYPE[TaskType.CLASSIFICATION]}
    ece = found.pop("expected_calibration_error")
    assert found == pytest.approx(
        {
            "accuracy": reference.accuracy_score(expected, predicted),
            "macro_f1": reference.f1_score(expected, predicted, average="macro"),
            "micro_f1": reference.f1_score(expected, predicted, average="micro"),
            "weighted_f1": reference.f1_score(expected, predicted, average="weighted"),
            "balanced_accuracy": reference.balanced_accuracy_score(expected, predicted),
            "matthews_correlation": reference.matthews_corrcoef(expected, predicted),
            "brier_score": reference.brier_score_loss(
                expected, probabilities, labels=labels, scale_by_half=True
            ),
        },
        abs=1e-9,
    )
    right, sure = np.array(expected) == np.array(predicted), probabilities.max(axis=1)
    bins = np.digitize(sure, np.linspace(0, 1, 16)[1:-1], right=True)
    gaps = [abs(right[bins == b].mean() - sure[bins == b].mean()) * (bins == b).mean() for b in set(bins)]
    assert ece == pytest.approx(sum(gaps), abs=1e-9)
    assert [n for n, _, _ in reliability(rows)] == np.bincount(bins, minlength=15).tolist()


@settings(max_examples=40)
@given(pairs=PAIRS)
def test_averages_over_labels_are_those_of_scikit_learn(pairs: list[tuple[str, str]]):
    from sklearn import metrics as reference

    expected, predicted = sides(pairs)
    f1 = {
        f"{average}_f1": reference.f1_score(expected, predicted, average=average, zero_division=0)
        for average in ("micro", "macro", "weighted")
    }
    assert {name: measure(name, *pairs) for name in f1} == pytest.approx(f1)
    recalls = reference.recall_score(
        expected, predicted, average=None, labels=sorted(set(expected)), zero_division=0
    )
    assert measure("balanced_accuracy", *pairs) == pytest.approx(np.mean(recalls))
    matthews = (
        reference.matthews_corrcoef([*expected], [*predicted]) if len({*expected, *predicted}) > 1 else 0
    )
    assert measure("matthews_correlation", *pairs) == pytest.approx(matthews)
    assert measure("accuracy", *pairs) == pytest.approx(reference.accuracy_score(expected, predicted))


def test_a_sure_and_right_model_is_calibrated_and_a_sure_and_wrong_one_is_not():
    def row(expected: str, sure: float) -> Prediction:
        scores = {"a": sure, "b": 1 - sure}
        return Prediction(id="", expected=expected, predicted="a", correct=expected == "a", scores=scores)

    def both(rows: list[Prediction]) -> tuple[float, float]:
        return METRICS["expected_calibration_error"].measure(rows), METRICS["brier_score"].measure(rows)

    assert both([row("a", 1.0)]) == (0, 0)
    assert both([row("b", 1.0)]) == (1, 1)
    half = [row("a", 0.8), row("a", 0.8), row("a", 0.8), row("a", 0.8), row("b", 0.8)]
    assert both(half) == pytest.approx((0, 0.16))
    assert not METRICS["brier_score"].applies(
        [*half, Prediction(id="", expected="a", predicted="a", correct=True)]
    )
