"""May this version go to users? Every criterion of task.yaml: yes, no, or cannot tell; what was not measured is never a yes.

    criteria:
      - {metric: macro_f1, at_least: 0.8}                      its interval's worse end has to reach 0.8
      - {metric: accuracy, slice: language, at_least: 0.7}     in each language on its own
      - {metric: gain, at_least: 0}                            better than the strongest baseline
      - {metric: latency_p95_ms, at_most: 300}
      - {metric: forgetting, at_most: 0.1, on: value}          general questions lost, as a share

Without criteria the target, a gain over what needs no fine-tuning, the constraints and forgetting are asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from nlp_skills.errors import counted
from nlp_skills.evaluation.against_baselines import against_baselines, hardest_to_beat, is_higher_better
from nlp_skills.evaluation.compare import read_predictions
from nlp_skills.evaluation.figures import show_interval, show_value
from nlp_skills.evaluation.forgetting import ALLOWED, CHANCE, CURE
from nlp_skills.evaluation.marking import deciding_metric
from nlp_skills.evaluation.metrics import METRICS
from nlp_skills.evaluation.paired_answers import TOO_FEW
from nlp_skills.evaluation.results import EvalResult, Interval, Prediction
from nlp_skills.evaluation.significance import interval
from nlp_skills.evaluation.slices import LEAST, kinds_of
from nlp_skills.evaluation.verdict import Answer, baseline_name, metric_name
from nlp_skills.records import Record
from nlp_skills.task.task import Criterion, Task
from nlp_skills.task.version import version_folder

NOTHING_TO_LOSE = (
    "Name the criteria in task.yaml without forgetting, or begin with a base model that knows more."
)


class CriterionResult(Record):
    """One criterion and what was measured."""

    criterion: str
    """In words."""
    answer: Answer
    reason: str
    next: str = ""
    """The command that says why a no is one, or measures what could not be told."""


class Promotion(Record):
    """The gate: `passed` only where every criterion is a yes."""

    task: str
    version: str
    answer: Answer
    passed: bool
    criteria: list[CriterionResult]
    message: str


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


def check_promotion(task: Path, *, version: str | None = None) -> Promotion:
    """Hold a version's results against the criteria of task.yaml; the newest version by default.

    Reads records only. Raises NotReady without any version.
    """
    folder = version_folder(task, version)
    definition = Task.load(task / "task.yaml")
    file = folder / "results.json"
    result = EvalResult.load(file) if file.is_file() else None
    rows = read_predictions(folder) if result is not None and _asks_slices(definition) else []
    return judge_promotion(definition, folder.name, result, rows)


def _asks_slices(task: Task) -> bool:
    return any(criterion.slice is not None for criterion in task.criteria)


def judge_promotion(
    task: Task, version: str, result: EvalResult | None, rows: Sequence[Prediction] = ()
) -> Promotion:
    """The gate from a version's results; `rows` are its predictions, for criteria about slices."""
    asked = task.criteria or default_criteria(task)
    found = [_check(task, criterion, version, result, rows) for criterion in asked]
    fault = result.sane if result is not None and result.sane else None
    if fault is not None and fault.verdict == "harness error":
        then = f"nlp-skills diagnose {task.name} --version {version}"
        found.append(
            CriterionResult(
                criterion="the measurement is sound", answer="cannot tell", reason=fault.reason, next=then
            )
        )
    answers = [one.answer for one in found]
    answer = _worst(answers)
    return Promotion(
        task=task.name,
        version=version,
        answer=answer,
        passed=answer == "yes",
        criteria=found,
        message=_message(task.name, version, answer, found),
    )


def default_criteria(task: Task) -> list[Criterion]:
    """What target and constraints say, a gain over the baselines, and that nothing was forgotten."""
    metric = task.chosen_metric
    limits = task.constraints
    asked = [Criterion(metric="gain", at_least=0), Criterion(metric="forgetting", at_most=ALLOWED)]
    if task.target is not None:
        limit = "at_least" if is_higher_better(metric) else "at_most"
        asked.insert(0, Criterion.model_validate({"metric": metric, limit: task.target}))
    if limits.latency_ms is not None:
        asked.append(Criterion(metric="latency_p95_ms", at_most=limits.latency_ms))
    if limits.memory_gb is not None:
        asked.append(Criterion(metric="memory_gb", at_most=limits.memory_gb))
    return asked


