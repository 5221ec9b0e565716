"""Intervals and tests against known values, plain loops and 1,000 simulated sets."""

from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy.stats import binom, bootstrap, fisher_exact

from nlp_skills.evaluation.metrics import METRICS
from nlp_skills.evaluation.resampling import DRAWN_AT_ONCE
from nlp_skills.evaluation.results import CallMarks, Prediction
from nlp_skills.evaluation.significance import (
    apart,
    bonett_price,
    difference,
    holm,
    interval,
    mcnemar,
    paired_test,
    share,
)

LABELS = ("a", "b", "c")
SHARES = ("accuracy", "exact_match")
"""Metrics of rows that are right or wrong; the others are bootstrapped."""
OTHERS = ("macro_f1", "token_f1")


def row(expected: str, predicted: str) -> Prediction:
    return Prediction(id="", expected=expected, predicted=predicted, correct=expected == predicted)


def answers(count: int, right: float, seed: int) -> list[Prediction]:
    """Predictions of three labels that are right with the probability `right`."""
    chance = np.random.default_rng(seed)
    expected = chance.integers(0, 3, count)
    is_right = chance.random(count) < right
    return [
        row(LABELS[e], LABELS[e if ok else (e + 1) % 3]) for e, ok in zip(expected, is_right, strict=True)
    ]


def two_models(count: int, seed: int) -> tuple[list[Prediction], list[Prediction]]:
    """Two equally good models: the same easy and hard rows, right on their own."""
    chance = np.random.default_rng(seed)
    expected = chance.integers(0, 3, count)
    right = chance.random((count, 2)) < chance.choice([0.5, 0.95], size=(count, 1))
    a, b = (
        [row(LABELS[e], LABELS[e if ok else (e + 1) % 3]) for e, ok in zip(expected, side, strict=True)]
        for side in right.T
    )
    return a, b


def test_the_interval_of_a_share_is_the_mid_p_interval_of_the_literature():
    # Newcombe 1998, Statistics in Medicine 17:857, table I, method 6 (mid-p): 81/263, 15/148, 0/20 and 1/29.
    known = {
        (81, 263): (0.2544, 0.3658),
        (15, 148): (0.0601, 0.1581),
        (0, 20): (0.0, 0.1391),
        (1, 29): (0.0017, 0.1585),
    }
    for (right, count), ends in known.items():
        found = share(right, count)
        assert found.value == right / count
        assert (found.low, found.high) == pytest.approx(ends, abs=5e-5)


@pytest.mark.parametrize(("count", "right"), [(20, 0.5), (50, 0.7), (100, 0.8), (200, 0.95), (500, 0.99)])
def test_an_interval_of_a_share_holds_the_truth_in_93_to_97_percent_of_1000_sets(count: int, right: float):
    drawn = np.random.default_rng(1).binomial(count, right, 1000)
    held = sum(share(int(k), count).low <= right <= share(int(k), count).high for k in drawn)
    assert 930 <= held <= 970


@pytest.mark.parametrize("count", [10, 30, 100, 400])
def test_an_interval_of_a_share_never_holds_the_truth_much_too_rarely(count: int):
    found = [share(k, count) for k in range(count + 1)]
    low, high = np.array([f.low for f in found]), np.array([f.high for f in found])
    for right in np.linspace(0.01, 0.99, 99):
        held = binom.pmf(np.arange(count + 1), count, right)[(low <= right) & (right <= high)].sum()
        assert held > 0.92


def test_a_bootstrap_interval_holds_the_truth_in_93_to_97_percent_of_1000_sets():
    chance = np.random.default_rng(2)
    right = np.array([0.8, 0.7, 0.9])
    truth = f1_of_many(right)
    held = 0
    for _ in range(1000):
        expected = chance.integers(0, 3, 60)
        ok = chance.random(60) < right[expected]
        rows = [
            row(LABELS[e], LABELS[e if good else (e + 1) % 3]) for e, good in zip(expected, ok, strict=True)
        ]
        found = interval("macro_f1", rows)
        held += found.low <= truth <= found.high
    assert 930 <= held <= 970


def f1_of_many(right: np.ndarray) -> float:
    """Macro F1 of endlessly many rows of three equally frequent labels; a wrong row gets the next label."""
    wrong_into = np.roll(1 - right, 1)
    return float((2 * right / (1 + right + wrong_into)).mean())


