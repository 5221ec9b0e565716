"""`report.html`: everything about a version, and one about the task, on pages that need no server and no network.

task folder ── collect ──> Evidence ── render, render_task (page/) ──> versions/vN/report.html, report.html
"""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import msgspec

from nlp_skills.data.report import ValidationReport
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.data.sources.source import DataSources
from nlp_skills.errors import NlpSkillsError, NotValid
from nlp_skills.evaluation.diagnosis.record import Diagnosis
from nlp_skills.evaluation.loss_chart import Curve
from nlp_skills.evaluation.page import render
from nlp_skills.evaluation.page.evidence import MOST_ROWS, Attempt, Evidence, Predictions
from nlp_skills.evaluation.page.task_page import render_task
from nlp_skills.evaluation.promotion import Promotion, check_promotion
from nlp_skills.evaluation.results import EvalResult, Prediction
from nlp_skills.evaluation.tool_use.record import ToolUseResult
from nlp_skills.records import Progress, Record, sha256_file, silent, write_atomic
from nlp_skills.task.comparison import Comparison
from nlp_skills.task.task import Task
from nlp_skills.task.version import Version, version_folder, version_names
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import Job
from nlp_skills.training.model_info import ModelInfo
from nlp_skills.training.run.metrics_log import read_metrics

AnyRecord = TypeVar("AnyRecord", bound=Record)


class Report(Record):
    """The written pages."""

    path: str
    """About the version, relative to the task folder."""
    task_path: str = "report.html"
    """About all versions of the task."""
    bytes: int
    """Of the page about the version."""
    versions: list[str]
    """The versions on the page; the last is the one that it is about."""


def write_report(task: Path, *, version: str | None = None, progress: Progress = silent) -> Report:
    """Write versions/<version>/report.html (the newest version by default) and report.html about all versions.

    Both are readable offline. The page of a version shows it beside those before it. What is not there
    yet, a page says in its place. Raises NotReady or NotFound when there is no such version, NotValid for
    a file that cannot be read.
    """
    progress("reading the records", 0, 2)
    evidence = collect(task, version)
    progress("writing the pages", 1, 2)
    page = render(evidence).encode("utf-8")
    path = task / "versions" / evidence.latest.version / "report.html"
    write_atomic(path, page)
    write_atomic(task / "report.html", render_task(collect_task(task), _pages(task)).encode("utf-8"))
    progress("done", 2, 2)
    return Report(
        path=path.relative_to(task).as_posix(),
        bytes=len(page),
        versions=[attempt.version for attempt in evidence.attempts],
    )


def collect(task: Path, version: str | None = None) -> Evidence:
    """Read what the page about a version shows: its records and those of the versions before it."""
    chosen, names = version_folder(task, version).name, version_names(task)
    attempts = _attempts(task, names[: names.index(chosen) + 1])
    latest, folder = attempts[-1], task / "versions" / chosen
    diagnosis = _load(Diagnosis, folder / "diagnosis.json")
    return Evidence(
        task=Task.load(task / "task.yaml"),
        attempts=attempts,
        sources=_load(DataSources, task / "data_source.yaml"),
        validation=_load(ValidationReport, task / "data" / "validation.json"),
        comparison=_compare(task, latest, attempts),
        promotion=_promotion(task, latest),
        diagnosis=diagnosis,
        diagnosis_is_old=diagnosis is not None
        and diagnosis.predictions_sha256 != _sha256(folder / "predictions.jsonl"),
        tools=_tools(task, chosen),
        predictions=read_rows(folder / "predictions.jsonl"),
        scripts=_scripts(task),
    )


def collect_task(task: Path) -> Evidence:
    """Read what the page about the whole task shows: every version; the gate is asked about the best of them."""
    evidence = Evidence(
        task=Task.load(task / "task.yaml"),
        attempts=_attempts(task, version_names(task)),
        scripts=_scripts(task),
    )
    return replace(evidence, promotion=_promotion(task, evidence.best) if evidence.best else None)


