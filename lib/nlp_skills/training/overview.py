"""One task at a glance: what it wants, what data and versions it has, and what comes next."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import Any

from nlp_skills.data.checked import checked_state, count_rows, last_report
from nlp_skills.data.fixes import FIXES
from nlp_skills.data.sources.source import DataSources
from nlp_skills.errors import NlpSkillsError, NotFound, NotValid
from nlp_skills.records import Record, read_mapping
from nlp_skills.task.plan import PlanState, read_plan
from nlp_skills.task.registry import read_registry
from nlp_skills.task.task import Task
from nlp_skills.task.version import is_trial, version_names
from nlp_skills.training.present_job import seen_job
from nlp_skills.training.run.metrics_log import read_metrics
from nlp_skills.training.status import newest_figures


class VersionOverview(Record):
    """A version in a line."""

    version: str
    parent: str | None = None
    changes: list[str] = []
    training: str
    """The job's status, or "not trained"."""
    results: dict[str, float] = {}
    measured: dict[str, float] = {}
    """What its training measured last, of a version that has no results yet: validation loss, pairs, rewards."""


class TaskOverview(Record):
    """What `show_task` tells."""

    task: Task
    folder: str
    rows: dict[str, int] = {}
    validation: str
    """passed, found errors, not validated, or edited since the checks."""
    versions: list[VersionOverview] = []
    plan: PlanState | None = None
    """How far plan.md is, where there is one."""
    aliases: dict[str, str] = {}
    """dev, staging and prod, and the version that each names."""
    next: str


def show_task(task: Path) -> TaskOverview:
    """Read the task's records and say where it stands and what to do next."""
    definition = Task.load(task / "task.yaml")
    snapshot = _read(task / "data" / "data_snapshot.json")
    splits = _mapping(snapshot.get("splits"))
    rows = {name: _mapping(split).get("count", 0) for name, split in splits.items()}
    validation = checked_state(task)
    if rows and validation != "not validated":  # of edited files the snapshot tells another number
        rows = count_rows(task)
    versions = [_version(task / "versions" / name) for name in version_names(task)]
    plan = read_plan(task)
    return TaskOverview(
        task=definition,
        folder=str(task),
        rows=rows,
        validation=validation,
        versions=versions,
        plan=plan,
        aliases=_aliases(task),
        next=_stopped(definition) + (_planned(plan) or _next(task, rows, validation, versions)),
    )


def _stopped(definition: Task) -> str:
    return (
        ""
        if definition.status == "active"
        else "Stopped; to go on, write status: active into task.yaml. Then: "
    )


def _aliases(task: Path) -> dict[str, str]:
    """As registry.json has them; none where it is absent or broken."""
    with suppress(NotValid):
        return {str(alias): version for alias, version in read_registry(task).aliases.items()}
    return {}


def _version(folder: Path) -> VersionOverview:
    lineage = _read(folder / "lineage.yaml")
    shown = {key: lineage[key] for key in ("parent", "changes", "results") if lineage.get(key) is not None}
    job = seen_job(folder)
    training = job.status if job else "not trained"
    if not shown.get("results"):
        shown["measured"] = newest_figures(read_metrics(folder / "metrics.jsonl"))
    try:
        return VersionOverview.parse({"version": folder.name, "training": training, **shown}, folder)
    except NotValid:
        return VersionOverview(version=folder.name, training=training, changes=["lineage.yaml is broken"])


def _read(path: Path) -> dict[str, Any]:
    """The record as it is, {} where it is absent or broken: an overview never fails on one bad file."""
    try:
        found = read_mapping(path)
    except NlpSkillsError:
        return {}
    return _mapping(found)


def _mapping(found: Any) -> dict[str, Any]:
    return found if isinstance(found, dict) else {}


def _is_fixable(task: Path) -> bool:
    """Whether fix_data has something for the errors that the checks found."""
    report = last_report(task)
    return report is not None and any(f.level == "error" and f.check in FIXES for f in report.findings)


def _planned(plan: PlanState | None) -> str | None:
    """The plan's next open step goes before what the records suggest."""
    if plan is None or plan.next is None:
        return None
    return f"Step {plan.done + 1} of {plan.steps} in plan.md: {plan.next}"


def _next(task: Path, rows: dict[str, int], validation: str, versions: list[VersionOverview]) -> str:
    name = task.name
    try:
        sources = DataSources.load(task / "data_source.yaml").sources
    except NotFound:
        sources = []
    except NotValid as error:
        return f"Mend what is wrong here: {error}"
    if not sources:
        return f"Add data: nlp-skills add-source {name} FILE"
    read = _read(task / "data" / "data_snapshot.json").get("sources")
    new = [source for source in sources if isinstance(read, dict) and source.name not in read]
    if not rows or new:
        return f"Read the data: nlp-skills regenerate-data {name}"
    if validation in ("not validated", "edited since the checks"):
        return f"Check the data: nlp-skills validate-data {name}"
    if validation == "found errors":
        if not _is_fixable(task):
            return f"See what is wrong, and how to mend it: nlp-skills validate-data {name}"
        return (
            f"See what is wrong: nlp-skills validate-data {name}. Mend it with nlp-skills fix-data {name}, or at its"
            f" source and then: nlp-skills regenerate-data {name}"
        )
    if not versions:
        return f"Make a first version: nlp-skills create-version {name}"
    newest = next((v for v in reversed(versions) if not is_trial(v.changes)), versions[-1])
    if newest.training in ("queued", "running"):
        return f"Wait for the run: nlp-skills training-status {name}"
    if newest.training != "succeeded":
        return f"Train {newest.version}: nlp-skills train-model {name}"
    if not newest.results:
        return f"Test {newest.version}: nlp-skills evaluate-version {name}"
    if newest.parent:
        return (
            f"See whether it is better: nlp-skills compare-versions {name} {newest.parent} {newest.version}"
        )
    return f"Read the report (nlp-skills write-report {name}), or try another setting: nlp-skills create-version {name}"