def test_an_interval_of_a_mean_is_scipys_bca():
    rows = [row("one two three four", "one two three four"[: 4 + n % 15]) for n in range(40)]
    values = METRICS["token_f1"].statistics(rows)[:, 0]
    known = bootstrap(
        (values,), np.mean, n_resamples=200_000, method="BCa", batch=2000, rng=np.random.default_rng(1)
    ).confidence_interval
    found = interval("token_f1", rows)
    assert found.value == pytest.approx(values.mean())
    assert (found.low, found.high) == pytest.approx((known.low, known.high), abs=0.006)


def test_right_throughout_on_few_rows_is_no_certainty():
    for name in (*SHARES, *OTHERS):
        found = interval(name, answers(40, 1, seed=8))
        assert (found.value, found.high) == (1.0, 1.0)
        assert found.low == share(40, 40).low == pytest.approx(0.05 ** (1 / 40))


@pytest.mark.parametrize(
    ("fixed", "broken", "p"),
    [
        (0, 0, 1.0),
        (5, 5, 1.0),
        (1, 0, 0.5),
        (5, 0, 1 / 2**5),
        (10, 2, 2 * (1 + 12 + 66 / 2) / 2**12),
        (2, 10, 2 * (1 + 12 + 66 / 2) / 2**12),
        (7, 6, 1 - binom.pmf(6, 13, 0.5)),
    ],
)
def test_mcnemars_mid_p_has_its_known_values(fixed: int, broken: int, p: float):
    assert mcnemar(fixed, broken) == pytest.approx(p)


def test_equal_models_differ_by_the_paired_test_in_4_to_6_percent_of_sets():
    chance = np.random.default_rng(3)
    for count, changed in ((100, 0.3), (300, 0.1), (1000, 0.1)):
        drawn = chance.multinomial(count, [changed / 2, changed / 2, 1 - changed], size=10_000)
        known = {(up, down): mcnemar(int(up), int(down)) < 0.05 for up, down in {(u, d) for u, d, _ in drawn}}
        false = sum(known[up, down] for up, down, _ in drawn)
        assert 400 <= false <= 600


def test_equal_models_differ_by_the_permutation_test_in_4_to_6_percent_of_sets():
    false = sum(paired_test("macro_f1", *two_models(60, seed)) < 0.05 for seed in range(1000))
    assert 40 <= false <= 60


@pytest.mark.parametrize(("up", "down"), [(0.1, 0.1), (0.12, 0.03), (0.04, 0.01)])
def test_an_interval_of_a_difference_holds_the_truth_in_93_to_97_percent_of_1000_sets(up: float, down: float):
    held = 0
    for fixed, broken, _ in np.random.default_rng(4).multinomial(200, [up, down, 1 - up - down], size=1000):
        found = bonett_price(int(fixed), int(broken), 200)
        held += found.low <= up - down <= found.high
    assert 930 <= held <= 970


def test_a_permutation_test_is_the_count_over_all_swaps():
    """Of eight rows all 256 swaps can be counted; the test draws some thousands of them."""
    a = [row("a", p) for p in "aabab"] + [row("b", p) for p in "bab"]
    b = [row("a", p) for p in "aaaaa"] + [row("b", p) for p in "bbb"]
    measure = METRICS["macro_f1"].measure
    own = measure(b) - measure(a)
    gaps = []
    for swap in product((False, True), repeat=8):
        first = [y if s else x for x, y, s in zip(a, b, swap, strict=True)]
        second = [x if s else y for x, y, s in zip(a, b, swap, strict=True)]
        gap = abs(measure(second) - measure(first))
        gaps.append(0.5 if gap == pytest.approx(own) else float(gap > own))
    assert paired_test("macro_f1", a, b) == pytest.approx(np.mean(gaps), abs=0.02)


@pytest.mark.parametrize("name", OTHERS)
def test_a_difference_is_paired_row_by_row(name: str):
    """Of two models that err on the same rows far less is unsure than of two that err each on their own."""
    a, other = answers(200, 0.7, seed=2), answers(200, 0.7, seed=3)
    b = [*a[:190], *[row(x.expected, x.expected) for x in a[190:]]]
    paired, apart_ = difference(name, a, b), difference(name, a, other)
    assert paired.high - paired.low < (apart_.high - apart_.low) / 2


