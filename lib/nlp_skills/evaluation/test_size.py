"""How many test rows tell a wanted difference from chance, and how many users a live test of it needs.

Two models on the same rows: only the rows on which one is right and the other wrong say anything. With the share
`disagreement` of such rows and a difference of `difference`, Connor (1987, Biometrics 43:207) needs

    n = (1.96 √disagreement + z_power √(disagreement - difference²))² / difference²

rows; the power of the mid-p test at that number is then computed, and the number raised until it is enough.
"""

from __future__ import annotations

import math
from pathlib import Path

from pydantic import Field

from nlp_skills.errors import NlpSkillsError, NotValid, counted
from nlp_skills.evaluation.compare import read_predictions, same_rows
from nlp_skills.evaluation.live_test import LivePlan, plan_live
from nlp_skills.evaluation.noise import settings_but_seed
from nlp_skills.evaluation.significance import SIGNIFICANT, mcnemar
from nlp_skills.records import Record
from nlp_skills.task.task import Task
from nlp_skills.task.version import Version, version_names

ASSUMED = 0.2
"""Disagreement where nothing was measured yet: one row in five."""
POWER = 0.8
MOST = 1_000_000


class TestSize(Record):
    """How many rows are needed, and what those that are there can tell."""

    __test__ = False  # no test of pytest's

    task: str
    difference: float
    power: float
    disagreement: float
    """Share of rows that one of two models has right and the other wrong."""
    disagreement_from: str
    rows: int = Field(ge=1)
    """Test rows that are needed."""
    rows_now: int
    detectable_now: float | None = None
    """The smallest difference that the present rows tell from chance with that power; None: none at all."""
    live: LivePlan | None = None
    message: str


def plan_test_size(
    task: Path,
    *,
    difference: float = 0.05,
    power: float = POWER,
    disagreement: float | None = None,
    success_rate: float | None = None,
    users_per_day: float | None = None,
    share: float = 0.5,
) -> TestSize:
    """How many test rows are needed so that a `difference` of right answers is told from chance.

    `disagreement` is what two models are expected to disagree on; None: as the newest version and its parent did
    (not twins, which differ in their seed only), otherwise one row in five. With `success_rate` (of the present system, live) the plan of an A/B
    test stands beside it; `users_per_day` says how long it takes, `share` which part of the users sees the new model.
    Raises NotValid for figures that contradict each other.
    """
    definition = Task.load(task / "task.yaml")
    where = "given"
    if disagreement is None:
        disagreement, where = measured_disagreement(task)
        if disagreement < abs(difference):
            where = f"at least the difference itself; {disagreement:.0%} {where}"
            disagreement = abs(difference)
    require_possible(difference, power, disagreement)
    rows = rows_needed(difference, disagreement, power)
    now = _test_rows(task)
    detectable = smallest_difference(now, disagreement, power) if now else None
    live = (
        plan_live(definition.name, success_rate, difference, power, users_per_day, share)
        if success_rate is not None
        else None
    )
    return TestSize(
        task=definition.name,
        difference=difference,
        power=power,
        disagreement=disagreement,
        disagreement_from=where,
        rows=rows,
        rows_now=now,
        detectable_now=detectable,
        live=live,
        message=_message(difference, power, disagreement, where, rows, now, detectable),
    )


def require_possible(difference: float, power: float, disagreement: float) -> None:
    """Raises NotValid where no number of rows could do it."""
    if not 0 < abs(difference) <= 1:
        raise NotValid("difference: give a share above 0, for example 0.05 for five points.")
    if not SIGNIFICANT < power < 1:
        raise NotValid("power: give a share between 0.05 and 1, usually 0.8 or 0.9.")
    if not abs(difference) <= disagreement <= 1:
        raise NotValid(
            f"disagreement: two models that differ by {abs(difference):g} disagree on at least as many rows;"
            f" {disagreement:g} is less."
        )


