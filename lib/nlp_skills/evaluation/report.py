"""`report.html`: everything about a version on one page that needs no server and no network.

task folder ── collect ──> Evidence ── render (page.py) ──> HTML
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from nlp_skills.data.report import ValidationReport
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.data.sources.source import DataSources
from nlp_skills.errors import NlpSkillsError, NotFound, NotValid, did_you_mean
from nlp_skills.evaluation.charts import Curve
from nlp_skills.evaluation.page import render
from nlp_skills.evaluation.page.evidence import MOST_WRONG, Attempt, Evidence, Predictions
from nlp_skills.evaluation.results import EvalResult, Prediction
from nlp_skills.records import Progress, Record, read_mapping, silent, write_atomic
from nlp_skills.task.comparison import Comparison
from nlp_skills.task.task import Task
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import Job
from nlp_skills.training.model_info import ModelInfo

AnyRecord = TypeVar("AnyRecord", bound=Record)


class Report(Record):
    """A written report."""

    path: str
    """Relative to the task folder."""
    bytes: int
    versions: list[str]
    """The versions on the page; the last is the one that it is about."""


def write_report(task: Path, *, version: str | None = None, progress: Progress = silent) -> Report:
    """Write versions/<version>/report.html (the newest version by default), readable offline.

    The page shows the version beside those before it. What is not there yet, it says in its place.
    Raises NotFound when there is no such version, NotValid for a file that cannot be read.
    """
    progress("reading the records", 0, 2)
    evidence = collect(task, version)
    progress("writing the page", 1, 2)
    page = render(evidence).encode("utf-8")
    path = task / "versions" / evidence.latest.version / "report.html"
    write_atomic(path, page)
    progress("done", 2, 2)
    return Report(
        path=path.relative_to(task).as_posix(),
        bytes=len(page),
        versions=[attempt.version for attempt in evidence.attempts],
    )


def collect(task: Path, version: str | None = None) -> Evidence:
    """Read what the page about a version shows: its records and those of the versions before it."""
    attempts = [read_attempt(task, name) for name in _versions_up_to(task, version)]
    attempts = [_with_parent(attempts, index) for index in range(len(attempts))]
    latest = attempts[-1]
    return Evidence(
        task=Task.load(task / "task.yaml"),
        attempts=attempts,
        sources=_load(DataSources, task / "data_source.yaml"),
        validation=_load(ValidationReport, task / "data" / "validation.json"),
        comparison=_compare(task, latest, attempts),
        predictions=read_wrong(task / "versions" / latest.version / "predictions.jsonl"),
        scripts=_scripts(task),
    )


def version_names(task: Path) -> list[str]:
    """The task's versions in their order: v2 before v10."""
    names = [p.name for p in task.glob("versions/v*") if p.is_dir() and p.name[1:].isdecimal()]
    return sorted(names, key=lambda name: int(name[1:]))


def _versions_up_to(task: Path, version: str | None) -> list[str]:
    names = version_names(task)
    if not names:
        raise NotFound(f"{task} has no version yet. Train one with: uv run scripts/04_train.py")
    if version is None:
        return names
    if version not in names:
        raise NotFound(
            f"No version {version!r} in {task}{did_you_mean(version, names)}. Known versions: {', '.join(names)}."
        )
    return names[: names.index(version) + 1]


def read_attempt(task: Path, version: str) -> Attempt:
    """The records of one version, as far as they are there."""
    folder = task / "versions" / version
    lineage = read_mapping(folder / "lineage.yaml") if (folder / "lineage.yaml").is_file() else {}
    if not isinstance(lineage, dict):
        raise NotValid(f"{folder / 'lineage.yaml'} is not a mapping of fields to values.")
    return Attempt(
        version=version,
        parent=lineage.get("parent"),
        config=_load(TrainConfig, folder / "config.yaml"),
        snapshot=_load(DataSnapshot, folder / "data_snapshot.json"),
        lineage=lineage,
        job=_load(Job, folder / "job.json"),
        curve=read_curve(folder / "metrics.jsonl"),
        result=_load(EvalResult, folder / "results.json"),
        model=_load(ModelInfo, folder / "model_info.json"),
    )


def _with_parent(attempts: list[Attempt], index: int) -> Attempt:
    """Lineage names the parent; until it is written, that is the version before."""
    attempt = attempts[index]
    if attempt.lineage or index == 0:
        return attempt
    return dataclasses.replace(attempt, parent=attempts[index - 1].version)


def read_curve(path: Path) -> Curve:
    """The losses of metrics.jsonl: of a step that was trained again after a resume, the last one counts."""
    train: dict[float, float] = {}
    evaluation: dict[float, float] = {}
    for point in _lines(path):
        step = point.get("step")
        for name, points in (("loss", train), ("eval_loss", evaluation)):
            value = point.get(name)
            if isinstance(step, int | float) and isinstance(value, int | float) and math.isfinite(value):
                points[step] = value
    return Curve(train=sorted(train.items()), evaluation=sorted(evaluation.items()))


def _lines(path: Path) -> Iterator[dict[str, Any]]:
    """JSON objects, one a line; a last line that is still being written is left out."""
    if not path.is_file():
        return
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except ValueError as error:
            if number == len(lines):
                return
            raise NotValid(
                f"{path}:{number}: {error}. Delete the line, or train the version again."
            ) from None
        if isinstance(value, dict):
            yield value


def read_wrong(path: Path) -> Predictions | None:
    """The wrong predictions, and how many there are of all; None without a file."""
    if not path.is_file():
        return None
    decoder = msgspec.json.Decoder(Prediction)
    count, wrong_count, wrong = 0, 0, []
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if not line.strip():
                continue
            try:
                prediction = decoder.decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise NotValid(f"{path}:{number}: {error}. Evaluate the version again.") from None
            count += 1
            if not prediction.correct:
                wrong_count += 1
                if len(wrong) < MOST_WRONG:
                    wrong.append(prediction)
    return Predictions(count, wrong_count, wrong)


def _compare(task: Path, latest: Attempt, attempts: list[Attempt]) -> Comparison | str | None:
    from nlp_skills.evaluation.compare import compare_versions

    parent = next((a for a in attempts if a.version == latest.parent), None)
    if parent is None or parent.result is None or latest.result is None:
        return None
    try:
        return compare_versions(task, parent.version, latest.version)
    except NlpSkillsError as error:
        return str(error)


def _scripts(task: Path) -> list[str]:
    """The numbered scripts but the one that publishes, which nobody should run by copying a block."""
    names = sorted(p.name for p in task.glob("scripts/[0-9][0-9]_*.py"))
    return [f"scripts/{name}" for name in names if "upload" not in name]


def _load(record: type[AnyRecord], path: Path) -> AnyRecord | None:
    return record.load(path) if path.is_file() else None
