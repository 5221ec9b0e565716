"""How many test rows a difference needs, against simulation, and the plan of a live test."""

import json
import shutil
from collections import Counter
from pathlib import Path

import msgspec
import numpy as np
import pytest

from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.sourcing import add_source
from nlp_skills.errors import NotValid
from nlp_skills.evaluation.live_test import arm_of, plan_live
from nlp_skills.evaluation.results import Prediction
from nlp_skills.evaluation.significance import mcnemar
from nlp_skills.evaluation.test_size import (
    ASSUMED,
    measured_disagreement,
    plan_test_size,
    power_of,
    rows_needed,
    smallest_difference,
)
from nlp_skills.records import write_lines
from nlp_skills.task.task import TaskType, create_task
from nlp_skills.training.new_version import create_version


@pytest.mark.parametrize(
    ("difference", "disagreement", "power"), [(0.05, 0.2, 0.8), (0.1, 0.3, 0.9), (0.15, 0.2, 0.8)]
)
def test_so_many_rows_find_the_difference_as_often_as_said(
    difference: float, disagreement: float, power: float
) -> None:
    count = rows_needed(difference, disagreement, power)
    shares = [(disagreement + difference) / 2, (disagreement - difference) / 2, 1 - disagreement]
    drawn = np.random.default_rng(1).multinomial(count, shares, size=4000)
    found = {(up, down): mcnemar(int(up), int(down)) < 0.05 for up, down in {(u, d) for u, d, _ in drawn}}
    simulated = np.mean([found[up, down] for up, down, _ in drawn])
    assert simulated == pytest.approx(power_of(count, difference, disagreement), abs=0.02)
    assert simulated > power - 0.02


def test_rows_are_about_those_of_connors_formula() -> None:
    # (1.96 √0.2 + 0.8416 √(0.2 - 0.05²))² / 0.05² = 625.4
    assert rows_needed(0.05, 0.2) == pytest.approx(626, rel=0.02)


def test_the_smallest_difference_is_the_one_that_needs_so_many_rows() -> None:
    found = smallest_difference(626, 0.2)
    assert found == pytest.approx(0.05, abs=0.001)
    assert smallest_difference(10, 0.2) is None


def test_a_task_is_told_what_it_needs_and_what_its_rows_can_tell(tmp_path: Path) -> None:
    create_task(tmp_path, "news", type=TaskType.CLASSIFICATION, goal="g")
    task = tmp_path / "news"
    write_lines(task / "data" / "test.jsonl", [b"{}"] * 82)
    plan = plan_test_size(task, difference=0.05)
    assert (plan.rows, plan.rows_now, plan.disagreement) == (rows_needed(0.05, ASSUMED), 82, ASSUMED)
    assert plan.detectable_now == smallest_difference(82, ASSUMED)
    assert plan.disagreement_from.startswith("assumed") and plan.live is None
    for wrong in ({"difference": 0.0}, {"power": 1.0}, {"difference": 0.2, "disagreement": 0.1}):
        with pytest.raises(NotValid):
            plan_test_size(task, **wrong)


def test_disagreement_is_that_of_versions_which_are_no_twins(tmp_path: Path) -> None:
    create_task(tmp_path, "news", type=TaskType.CLASSIFICATION, goal="g")
    task = tmp_path / "news"
    rows = [{"text": f"story number {n}", "label": "ab"[n % 2]} for n in range(40)]
    write_lines(tmp_path / "rows.jsonl", (json.dumps(row).encode() for row in rows))
    add_source(task, str(tmp_path / "rows.jsonl"))
    regenerate_data(task)

    def answer(version: str, wrong: range) -> None:
        answers = (
            Prediction(id=f"r{n}", input="x", expected="a", predicted="a", correct=n not in wrong)
            for n in range(20)
        )
        file = task / "versions" / version / "predictions.jsonl"
        write_lines(file, map(msgspec.json.encode, answers))

    create_version(task)
    create_version(task, parent="v1", epochs=5)
    answer("v1", range(8))
    answer("v2", range(8))
    share, where = measured_disagreement(task)
    assert (share, where) == (
        ASSUMED,
        "assumed: no two versions that differ were tested yet; v1 and v2 are as good as one model, and say nothing",
    )
    answer("v2", range(4))
    assert measured_disagreement(task) == (0.2, "v1 and v2 on 20 test rows")
    plan = plan_test_size(task, difference=0.3)
    assert plan.disagreement == 0.3
    assert "(at least the difference itself; 20% v1 and v2 on 20 test rows)" in plan.message
    create_version(task, parent="v2", seed=14)
    answer("v3", range(5))
    assert measured_disagreement(task) == (
        0.2,
        "v1 and v2 on 20 test rows; v2 and v3 are as good as one model, and say nothing",
    )
    shutil.rmtree(task / "versions" / "v2")  # what was made from it is no pair any more
    assert measured_disagreement(task)[0] == ASSUMED


def test_a_live_test_has_the_users_of_cohens_tables_and_lasts_whole_weeks(tmp_path: Path) -> None:
    # Cohen 1988, table 6.4.1: h = 0.20, two-sided 0.05, power 0.80: n = 392 a group.
    # 2 asin √0.6 - 2 asin √0.5 = 0.2014
    plan = plan_live("news", 0.5, 0.1, 0.8, 100, 0.5)
    assert plan.users_a == plan.users_b == pytest.approx(392, abs=8)
    assert plan.days == 14
    small = plan_live("news", 0.5, 0.1, 0.8, None, 0.1)
    assert small.users_b < plan.users_b < small.users_a and small.days is None
    for rate, difference, per_day, share in (
        (1.2, 0.1, 1, 0.5),
        (0.95, 0.1, 1, 0.5),
        (0.5, 0.1, 0, 0.5),
        (0.5, 0.1, 1, 1),
    ):
        with pytest.raises(NotValid):
            plan_live("news", rate, difference, 0.8, per_day, share)


def test_a_live_test_finds_its_difference_as_often_as_said() -> None:
    plan = plan_live("news", 0.7, 0.05, 0.8, None, 0.5)
    chance = np.random.default_rng(2)
    a = chance.binomial(plan.users_a, 0.7, 4000) / plan.users_a
    b = chance.binomial(plan.users_b, 0.75, 4000) / plan.users_b
    spread = np.sqrt(a * (1 - a) / plan.users_a + b * (1 - b) / plan.users_b)
    assert np.mean(np.abs(b - a) > 1.96 * spread) == pytest.approx(0.8, abs=0.02)


def test_a_user_always_sees_the_same_model_and_each_test_divides_anew() -> None:
    users = [f"user-{n}" for n in range(10_000)]
    first, second = ([arm_of(user, test, 0.3) for user in users] for test in ("one", "two"))
    assert first == [arm_of(user, "one", 0.3) for user in users]
    assert Counter(first)["b"] == pytest.approx(3000, abs=150)
    both = sum(x == y == "b" for x, y in zip(first, second, strict=True))
    assert both == pytest.approx(900, abs=100)