def rows_needed(difference: float, disagreement: float, power: float = POWER) -> int:
    """Connor's number of rows, raised until the mid-p test has the power."""
    gap = abs(difference)
    z, z_power = _quantile(1 - SIGNIFICANT / 2), _quantile(power)
    root = z * math.sqrt(disagreement) + z_power * math.sqrt(max(0.0, disagreement - gap**2))
    rows = max(4, math.ceil(root**2 / gap**2))
    while rows < MOST and power_of(rows, gap, disagreement) < power:
        rows += max(1, rows // 100)
    return rows


def power_of(rows: int, difference: float, disagreement: float) -> float:
    """How often the mid-p test finds the difference: summed over the number of rows that disagree, no simulation."""
    import numpy as np
    from scipy.stats import binom

    fixed_share = (disagreement + abs(difference)) / 2 / disagreement
    middle, spread = rows * disagreement, math.sqrt(rows * disagreement * (1 - disagreement))
    totals = np.arange(max(0, int(middle - 6 * spread)), min(rows, math.ceil(middle + 6 * spread)) + 1)
    chances = binom.pmf(totals, rows, disagreement)
    found = 0.0
    for total, chance in zip(totals[chances > 1e-9], chances[chances > 1e-9], strict=True):
        limit = _critical(int(total))
        found += chance * (binom.cdf(limit, total, 1 - fixed_share) + binom.cdf(limit, total, fixed_share))
    return float(found)


def _critical(total: int) -> int:
    """The most rows on the smaller side with which `total` rows that disagree are significant; -1: none."""
    from scipy.stats import binom

    limit = int(binom.ppf(SIGNIFICANT / 2, total, 0.5)) + 1
    while limit >= 0 and mcnemar(limit, total - limit) >= SIGNIFICANT:
        limit -= 1
    return limit


def smallest_difference(rows: int, disagreement: float, power: float = POWER) -> float | None:
    """The difference that so many rows find with that power; None where even complete one-sidedness is not found."""
    if power_of(rows, disagreement, disagreement) < power:
        return None
    low, high = 0.0, disagreement
    for _ in range(12):
        middle = (low + high) / 2
        low, high = (low, middle) if power_of(rows, middle, disagreement) >= power else (middle, high)
    return round(high, 4)


def measured_disagreement(task: Path) -> tuple[float, str]:
    """Share of test rows that two versions do not both have right or both wrong; where it comes from, in words.

    Of the newest version and its parent, unless these are twins: they differ in nothing but their seed, or are right
    on the very same rows. Such a pair says nothing on what a change of settings or data moves.
    """
    twins = ""
    for name in reversed(version_names(task)):
        parent = Version.load(task / "versions" / name / "lineage.yaml").parent
        if parent is None:
            continue
        one, other = task / "versions" / parent, task / "versions" / name
        try:
            a, b = read_predictions(one), read_predictions(other)
        except NlpSkillsError:
            continue
        if not a or not same_rows(a, b):
            continue
        share = sum(x.correct != y.correct for x, y in zip(a, b, strict=True)) / len(a)
        if share and settings_but_seed(one) != settings_but_seed(other):
            return share, f"{parent} and {name} on {counted(len(a), 'test row')}{twins}"
        twins = twins or f"; {parent} and {name} are as good as one model, and say nothing"
    return ASSUMED, f"assumed: no two versions {'that differ were' if twins else 'were'} tested yet{twins}"


def _test_rows(task: Path) -> int:
    file = task / "data" / "test.jsonl"
    if not file.is_file():
        return 0
    with file.open("rb") as stream:
        return sum(1 for line in stream if line.strip())


def _quantile(share: float) -> float:
    from scipy.stats import norm

    return float(norm.ppf(share))


def _message(
    difference: float,
    power: float,
    disagreement: float,
    where: str,
    rows: int,
    now: int,
    detectable: float | None,
) -> str:
    needed = (
        f"A difference of {abs(difference):.3f} in right answers is told from chance on {rows:,} test rows in {power:.0%} of"
        f" cases, where the two models disagree on {disagreement:.0%} of the rows ({where})."
    )
    if not now:
        return f"{needed} The task has no test rows yet."
    can = (
        f"tell {detectable:.3f} or more"
        if detectable is not None
        else "tell no difference at all from chance"
    )
    return f"{needed} The {counted(now, 'test row')} that are there {can}."
