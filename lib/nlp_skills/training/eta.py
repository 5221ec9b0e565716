"""The time that a run still takes, from the lines of metrics.jsonl: medians of its last steps and evaluations.

A first step that compiles, a machine that was busy for a minute and the loading after a resume do not move a median.
"""

from __future__ import annotations

from itertools import pairwise
from statistics import median
from typing import Any

WINDOW = 50
"""Of so many last steps the median is taken: what the run does now counts, not what it did an hour ago."""
EVALUATION_SHARE = 1 / 3
"""Forward alone beside forward and backward, by floating-point operations (Kaplan et al. 2020, arXiv:2001.08361, table 1)."""


def seconds_left(
    rows: list[dict[str, Any]],
    total_steps: int,
    *,
    steps_between_evaluations: int | None,
    evaluation_ratio: float = 0.0,
    since_last: float = 0.0,
) -> float | None:
    """Seconds until the last step and its evaluation are done; None before there are two steps.

    `steps_between_evaluations`: None where there are no validation rows. `evaluation_ratio`: validation rows beside
    the rows of one step, from which the first evaluation is estimated. `since_last`: seconds since the newest line
    was written.
    """
    steps = _step_seconds(rows)
    if not steps:
        return None
    step_seconds = median(steps[-WINDOW:])
    done = max(row["step"] for row in rows)
    left = (total_steps - done) * step_seconds
    if steps_between_evaluations:
        took = _evaluation_seconds(rows)
        each = median(took[-WINDOW:]) if took else step_seconds * evaluation_ratio * EVALUATION_SHARE
        left += each * evaluations_left(rows, total_steps, steps_between_evaluations)
    return round(max(0.0, left - since_last), 1)


def evaluations_left(rows: list[dict[str, Any]], total_steps: int, every: int) -> int:
    """The evaluations after the newest that there was: one each `every` steps, counted from the first."""
    newest = max((row["step"] for row in rows if "eval_loss" in row), default=0)
    return total_steps // every - newest // every


def _step_seconds(rows: list[dict[str, Any]]) -> list[float]:
    """Seconds a step, of neighbouring training lines with no evaluation between them."""
    timed = [row for row in rows if "seconds" in row]
    return [
        (after["seconds"] - before["seconds"]) / (after["step"] - before["step"])
        for before, after in pairwise(timed)
        if "eval_loss" not in after and "eval_loss" not in before and after["step"] > before["step"]
    ]


def _evaluation_seconds(rows: list[dict[str, Any]]) -> list[float]:
    timed = [row for row in rows if "seconds" in row]
    return [
        after["seconds"] - before["seconds"]
        for before, after in pairwise(timed)
        if "eval_loss" in after and "eval_loss" not in before
    ]