def _attempts(task: Path, names: list[str]) -> list[Attempt]:
    return [read_attempt(task, name, before) for name, before in zip(names, [None, *names], strict=False)]


def _pages(task: Path) -> set[str]:
    """The versions that have a page."""
    return {name for name in version_names(task) if (task / "versions" / name / "report.html").is_file()}


def _promotion(task: Path, attempt: Attempt) -> Promotion | str | None:
    """None where nothing was evaluated: then every criterion would say so."""
    if attempt.result is None:
        return None
    try:
        return check_promotion(task, version=attempt.version)
    except NlpSkillsError as error:
        return _without_path(error, task)


def _without_path(error: NlpSkillsError, task: Path) -> str:
    """The page may travel: where the task lies on this machine is nobody's business."""
    return str(error).replace(str(task), task.name)


def _tools(task: Path, version: str) -> list[ToolUseResult]:
    found = [ToolUseResult.load(path) for path in sorted(task.glob("benchmarks/tool_use/*.json"))]
    shown = [one for one in found if one.reference in (version, "base")]
    return sorted(shown, key=lambda one: (one.created, one.file))


def read_attempt(task: Path, version: str, before: str | None = None) -> Attempt:
    """The records of one version, as far as they are there.

    Lineage names the parent; where it is not written yet, that is the version `before`.
    """
    folder = task / "versions" / version
    lineage = _load(Version, folder / "lineage.yaml")
    return Attempt(
        version=version,
        parent=lineage.parent if lineage else before,
        config=_load(TrainConfig, folder / "config.yaml"),
        snapshot=_load(DataSnapshot, folder / "data_snapshot.json"),
        lineage=lineage,
        job=_load(Job, folder / "job.json"),
        curve=read_curve(folder / "metrics.jsonl"),
        result=_load(EvalResult, folder / "results.json"),
        model=_load(ModelInfo, folder / "model_info.json"),
    )


def read_curve(path: Path) -> Curve:
    """The losses of metrics.jsonl: of a step that was trained again after a resume, the last one counts."""
    train: dict[float, float] = {}
    evaluation: dict[float, float] = {}
    for point in read_metrics(path):
        step = point.get("step")
        for name, points in (("loss", train), ("eval_loss", evaluation)):
            value = point.get(name)
            if isinstance(step, int | float) and isinstance(value, int | float) and math.isfinite(value):
                points[step] = value
    return Curve(train=sorted(train.items()), evaluation=sorted(evaluation.items()))


def read_rows(path: Path) -> Predictions | None:
    """The predictions, the wrong ones first, and how many there are of all; None without a file."""
    if not path.is_file():
        return None
    decoder = msgspec.json.Decoder(Prediction)
    counts, kept = {True: 0, False: 0}, {True: [], False: []}
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                prediction = decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise NotValid(f"{path}:{number}: {error}. Evaluate the version again.") from None
            counts[prediction.correct] += 1
            if counts[prediction.correct] <= MOST_ROWS:
                kept[prediction.correct].append(prediction)
    return Predictions(sum(counts.values()), counts[False], [*kept[False], *kept[True]][:MOST_ROWS])


def _compare(task: Path, latest: Attempt, attempts: list[Attempt]) -> Comparison | str | None:
    from nlp_skills.evaluation.compare import compare_versions

    parent = next((a for a in attempts if a.version == latest.parent), None)
    if parent is None or parent.result is None or latest.result is None:
        return None
    try:
        return compare_versions(task, parent.version, latest.version)
    except NlpSkillsError as error:
        return _without_path(error, task)


def _scripts(task: Path) -> list[str]:
    """The numbered scripts but the one that publishes, which nobody should run by copying a block."""
    names = sorted(p.name for p in task.glob("scripts/[0-9][0-9]_*.py"))
    return [f"scripts/{name}" for name in names if "upload" not in name]


def _sha256(path: Path) -> str | None:
    return sha256_file(path) if path.is_file() else None


def _load(record: type[AnyRecord], path: Path) -> AnyRecord | None:
    return record.load(path) if path.is_file() else None
