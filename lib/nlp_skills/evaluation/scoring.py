"""One predictor's figures: metrics with intervals, labels, confusion, latency, calibration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nlp_skills.evaluation.marking import applicable_metrics
from nlp_skills.evaluation.metrics import METRICS
from nlp_skills.evaluation.metrics.calibration import has_scores, reliability
from nlp_skills.evaluation.metrics.classification import confusion, per_label
from nlp_skills.evaluation.metrics.metric import Metric
from nlp_skills.evaluation.metrics.parts import per_part
from nlp_skills.evaluation.results import CalibrationBin, Interval, LabelScore, Latency, Prediction, Score
from nlp_skills.evaluation.significance import difference_of, holm, interval, paired_test_of, together
from nlp_skills.task.task import Task, TaskType


def score(task: Task, rows: Sequence[Prediction], model: str) -> Score:
    """Metrics with intervals; each label, type of entity or field; for labels the confusion matrix too."""
    has_labels = task.type.has_labels
    return Score(
        metrics={name: interval(name, rows) for name in applicable_metrics(task, rows)},
        per_label=per_label(rows) if has_labels else _parts(task, rows),
        confusion=confusion(rows) if has_labels else {},
        count=len(rows),
        latency=latency(rows),
        model=model,
    )


def _parts(task: Task, rows: Sequence[Prediction]) -> dict[str, LabelScore]:
    return per_part(rows) if task.type is TaskType.EXTRACTION else {}


def latency(rows: Sequence[Prediction]) -> Latency | None:
    """Percentiles of the milliseconds that the answers took; None where no model answered."""
    import numpy as np

    taken = [row.milliseconds for row in rows if row.milliseconds is not None]
    if not taken:
        return None
    p50, p95, p99 = np.percentile(taken, [50, 95, 99])
    return Latency(p50=round(float(p50), 2), p95=round(float(p95), 2), p99=round(float(p99), 2))


def _improvement(metric: Metric, a: Any, b: Any) -> Interval:
    """How much better b is than a, from what each row contributes: above 0 is better, also where less is better."""
    found = difference_of(metric, a, b)
    if metric.higher_is_better:
        return found
    return Interval(value=-found.value, low=-found.high, high=-found.low)


def score_baselines(
    task: Task,
    metric: str,
    tuned: Sequence[Prediction],
    baselines: Mapping[str, tuple[str, Sequence[Prediction]]],
) -> dict[str, Score]:
    """Name → (what it is, its predictions), each scored and compared with the tuned model (Holm over all of them)."""
    scored = {name: score(task, rows, model) for name, (model, rows) in baselines.items()}
    compared = [name for name in scored if metric in scored[name].metrics]
    judge, pairs = METRICS[metric], [together(metric, baselines[name][1], tuned) for name in compared]
    p_values = holm([paired_test_of(judge, *pair) for pair in pairs])
    for name, pair, p in zip(compared, pairs, p_values, strict=True):
        gain = _improvement(judge, *pair)
        scored[name] = scored[name].model_copy(update={"gain": gain, "p_value": p})
    return scored


def calibration(task: Task, rows: Sequence[Prediction]) -> list[CalibrationBin]:
    """How often answers of like confidence are right; empty where no labels were scored."""
    if not task.type.has_labels or not has_scores(rows):
        return []
    bins = (CalibrationBin(count=n, right=right, confidence=sure) for n, right, sure in reliability(rows))
    return [found for found in bins if found.count]
