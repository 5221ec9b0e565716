"""The facts that `advise` judges by: figures that stand in the task's files, each with the file.

Nothing is estimated here and nothing is asked of a model; a figure that no file has is not known. What was measured
on other data than lie there now is old: it is named, with the command that measures it anew, and it counts for nothing.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from nlp_skills.data.checked import is_of_present_data
from nlp_skills.data.example import Example, read_examples
from nlp_skills.data.report import ValidationReport
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.errors import NotFound
from nlp_skills.evaluation.advice.baseline import AdviceBaseline
from nlp_skills.evaluation.advice.rules import Evidence, Value
from nlp_skills.evaluation.against_baselines import against_baselines
from nlp_skills.evaluation.results import EvalResult, Interval, Score
from nlp_skills.records import sha256_file
from nlp_skills.task.task import Task, TaskType
from nlp_skills.task.version import version_names

FACTS = {
    "type": "the kind of task",
    "target": "the value of the metric that is good enough",
    "latency_ms": "how long an answer may take",
    "budget_usd": "what it may cost",
    "privacy": "who may not see the data",
    "rows": "rows to train on",
    "smallest_label": "training rows of the rarest label",
    "changed_share": "rows whose answer changed since the data before",
    "conflict_share": "rows whose input stands elsewhere with another answer",
    "closed_book_share": "rows whose answer does not stand in the input",
    "distinct_answers_share": "distinct answers among all",
    "prompted_low": "prompted base model, lower end",
    "prompted_high": "prompted base model, upper end",
    "prompted_p95_ms": "prompted base model, 95th percentile of the time for an answer",
    "tfidf_low": "TF-IDF, lower end",
    "tfidf_high": "TF-IDF, upper end",
    "tfidf_more_rows": "rows after which the interval of TF-IDF would no longer hold the target",
    "tuned_low": "tuned model, lower end",
    "tuned_high": "tuned model, upper end",
    "gain_low": "gain over the prompted base model, lower end",
    "gain_high": "gain over the prompted base model, upper end",
    "cheapest_usd": "cost of a training on the cheapest hardware that fits, this machine being free",
}
"""Fact → what it is, in words; rules may use these and no others."""

CLOSED_BOOK_SAMPLE = 2000
"""Training rows that are looked at for answers that stand in their input."""


class Known(NamedTuple):
    """What the task's files have to say."""

    facts: dict[str, Evidence]
    old: list[str]
    """Files that speak of other data than there are now, each with the command that makes it anew."""


def read_facts(task: Path) -> Known:
    """All facts that the task's files have, and what among these files is old."""
    definition = Task.load(task / "task.yaml")
    old: list[str] = []
    found: dict[str, Evidence] = {}
    for name, value, file in (
        *_goal(definition),
        *_data(task, definition),
        *_checks(task, old),
        *_answers(task, definition),
        *_baseline(task, definition, old),
        *_results(task, definition, old),
    ):
        found[name] = Evidence(figure=FACTS[name], value=value, file=file)
    return Known(found, old)


Found = Iterator[tuple[str, Value, str]]


def _is_of_present_split(task: Path, split: str, sha256: str) -> bool:
    file = task / "data" / f"{split}.jsonl"
    return file.is_file() and sha256_file(file) == sha256


def _goal(task: Task) -> Found:
    limits = task.constraints
    yield "type", task.type.value, "task.yaml"
    for name, value in (
        ("target", task.target),
        ("latency_ms", limits.latency_ms),
        ("budget_usd", limits.budget_usd),
        ("privacy", limits.privacy),
    ):
        if value is not None:
            yield name, value, "task.yaml"


def _data(task: Path, definition: Task) -> Found:
    file = "data/data_snapshot.json"
    if not (task / file).is_file():
        yield "rows", 0, "data/"
        return
    snapshot = DataSnapshot.load(task / file)
    train = snapshot.splits.get("train")
    yield "rows", train.count if train else 0, file
    labels = train.label_counts if train else {}
    if definition.type.has_labels and labels:
        yield "smallest_label", min(labels.get(label, 0) for label in definition.labels or labels), file
    total = sum(split.count for split in snapshot.splits.values())
    if snapshot.before is not None and not snapshot.before_edited and not snapshot.edited and total:
        yield "changed_share", round(snapshot.changed / total, 4), file


