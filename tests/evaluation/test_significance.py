"""Intervals and tests against known values, plain loops and simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as options
from hypothesis import strategies as st

from nlp_skills.evaluation.metrics import METRICS
from nlp_skills.evaluation.significance import DRAWN_AT_ONCE, RESAMPLES, difference, interval, mcnemar


def answers(count: int, right: float, seed: int) -> tuple[list[str], list[str]]:
    """Labels, and predictions that are right with the probability `right`."""
    chance = np.random.default_rng(seed)
    expected = [["a", "b", "c"][i] for i in chance.integers(0, 3, count)]
    is_right = chance.random(count) < right
    others = {"a": "b", "b": "c", "c": "a"}
    return expected, [e if ok else others[e] for e, ok in zip(expected, is_right, strict=True)]


@pytest.mark.parametrize(
    ("fixed", "broken", "p"),
    [
        (0, 0, 1.0),
        (5, 5, 1.0),
        (1, 0, 1.0),
        (5, 0, 2 / 2**5),
        (6, 0, 2 / 2**6),
        (10, 2, 2 * (1 + 12 + 66) / 2**12),
        (2, 10, 2 * (1 + 12 + 66) / 2**12),
        (9, 1, 2 * (1 + 10) / 2**10),
    ],
)
def test_mcnemars_exact_test_has_its_known_values(fixed: int, broken: int, p: float):
    assert mcnemar(fixed, broken) == pytest.approx(p)


@pytest.mark.parametrize("name", METRICS)
def test_an_interval_is_that_of_a_plain_loop(name: str):
    expected, predicted = answers(37, 0.7, seed=1)
    chance = np.random.default_rng(13)
    draws = chance.integers(0, 37, size=(RESAMPLES, 37), dtype=np.int32)
    values = [METRICS[name]([expected[i] for i in draw], [predicted[i] for i in draw]) for draw in draws]
    low, high = np.percentile(values, [2.5, 97.5])
    found = interval(name, expected, predicted)
    assert (found.value, found.low, found.high) == pytest.approx(
        (METRICS[name](expected, predicted), low, high)
    )


@pytest.mark.parametrize("name", METRICS)
def test_a_difference_is_paired_row_by_row(name: str):
    expected, a = answers(40, 0.6, seed=2)
    _, b = answers(40, 0.8, seed=2)
    draws = np.random.default_rng(13).integers(0, 40, size=(RESAMPLES, 40), dtype=np.int32)
    metric = METRICS[name]

    def gain(draw: np.ndarray) -> float:
        truth = [expected[i] for i in draw]
        return metric(truth, [b[i] for i in draw]) - metric(truth, [a[i] for i in draw])

    low, high = np.percentile([gain(draw) for draw in draws], [2.5, 97.5])
    found = difference(name, expected, a, b)
    assert found == pytest.approx((metric(expected, b) - metric(expected, a), low, high))


@pytest.mark.parametrize("name", METRICS)
def test_equal_predictions_differ_by_nothing_and_two_ways_by_the_opposite(name: str):
    expected, a = answers(50, 0.6, seed=3)
    _, b = answers(50, 0.9, seed=4)
    assert difference(name, expected, a, a) == (0.0, 0.0, 0.0)
    gain, low, high = difference(name, expected, a, b)
    assert difference(name, expected, b, a) == pytest.approx((-gain, -high, -low))


@options(max_examples=10)
@given(name=st.sampled_from(sorted(METRICS)), seed=st.integers(0, 99))
def test_the_same_seed_gives_the_same_interval(name: str, seed: int):
    expected, predicted = answers(20, 0.5, seed=5)
    assert interval(name, expected, predicted, seed) == interval(name, expected, predicted, seed)


def test_many_rows_are_drawn_in_parts_that_make_the_same_whole():
    count = DRAWN_AT_ONCE // 300  # not a divisor of the number of samples
    expected, predicted = answers(count, 0.8, seed=6)
    draws = np.random.default_rng(13).integers(0, count, size=(RESAMPLES, count), dtype=np.int32)
    right = np.array([e == p for e, p in zip(expected, predicted, strict=True)])
    low, high = np.percentile([right[draw].mean() for draw in draws], [2.5, 97.5])
    found = interval("accuracy", expected, predicted)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_right_and_wrong_throughout_leave_no_doubt_about_these_rows():
    for name in METRICS:
        sure = interval(name, ["a", "b"] * 20, ["a", "b"] * 20)
        assert (sure.value, sure.low, sure.high) == (1, 1, 1)
        wrong = interval(name, ["a", "b"] * 20, ["b", "a"] * 20) if name != "token_f1" else None
        assert wrong is None or (wrong.value, wrong.low, wrong.high) == (0, 0, 0)


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    covered = 0
    for seed in range(200):
        expected, predicted = answers(100, 0.8, seed)
        found = interval("accuracy", expected, predicted)
        covered += found.low <= 0.8 <= found.high
    assert 180 <= covered <= 199  # 95 % of 200 is 190; its standard deviation is 3