@pytest.mark.parametrize("name", [*SHARES, *OTHERS])
def test_there_and_back_are_opposite_and_nothing_changed_is_no_certainty(name: str):
    a, b = answers(50, 0.6, seed=3), answers(50, 0.9, seed=4)
    there, back = difference(name, a, b), difference(name, b, a)
    assert (back.value, back.low, back.high) == pytest.approx(
        (-there.value, -there.high, -there.low), abs=0.01
    )
    assert paired_test(name, a, b) == pytest.approx(paired_test(name, b, a))
    assert difference(name, a, a) == bonett_price(0, 0, 50)
    assert paired_test(name, a, a) == 1


@pytest.mark.parametrize("name", [*SHARES, *OTHERS])
def test_the_same_answers_give_the_same_figures(name: str):
    rows, others = answers(20, 0.5, seed=5), answers(20, 0.7, seed=6)
    assert interval(name, rows) == interval(name, list(rows))
    assert paired_test(name, rows, others) == paired_test(name, list(rows), list(others))


def test_so_many_rows_that_they_are_drawn_in_parts_give_the_interval_of_the_normal_distribution():
    count = DRAWN_AT_ONCE // 300  # not a divisor of the number of samples
    rows = [row("one two", ("one two", "one", "two three")[n % 3]) for n in range(count)]
    values = METRICS["token_f1"].statistics(rows)[:, 0]
    half = 1.96 * values.std() / count**0.5
    found = interval("token_f1", rows)
    assert (found.low, found.high) == pytest.approx(
        (values.mean() - half, values.mean() + half), abs=half / 10
    )


def test_models_that_answered_different_numbers_of_rows_are_not_compared():
    for compare in (difference, paired_test):
        with pytest.raises(ValueError, match=r"answered \[3, 2\] rows"):
            compare("accuracy", answers(3, 0.5, seed=7), answers(2, 0.5, seed=7))


@pytest.mark.parametrize(("right", "other"), [(3, 9), (5, 5), (0, 4), (9, 2)])
def test_two_groups_are_told_apart_by_fishers_test_as_mid_p(right: int, other: int):
    rows, others = ([row("a", "a" if n < k else "b") for n in range(10)] for k in (right, other))
    exact: Any = fisher_exact([[right, 10 - right], [other, 10 - other]])
    p = apart("accuracy", rows, others)
    assert p < exact.pvalue or (right == other and p < 1)
    assert p == pytest.approx(apart("accuracy", others, rows))
    assert (p < 0.05) == ((right, other) in {(3, 9), (0, 4), (9, 2)})


def test_rows_that_do_not_count_make_no_interval_narrower_and_none_wider():
    """Three of a hundred rows have parameters: what three show is shown, also where a sample holds none of them."""

    def call(parameters: int) -> Prediction:
        made = CallMarks(
            wanted=True, made=True, right=True, parameters=parameters, right_parameters=parameters
        )
        return Prediction(id="", expected="", predicted="", correct=True, calls=made)

    few = [call(2) for _ in range(3)]
    among = [*few, *(call(0) for _ in range(97))]
    assert interval("parameter_accuracy", few) == interval("parameter_accuracy", among) == share(3, 3)
    assert difference("parameter_accuracy", among, among) == bonett_price(0, 0, 3)


@pytest.mark.parametrize("name", [*SHARES, *OTHERS])
def test_no_rows_are_no_figure(name: str):
    with pytest.raises(ValueError, match="of no rows has no interval"):
        interval(name, [])


def test_two_groups_of_so_many_rows_that_they_are_drawn_in_parts_are_told_apart():
    rows = [row("one two", "one two" if n % 2 else "one") for n in range(DRAWN_AT_ONCE // 600)]
    assert apart("token_f1", rows[:1000], rows[1000:]) > 0.9
    assert apart("token_f1", rows[1:1000:2], rows[1001:]) < 0.001


def test_two_groups_of_shares_of_words_are_told_apart_by_permutation():
    good, bad = ([row("one two", answer)] * 15 for answer in ("one two", "one"))
    assert apart("token_f1", good[:9] + bad[:6], bad[:9] + good[:6]) > 0.1
    assert apart("token_f1", good, bad) < 0.001


def test_holms_corrected_values_are_those_of_the_literature():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.6]) == [1.0, 1.0]
    assert holm([]) == []
