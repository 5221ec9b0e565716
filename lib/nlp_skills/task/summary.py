"""One task in a line, read from its files: task.yaml and the lineage.yaml of every version."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path

from nlp_skills.errors import NlpSkillsError, NotValid
from nlp_skills.records import Record, read_mapping
from nlp_skills.task.signatures import files_of, lineage_of, stat_of, versions_of
from nlp_skills.task.task import LESS_IS_BETTER, Task, TaskType


class TaskSummary(Record):
    """One task in a line: the goal, the number, and how near the attempts came."""

    name: str
    """The folder's name, which is what operations take."""
    type: TaskType
    goal: str
    status: str
    metric: str
    target: float | None
    versions: int
    latest: str | None
    best: str | None
    """The version with the best value of `metric`, which is the lowest where less is better; of equal ones the first."""
    best_value: float | None
    latest_value: float | None
    """None while the latest version has not been evaluated."""
    updated: str
    """The last change of task.yaml or of a lineage.yaml, in UTC."""


class Entry(Record):
    """What one task contributes to the list; the index keeps it as JSON."""

    summary: TaskSummary | None = None
    unreadable: dict[str, str] = {}


def read_task(folder: Path) -> Entry:
    """Read task.yaml and every lineage.yaml; what cannot be read becomes a reason."""
    name = printable(folder.name)
    values: dict[str, float | None] = {}
    unreadable: dict[str, str] = {}
    try:
        task = _load_task(folder)
        for version in versions_of(str(folder)):
            if not (folder / "versions" / version).is_dir():
                continue
            try:
                values[version] = _result(Path(lineage_of(folder, version)), task.chosen_metric)
            except (NlpSkillsError, OSError) as error:
                values[version] = None
                unreadable[f"{name}/{version}"] = _reason(error)
        summary = _summarise(task, values, _last_change(str(folder)))
    except (NlpSkillsError, OSError) as error:
        return Entry(unreadable={name: _reason(error)})
    return Entry(summary=summary, unreadable=unreadable)


def _load_task(folder: Path) -> Task:
    """The task under the name of its folder, because that is what finds it, also after copying one."""
    task = Task.load(folder / "task.yaml")
    if task.name == folder.name:
        return task
    return Task.parse({**task.model_dump(mode="json"), "name": folder.name}, f"The folder {folder}")


def _result(lineage: Path, metric: str) -> float | None:
    """The version's value of the metric; None while there is none. Raises NotValid for a broken file."""
    if not lineage.exists():
        return None
    content = read_mapping(lineage)
    results = content.get("results") or {} if isinstance(content, dict) else None
    if not isinstance(results, dict):
        raise NotValid(
            f"{lineage} is not a valid lineage: results: a mapping of metric to value is expected."
        )
    value = results.get(metric)
    if value is None:
        return None
    if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:
        raise NotValid(
            f"{lineage} is not a valid lineage: results.{metric}: a number is expected, not {value!r}."
        )
    return float(value)


def _summarise(task: Task, values: dict[str, float | None], updated: str) -> TaskSummary:
    """`values`: version → value of the task's metric, in the order of the versions."""
    latest = list(values)[-1] if values else None
    measured = {version: value for version, value in values.items() if value is not None}
    first = min if task.chosen_metric in LESS_IS_BETTER else max
    best = first(measured, key=measured.__getitem__, default=None)
    return TaskSummary(
        name=task.name,
        type=task.type,
        goal=task.goal,
        status=task.status,
        metric=task.chosen_metric,
        target=task.target,
        versions=len(values),
        latest=latest,
        best=best,
        best_value=measured[best] if best else None,
        latest_value=values[latest] if latest else None,
        updated=updated,
    )


def _last_change(folder: str) -> str:
    newest = max(stat.st_mtime for _, file in files_of(folder) if (stat := stat_of(file)))
    return datetime.fromtimestamp(newest, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return printable(f"{error.filename} cannot be read: {error.strerror}.")
    return printable(str(error))


def printable(name: str) -> str:
    """The name with bytes that are no UTF-8 written as escapes; neither JSON nor a database takes them."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")
