"""Two models' answers to the same rows, pair by pair: b is better than a, worse, or cannot tell, and why.

too few rows ──▶ cannot tell        smaller than the noise between seeds ──▶ cannot tell
paired test, corrected for all versions that were tried against a ──▶ better, worse, or cannot tell
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nlp_skills.errors import counted
from nlp_skills.evaluation.figures import show_gain, show_p, show_value
from nlp_skills.evaluation.marking import applicable_metrics, deciding_metric
from nlp_skills.evaluation.metrics import METRICS
from nlp_skills.evaluation.metrics.metric import Metric
from nlp_skills.evaluation.results import Interval, Prediction
from nlp_skills.evaluation.significance import (
    SIGNIFICANT,
    difference_of,
    holm,
    mcnemar,
    paired_test_of,
    together,
)
from nlp_skills.evaluation.slices import groups_of, slice_metric
from nlp_skills.task.comparison import ChangedRow, Comparison, MetricDifference, Noise, SliceChange
from nlp_skills.task.task import Task

ROWS_SHOWN = 20
TOO_FEW = 30
"""Below this many test rows no difference is called one."""


def compare_predictions(
    task: Task,
    a: str,
    b: str,
    rows_a: list[Prediction],
    rows_b: list[Prediction],
    *,
    rivals: Sequence[float] = (),
    noise: Noise | None = None,
) -> Comparison:
    """The comparison from two lists of predictions on the same rows in the same order.

    `rivals`: p-values of other versions against a. Raises ValueError for lists of different length.
    """
    names = measured_for_both(task, rows_a, rows_b)
    metric = deciding_metric(task, names)
    tables = {name: together(name, rows_a, rows_b) for name in names}
    metrics = {name: _difference(METRICS[name], *table) for name, table in tables.items()}
    pairs = list(zip(rows_a, rows_b, strict=True))
    fixed = [_changed(x, y) for x, y in pairs if y.correct and not x.correct]
    broken = [_changed(x, y) for x, y in pairs if x.correct and not y.correct]
    p = holm([paired_test_of(METRICS[metric], *tables[metric]), *rivals])[0]
    verdict, reason = _verdict(
        metric, metrics[metric], len(pairs), len(fixed), len(broken), p, 1 + len(rivals), noise
    )
    by = slice_metric(task, names)
    worse, better = _slices(task, METRICS[by], rows_a, rows_b, tables[by])
    if worse:
        reason += f" It got worse on {', '.join(s.name for s in worse)}."
    return Comparison.model_validate(
        {
            "task": task.name,
            "a": a,
            "b": b,
            "metric": metric,
            "metrics": metrics,
            "count": len(pairs),
            "fixed": len(fixed),
            "broken": len(broken),
            "p_value": mcnemar(len(fixed), len(broken)),
            "p_metric": p,
            "against": 1 + len(rivals),
            "verdict": verdict,
            "reason": reason,
            "noise": noise,
            "worse_slices": worse,
            "better_slices": better,
            "fixed_rows": fixed[:ROWS_SHOWN],
            "broken_rows": broken[:ROWS_SHOWN],
        }
    )


def measured_for_both(task: Task, a: Sequence[Prediction], b: Sequence[Prediction]) -> list[str]:
    """The metrics that the answers of both can be judged by."""
    return [name for name in applicable_metrics(task, b) if METRICS[name].applies(a)]


def _difference(metric: Metric, a: Any, b: Any) -> MetricDifference:
    """From what each row contributes in a and in b."""
    gain = difference_of(metric, a, b)
    return MetricDifference(
        a=float(metric.value(a.sum(axis=0))),
        b=float(metric.value(b.sum(axis=0))),
        difference=gain.value,
        low=gain.low,
        high=gain.high,
    )


def _changed(a: Prediction, b: Prediction) -> ChangedRow:
    return ChangedRow(id=a.id, input=a.input, expected=a.expected, a=a.predicted, b=b.predicted)


def _slices(
    task: Task, metric: Metric, a: Sequence[Prediction], b: Sequence[Prediction], tables: tuple[Any, Any]
) -> tuple[list[SliceChange], list[SliceChange]]:
    """The kinds of rows that got worse, and those that got better, the largest change first."""
    groups = {
        group: (tables[0][places], tables[1][places])
        for group, places in groups_of(task, b).items()
        if all(metric.applies([rows[i] for i in places]) for rows in (a, b))
    }
    p_values = holm([paired_test_of(metric, *side) for side in groups.values()])
    changes = [
        SliceChange(
            **_difference(metric, *side).model_dump(),
            name=f"{kind}={value}",
            count=side[0].shape[0],
            p_value=p,
        )
        for ((kind, value), side), p in zip(groups.items(), p_values, strict=True)
        if p < SIGNIFICANT
    ]
    sign = 1 if metric.higher_is_better else -1
    changes.sort(key=lambda change: sign * change.difference)
    return (
        [c for c in changes if sign * c.difference < 0],
        [c for c in reversed(changes) if sign * c.difference > 0],
    )


def _verdict(
    metric: str,
    found: MetricDifference,
    count: int,
    fixed: int,
    broken: int,
    p: float,
    against: int,
    noise: Noise | None,
) -> tuple[str, str]:
    """The paired test of the chosen metric decides; few rows and differences as seeds make decide nothing."""
    gain = Interval(value=found.difference, low=found.low, high=found.high)
    numbers = f"{metric} {show_value(found.a)} → {show_value(found.b)} ({show_gain(gain)}) on {counted(count, 'row')}, {fixed} fixed and {broken} broken"
    tested = f"paired test {show_p(p)}" + (
        f", corrected for {against} versions that were tried" if against > 1 else ""
    )
    if count < TOO_FEW:
        return "cannot tell", f"{numbers}: fewer than {TOO_FEW} test rows decide nothing."
    if p >= SIGNIFICANT:
        return "cannot tell", f"{numbers}: {tested}, so chance may explain the difference."
    if noise is not None and abs(found.difference) < noise.floor:
        return (
            "cannot tell",
            f"{numbers}: {tested}, but another seed alone changes it by up to {noise.floor:.3f}"
            f" ({counted(len(noise.versions), 'run')}: {', '.join(noise.versions)}).",
        )
    seeds = " How much another seed alone would change was not measured."
    if noise is not None:
        seeds = f" Another seed alone changes it by less: by up to {noise.floor:.3f}, as {counted(len(noise.versions), 'run')} tell."
    up = found.difference > 0
    verdict = "better" if up == METRICS[metric].higher_is_better else "worse"
    return verdict, f"{numbers}: {tested}, so it is not chance in the choice of rows.{seeds}"
