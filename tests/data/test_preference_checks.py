"""Pairs that prefer nothing, and pairs that prefer length."""

from pathlib import Path

import pytest
from check_families import chat, lines, make_task, over_rows, pair, real_examples
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest

from nlp_skills.data.checks.preference import Preferences, sign_test
from nlp_skills.data.example import Example

TASK = make_task("preference")
COUNT = 40
places = st.lists(st.integers(0, COUNT - 1), unique=True, min_size=1, max_size=5).map(sorted)


def clean() -> list[Example]:
    """The longer answer is the better one in every second pair."""
    return [pair(f"question {n}", "good" * (1 + n % 2), "bad" * (2 - n % 2)) for n in range(COUNT)]


def test_pairs_that_differ_and_are_balanced_pass() -> None:
    found = over_rows(Preferences, clean(), TASK)
    assert (found.findings(), found.not_run()) == ([], {})


@given(where=places, space=st.sampled_from(["", " ", "\n", "  \t"]))
def test_exactly_the_planted_equal_pairs_are_found(where: list[int], space: str) -> None:
    rows = clean()
    for n in where:
        rows[n] = pair(f"question {n}", "the same answer", f"the{space or ' '}same answer{space}")
    finding, *others = over_rows(Preferences, rows, TASK).findings()
    assert others == []
    assert (finding.check, finding.level, finding.count) == ("PREF-SAME", "error", len(where))
    assert lines(finding) == [n + 1 for n in where]
    assert ("white space" in finding.message) == bool(space)


def test_a_preference_for_length_is_told_with_its_share_ratio_and_chance() -> None:
    rows = [pair(f"q {n}", "x" * (20 if n < 30 else 10), "y" * (10 if n < 30 else 20)) for n in range(COUNT)]
    (finding,) = over_rows(Preferences, rows, TASK).findings()
    assert (finding.check, finding.level, finding.count) == ("PREF-LENGTH", "warning", 30)
    assert finding.message == (
        "The chosen answer is the longer one in 75% of 40 pairs of unequal length (in the median 2.00 times as long"
        " as the rejected one; by chance with a probability of 0.0011)."
    )
    assert [row.text for row in finding.rows] == [f"20 characters to 10: q {n}" for n in range(5)]


@given(
    order=st.permutations(range(COUNT)),
    equal=st.integers(0, COUNT),
    share=st.floats(0, 1),
    factor=st.integers(2, 9),
)
def test_exactly_the_pairs_whose_longer_answer_wins_are_counted(
    order: list[int], equal: int, share: float, factor: int
) -> None:
    """So many pairs are of one length, and in this share of the others the chosen answer is the longer one."""
    unequal = COUNT - equal
    planted = sorted(order[: round(share * unequal)])
    rows = []
    for n in range(COUNT):
        one, other = (factor, 1) if n in planted else (1, 1) if n in order[unequal:] else (1, factor)
        rows.append(pair(f"q {n}", "x" * 10 * one, "y" * 10 * other))
    findings = over_rows(Preferences, rows, TASK).findings()
    chance = binomtest(len(planted), unequal, 0.5, alternative="greater").pvalue if unequal else 1.0
    if chance >= 0.01 or len(planted) / unequal < 0.6:
        assert findings == []
        return
    (finding,) = findings
    assert (finding.check, finding.count) == ("PREF-LENGTH", len(planted))
    assert f" in {len(planted) / unequal:.0%} of {unequal} pair" in finding.message
    assert lines(finding) == [n + 1 for n in planted[:5]]


def test_a_preference_for_short_answers_and_one_by_chance_are_none() -> None:
    short = [pair(f"q {n}", "x" * 10, "y" * 20) for n in range(COUNT)]
    few = [pair(f"q {n}", "x" * 20, "y" * 10) for n in range(6)]
    assert over_rows(Preferences, short, TASK).findings() == []
    assert over_rows(Preferences, few, TASK).findings() == []


def test_without_pairs_nothing_is_said() -> None:
    reason = "no row is a pair of a chosen and a rejected answer"
    found = over_rows(Preferences, [chat("q", "a", "true")] * 4, TASK)
    assert found.not_run() == {"PREF-SAME": reason, "PREF-LENGTH": reason}


@given(st.integers(0, 300).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_sign_test_is_that_of_scipy(tossed: tuple[int, int]) -> None:
    heads, coins = tossed
    expected = binomtest(heads, coins, 0.5, alternative="greater").pvalue if coins else 1.0
    assert sign_test(heads, coins) == pytest.approx(expected, rel=1e-9, abs=1e-12)


def test_the_sign_test_of_a_million_pairs_is_a_number() -> None:
    assert sign_test(501_500, 1_000_000) == pytest.approx(0.001354, rel=1e-2)
    assert sign_test(600_000, 1_000_000) == 0.0


def test_real_preferences_have_neither_fault(shared_data: Path) -> None:
    examples = real_examples(shared_data / "preference" / "dpo_en_demo.json", "preference")
    found = over_rows(Preferences, examples, TASK)
    assert (len(examples), found.findings(), found.not_run()) == (300, [], {})