def _checks(task: Path, old: list[str]) -> Found:
    file = "data/validation.json"
    if not (task / file).is_file():
        return
    report = ValidationReport.load(task / file)
    if not is_of_present_data(report, task):
        old.append(
            f"{file} is of other data than there are now. Check these: nlp-skills validate-data {task.name}"
        )
        return
    total = sum(report.files.values())
    if report.checks.get("DATA-CONFLICT") in ("passed", "found") and total:
        rows = sum(finding.count for finding in report.findings if finding.check == "DATA-CONFLICT")
        yield "conflict_share", round(rows / total, 4), file


def _answers(task: Path, definition: Task) -> Found:
    """Of questions and answers: whether the answer could be read from what is given."""
    file = "data/train.jsonl"
    if definition.type is not TaskType.QA:
        return
    try:
        rows = [row for row, _ in zip(read_examples(task / file), range(CLOSED_BOOK_SAMPLE), strict=False)]
    except NotFound:
        return
    if rows:
        yield "closed_book_share", round(sum(map(_is_closed_book, rows)) / len(rows), 4), file
        yield "distinct_answers_share", round(len({row.output_text for row in rows}) / len(rows), 4), file


def _is_closed_book(example: Example) -> bool:
    """Whether less than half of the answer's words (or of its characters, without blanks) stand in the input."""
    given, answer = example.input_text.casefold(), example.output_text.casefold()
    words = re.findall(r"\w+", answer)
    parts = (
        words if len(words) > 1 or len(answer) < 8 else [answer[i : i + 2] for i in range(len(answer) - 1)]
    )
    return bool(parts) and sum(part in given for part in parts) < len(parts) / 2


def _baseline(task: Path, definition: Task, old: list[str]) -> Found:
    """Measured by `advise --baseline` on a sample, where no version was evaluated yet."""
    file = AdviceBaseline.place(task)
    if not file.is_file():
        return
    measured, name = AdviceBaseline.load(file), file.relative_to(task).as_posix()
    again = f"Measure it again: nlp-skills advise {task.name} --baseline"
    if measured.base_model != definition.base_model:
        old.append(f"{name} is of {measured.base_model}, and base_model is {definition.base_model}. {again}")
    elif not _is_of_present_split(task, measured.split, measured.data_sha256):
        old.append(f"{name} is of other {measured.split} rows than there are now. {again}")
    else:
        yield from _scores(measured.baseline, definition, name)


def _results(task: Path, definition: Task, old: list[str]) -> Found:
    """Of the newest version that was evaluated."""
    for version in reversed(version_names(task)):
        file = f"versions/{version}/results.json"
        if not (task / file).is_file():
            continue
        result = EvalResult.load(task / file)
        if not _is_of_present_split(task, result.split, result.data_sha256):
            old.append(
                f"{file} is of other {result.split} rows than there are now. Evaluate again:"
                f" nlp-skills evaluate-version {task.name} --version {version}"
            )
            return
        yield from _scores(result.baseline, definition, file)
        own = result.metrics.get(definition.chosen_metric)
        if own:
            yield "tuned_low", round(own.low, 4), file
            yield "tuned_high", round(own.high, 4), file
        for beside in against_baselines(result, definition.chosen_metric):
            if beside.baseline == "prompted_base":
                yield "gain_low", round(beside.gain.low, 4), file
                yield "gain_high", round(beside.gain.high, 4), file
        return


def more_rows_to_tell(found: Interval, target: float, rows: int) -> int:
    """Beside the `rows` that were asked, so many until an interval that holds the target would end at it; 0 if it does not.

    An interval shrinks with the root of the rows. Where the value lies nearer than a point to the target, that is
    as good as on it: more rows than a difference of one point needs are not asked for.
    """
    if not found.low < target <= found.high:
        return 0
    gap = max(abs(found.value - target), 0.01)
    return math.ceil(rows * max(((found.high - found.low) / 2 / gap) ** 2 - 1, 1 / rows))


def _scores(baseline: dict[str, Score], definition: Task, file: str) -> Found:
    for name, fact in (("prompted_base", "prompted"), ("tfidf", "tfidf")):
        score = baseline.get(name)
        found = score.metrics.get(definition.chosen_metric) if score else None
        if score and found:
            yield f"{fact}_low", round(found.low, 4), file
            yield f"{fact}_high", round(found.high, 4), file
            if name == "tfidf" and definition.target is not None:
                yield "tfidf_more_rows", more_rows_to_tell(found, definition.target, score.count), file
    prompted = baseline.get("prompted_base")
    if prompted and prompted.latency:
        yield "prompted_p95_ms", prompted.latency.p95, file
