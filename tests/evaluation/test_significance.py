"""Intervals and tests against known values, plain loops and simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as options
from hypothesis import strategies as st

from nlp_skills.evaluation.metrics import METRICS
from nlp_skills.evaluation.results import Interval, Prediction
from nlp_skills.evaluation.significance import DRAWN_AT_ONCE, RESAMPLES, difference, interval, mcnemar


def answers(count: int, right: float, seed: int) -> list[Prediction]:
    """Predictions of three labels that are right with the probability `right`."""
    chance = np.random.default_rng(seed)
    expected = [["a", "b", "c"][i] for i in chance.integers(0, 3, count)]
    is_right = chance.random(count) < right
    others = {"a": "b", "b": "c", "c": "a"}
    pairs = [(e, e if ok else others[e]) for e, ok in zip(expected, is_right, strict=True)]
    return [Prediction(id="", expected=e, predicted=p, correct=e == p) for e, p in pairs]


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
    rows = answers(37, 0.7, seed=1)
    chance = np.random.default_rng(13)
    draws = chance.integers(0, 37, size=(RESAMPLES, 37), dtype=np.int32)
    values = [METRICS[name].measure([rows[i] for i in draw]) for draw in draws]
    low, high = np.percentile(values, [2.5, 97.5])
    found = interval(name, rows)
    assert (found.value, found.low, found.high) == pytest.approx((METRICS[name].measure(rows), low, high))


@pytest.mark.parametrize("name", METRICS)
def test_a_difference_is_paired_row_by_row(name: str):
    a, b = answers(40, 0.6, seed=2), answers(40, 0.8, seed=2)
    draws = np.random.default_rng(13).integers(0, 40, size=(RESAMPLES, 40), dtype=np.int32)
    metric = METRICS[name]
    gains = [metric.measure([b[i] for i in draw]) - metric.measure([a[i] for i in draw]) for draw in draws]
    low, high = np.percentile(gains, [2.5, 97.5])
    found = difference(name, a, b)
    gain = metric.measure(b) - metric.measure(a)
    assert (found.value, found.low, found.high) == pytest.approx((gain, low, high))


@pytest.mark.parametrize("name", METRICS)
def test_equal_predictions_differ_by_nothing_and_two_ways_by_the_opposite(name: str):
    a, b = answers(50, 0.6, seed=3), answers(50, 0.9, seed=4)
    assert difference(name, a, a) == Interval(value=0, low=0, high=0)
    there, back = difference(name, a, b), difference(name, b, a)
    assert (back.value, back.low, back.high) == pytest.approx((-there.value, -there.high, -there.low))


@options(max_examples=10)
@given(name=st.sampled_from(sorted(METRICS)), seed=st.integers(0, 99))
def test_the_same_seed_gives_the_same_interval(name: str, seed: int):
    rows = answers(20, 0.5, seed=5)
    assert interval(name, rows, seed) == interval(name, rows, seed)


def test_many_rows_are_drawn_in_parts_that_make_the_same_whole():
    count = DRAWN_AT_ONCE // 300  # not a divisor of the number of samples
    rows = answers(count, 0.8, seed=6)
    draws = np.random.default_rng(13).integers(0, count, size=(RESAMPLES, count), dtype=np.int32)
    right = np.array([row.correct for row in rows])
    low, high = np.percentile([right[draw].mean() for draw in draws], [2.5, 97.5])
    found = interval("accuracy", rows)
    assert (found.low, found.high) == pytest.approx((low, high))


def test_models_that_answered_different_numbers_of_rows_are_not_compared():
    with pytest.raises(ValueError, match=r"answered \[3, 2\] rows"):
        difference("accuracy", answers(3, 0.5, seed=7), answers(2, 0.5, seed=7))


def test_right_and_wrong_throughout_leave_no_doubt_about_these_rows():
    for name in METRICS:
        assert interval(name, answers(40, 1, seed=8)) == Interval(value=1, low=1, high=1)
        if name != "token_f1":  # an article is no word
            assert interval(name, answers(40, 0, seed=8)) == Interval(value=0, low=0, high=0)


def test_an_interval_covers_the_truth_about_as_often_as_it_says():
    covered = 0
    for seed in range(200):
        found = interval("accuracy", answers(100, 0.8, seed))
        covered += found.low <= 0.8 <= found.high
    assert 180 <= covered <= 199  # 95 % of 200 is 190; its standard deviation is 3
