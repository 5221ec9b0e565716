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

from nlp_skills.evaluation.against_baselines import is_higher_better
from nlp_skills.evaluation.compare import read_predictions
from nlp_skills.evaluation.criterion_figures import Measured, measured, measured_on_slices, show_measured
from nlp_skills.evaluation.forgetting import ALLOWED
from nlp_skills.evaluation.results import EvalResult, Prediction
from nlp_skills.evaluation.verdict import Answer, metric_name
from nlp_skills.records import Record
from nlp_skills.task.task import Criterion, Task
from nlp_skills.task.version import version_folder


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
    found = (
        [measured(task, criterion.metric, result)]
        if criterion.slice is None
        else measured_on_slices(task, criterion, rows)
    )
    answers = [_answer(criterion, one) for one in found]
    worst = _worst(answers)
    decided = [one for one, answer in zip(found, answers, strict=True) if answer == worst]
    told = "; ".join(map(show_measured, decided)) + "."
    cure = next((f" {one.cure}" for one in decided if one.cure and worst != "yes"), "")
    return CriterionResult(
        criterion=words, answer=worst, reason=told + cure, next=_next(task, version, worst, decided)
    )


def _worst(answers: Sequence[str]) -> Answer:
    return "no" if "no" in answers else "cannot tell" if "cannot tell" in answers else "yes"


def _evaluate(task: Task, version: str) -> str:
    return f"nlp-skills evaluate-version {task.name} --version {version}"


def _next(task: Task, version: str, answer: Answer, found: Sequence[Measured]) -> str:
    """What was measured and does not tell has too few rows."""
    if answer == "yes" or any(one.cure for one in found):
        return ""
    if answer == "no":
        return f"nlp-skills diagnose {task.name} --version {version}"
    if any(one.value is not None or one.few for one in found):
        return f"nlp-skills plan-test-size {task.name}"
    return _evaluate(task, version)


def _answer(criterion: Criterion, found: Measured) -> Answer:
    value, low, high = found.value, found.low, found.high
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