def _check(
    task: Task,
    criterion: Criterion,
    version: str,
    result: EvalResult | None,
    rows: Sequence[Prediction],
) -> CriterionResult:
    words = show_criterion(criterion)
    if result is None:
        reason = f"{version} was not evaluated."
        return CriterionResult(
            criterion=words, answer="cannot tell", reason=reason, next=_evaluate(task, version)
        )
    measured = (
        [_measured(task, criterion.metric, result)]
        if criterion.slice is None
        else _on_slices(task, criterion, rows)
    )
    answers = [_answer(criterion, one) for one in measured]
    worst = _worst(answers)
    decided = [one for one, answer in zip(measured, answers, strict=True) if answer == worst]
    told = "; ".join(map(_show, decided)) + "."
    cure = next((f" {one.cure}" for one in decided if one.cure and worst != "yes"), "")
    return CriterionResult(
        criterion=words, answer=worst, reason=told + cure, next=_next(task, version, worst, decided)
    )


def _worst(answers: Sequence[str]) -> Answer:
    return "no" if "no" in answers else "cannot tell" if "cannot tell" in answers else "yes"


def _evaluate(task: Task, version: str) -> str:
    return f"nlp-skills evaluate-version {task.name} --version {version}"


def _next(task: Task, version: str, answer: Answer, measured: Sequence[Measured]) -> str:
    """What was measured and does not tell has too few rows."""
    if answer == "yes" or any(one.cure for one in measured):
        return ""
    if answer == "no":
        return f"nlp-skills diagnose {task.name} --version {version}"
    if any(one.value is not None or one.few for one in measured):
        return f"nlp-skills plan-test-size {task.name}"
    return _evaluate(task, version)


def _answer(criterion: Criterion, measured: Measured) -> Answer:
    value, low, high = measured.value, measured.low, measured.high
    if value is None:
        return "cannot tell"
    if criterion.on == "value" or low is None or high is None:
        low = high = value
    answers: list[Answer] = []
    if criterion.at_least is not None:
        limit = criterion.at_least
        answers.append("yes" if low >= limit else "no" if high < limit else "cannot tell")
    if criterion.at_most is not None:
        limit = criterion.at_most
        answers.append("yes" if high <= limit else "no" if low > limit else "cannot tell")
    return _worst(answers)


def _measured(task: Task, name: str, result: EvalResult) -> Measured:
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


def _on_slices(task: Task, criterion: Criterion, rows: Sequence[Prediction]) -> list[Measured]:
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


def _show(measured: Measured) -> str:
    if measured.value is None:
        return f"Not measured: {measured.missing.rstrip('.')}"
    place = f"{measured.place}: " if measured.place else ""
    if measured.low is None or measured.high is None:
        return (
            f"{place}measured {show_value(measured.value, ',.0f' if abs(measured.value) >= 1000 else '.3g')}"
        )
    found = Interval(value=measured.value, low=measured.low, high=measured.high)
    return f"{place}measured {show_interval(found)}"


def show_criterion(criterion: Criterion) -> str:
    """`macro F1 at least 0.8 for each language`."""
    limits = [
        f"{words} {limit:g}"
        for words, limit in (("at least", criterion.at_least), ("at most", criterion.at_most))
        if limit is not None
    ]
    kind, _, value = (criterion.slice or "").partition("=")
    where = f" for {kind} {value}" if value else f" for each {kind}" if kind else ""
    by = " (by the value alone)" if criterion.on == "value" else ""
    return f"{metric_name(criterion.metric)} {' and '.join(limits)}{where}{by}"


def _message(task: str, version: str, answer: Answer, found: Sequence[CriterionResult]) -> str:
    if answer == "yes":
        return f"{version} of {task} meets all {len(found)} criteria."
    failed = [one.criterion for one in found if one.answer == "no"]
    unknown = [one.criterion for one in found if one.answer == "cannot tell"]
    parts = [f"it fails: {', '.join(failed)}"] if failed else []
    parts += [f"cannot tell: {', '.join(unknown)}"] if unknown else []
    return f"{version} of {task} is not to be promoted: {'; '.join(parts)}."
