"""What a criterion of task.yaml asks for, as a version's results and predictions have it, or why they do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from nlp_skills.errors import counted
from nlp_skills.evaluation.against_baselines import against_baselines, hardest_to_beat
from nlp_skills.evaluation.figures import show_interval, show_value
from nlp_skills.evaluation.forgetting import CHANCE, CURE
from nlp_skills.evaluation.marking import deciding_metric
from nlp_skills.evaluation.metrics import METRICS
from nlp_skills.evaluation.paired_answers import TOO_FEW
from nlp_skills.evaluation.results import EvalResult, Interval, Prediction
from nlp_skills.evaluation.significance import interval
from nlp_skills.evaluation.slices import LEAST, kinds_of
from nlp_skills.evaluation.verdict import baseline_name, metric_name
from nlp_skills.task.task import Criterion, Task

NOTHING_TO_LOSE = (
    "Name the criteria in task.yaml without forgetting, or begin with a base model that knows more."
)


class Measured(NamedTuple):
    """A figure with its interval, where it has one, or why there is none."""

    value: float | None = None
    low: float | None = None
    high: float | None = None
    missing: str = ""
    place: str = ""
    few: bool = False
    """Missing, because there are too few rows."""
    cure: str = ""
    """What to do where this is no yes, when no command says it."""


def measured(task: Task, name: str, result: EvalResult) -> Measured:
    """A figure of results.json about all rows."""
    if name == "gain":
        return _gain(deciding_metric(task, list(result.metrics)), result)
    if name == "forgetting":
        found = result.forgetting
        if found is None:
            return Measured(
                missing=result.not_measured.get(
                    "forgetting", "the general questions were not asked; evaluate the version again"
                )
            )
        if found.verdict == "cannot tell" and found.base.low <= CHANCE:
            return Measured(missing=found.reason, cure=NOTHING_TO_LOSE)
        change = found.change
        return Measured(-change.value, -change.high, -change.low, place="general questions lost", cure=CURE)
    if name.startswith("latency_"):
        taken = result.latency
        percentile = name.removeprefix("latency_").removesuffix("_ms")
        return Measured(getattr(taken, percentile)) if taken else Measured(missing="no time was measured")
    if name == "memory_gb":
        memory = result.memory_mb
        return Measured(memory / 1024) if memory is not None else Measured(missing="no memory was measured")
    found = result.metrics.get(name)
    if found is None:
        return Measured(missing=f"{metric_name(name)} was not measured")
    if result.count < TOO_FEW:
        return Measured(missing=f"fewer than {TOO_FEW} test rows decide nothing", few=True)
    return _with_interval(found)


def _gain(metric: str, result: EvalResult) -> Measured:
    found = against_baselines(result, metric)
    if not found:
        by = f" by {metric_name(metric)}" if result.baseline else ""
        return Measured(missing=f"no baseline was measured{by} beside it")
    if result.count < TOO_FEW:
        return Measured(missing=f"fewer than {TOO_FEW} test rows decide nothing", few=True)
    rival = hardest_to_beat(found)
    return _with_interval(rival.gain, f"{metric_name(metric)} over {baseline_name(rival.baseline)}")


def _with_interval(found: Interval, place: str = "") -> Measured:
    return Measured(found.value, found.low, found.high, place=place)


def measured_on_slices(task: Task, criterion: Criterion, rows: Sequence[Prediction]) -> list[Measured]:
    """The metric on the slice, or on each slice of the kind."""
    kind, _, value = (criterion.slice or "").partition("=")
    found = [
        _on_slice(criterion.metric, f"{kind}={of}", [rows[i] for i in places])
        for of, places in kinds_of(task, rows).get(kind, {}).items()
        if value in ("", of)
    ]
    return found or [Measured(missing=f"no test row has {criterion.slice}", few=True)]


def _on_slice(metric: str, name: str, rows: Sequence[Prediction]) -> Measured:
    if len(rows) < LEAST:
        few = f"{name} has {counted(len(rows), 'test row')}, and fewer than {LEAST} decide nothing"
        return Measured(missing=few, few=True)
    if metric not in METRICS or not METRICS[metric].applies(rows):
        return Measured(missing=f"{metric_name(metric)} cannot be measured on the rows of {name}")
    return _with_interval(interval(metric, rows), name)


def show_measured(found: Measured) -> str:
    """`TF-IDF: measured 0.150 (0.120 to 0.180)`, or why it was not."""
    if found.value is None:
        return f"Not measured: {found.missing.rstrip('.')}"
    place = f"{found.place}: " if found.place else ""
    if found.low is None or found.high is None:
        return f"{place}measured {show_value(found.value, ',.0f' if abs(found.value) >= 1000 else '.3g')}"
    return f"{place}measured {show_interval(Interval(value=found.value, low=found.low, high=found.high))}"
