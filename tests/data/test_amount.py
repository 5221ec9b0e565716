"""Too few rows to learn from, or to decide by."""

from pathlib import Path

import pytest
from check_families import chat, make_task, over_files, pair
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from nlp_skills.data.checks.amount import Amount, enough_rows, half_width
from nlp_skills.data.example import Example


def chats(count: int) -> list[Example]:
    return [chat(f"question {n}", "answer") for n in range(count)]


def test_enough_rows_pass(tmp_path: Path) -> None:
    found = over_files(Amount, tmp_path, make_task(), train=chats(50), test=chats(60))
    assert (found.findings(), found.not_run()) == ([], {})


@pytest.mark.parametrize(("type", "count", "least"), [("generation", 49, 50), ("preference", 29, 30)])
def test_too_few_rows_to_learn_from_are_a_warning(tmp_path: Path, type: str, count: int, least: int) -> None:
    rows = [
        pair(f"q {n}", "a", "b") if type == "preference" else chat(f"q {n}", "a") for n in range(count + 1)
    ]
    task = make_task(type)
    assert over_files(Amount, tmp_path, task, train=rows).findings() == []
    (finding,) = over_files(Amount, tmp_path, task, train=rows[:-1]).findings()
    noun = "pairs" if type == "preference" else "rows"
    assert (finding.check, finding.level, finding.count) == ("DATA-FEW", "warning", count)
    assert (
        finding.message
        == f"Train has {count} {noun}; a task of type {type} needs {least} or more to learn from."
    )


def test_many_labels_need_many_rows(tmp_path: Path) -> None:
    task = make_task("classification", labels=[f"label {n}" for n in range(10)])
    rows = [chat(f"question {n}", f"label {n % 10}", f"label {n % 10}") for n in range(200)]
    assert over_files(Amount, tmp_path, task, train=rows).findings() == []
    (finding,) = over_files(Amount, tmp_path, task, train=rows[:-1]).findings()
    assert finding.message == (
        "Train has 199 rows; a task of type classification with 10 labels needs 200 or more to learn from."
    )


def test_a_test_on_which_ten_points_may_be_chance_is_a_warning(tmp_path: Path) -> None:
    (finding,) = over_files(Amount, tmp_path, make_task(), test=chats(40)).findings()
    assert finding.message == (
        "Test has 40 rows: a result near 0.8 is known up to ± 12 points, so two models that are 10 points apart"
        " may change places by chance."
    )
    assert "split: {test: 60}" in finding.fix
    assert over_files(Amount, tmp_path, make_task(target=0.95), test=chats(40)).findings() == []


def test_an_empty_test_knows_nothing(tmp_path: Path) -> None:
    (finding,) = over_files(Amount, tmp_path, make_task(), test=[]).findings()
    assert finding.message.startswith("Test has 0 rows: a result near 0.8 is known up to ± 50 points")


@given(st.integers(1, 500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_interval_is_wilsons(measured: tuple[int, int]) -> None:
    right, rows = measured
    low, high = binomtest(right, rows).proportion_ci(method="wilson")
    inside = right / rows
    if 0 < inside < 1:  # scipy puts the ends of the others to 0 and 1
        assert half_width(inside, rows) == pytest.approx((high - low) / 2, rel=1e-4)


@settings(max_examples=40, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture])
@given(
    kind=st.sampled_from([("generation", 0, 50), ("classification", 2, 50), ("classification", 5, 100)]),
    train=st.integers(0, 110),
    test=st.integers(0, 24).map(lambda n: 5 * n),  # a share of 0.8 can be measured
)
def test_exactly_the_sides_that_are_too_small_are_told(
    tmp_path: Path, kind: tuple[str, int, int], train: int, test: int
) -> None:
    type, labels, least = kind
    task = make_task(type, labels=[f"label {n}" for n in range(labels)])
    found = over_files(Amount, tmp_path, task, train=chats(train), test=chats(test))
    low, high = binomtest(round(0.8 * test), test).proportion_ci(method="wilson") if test else (0, 1)
    expected = [("Train", train)] if train < least else []
    expected += [("Test", test)] if (high - low) / 2 > 0.1 else []
    assert [(finding.message.split()[0], finding.count) for finding in found.findings()] == expected


def test_what_is_enough_is_the_first_ten_that_are() -> None:
    assert [enough_rows(share) for share in (0.5, 0.8, 0.95)] == [100, 60, 30]
