"""Tasks: all of them in a table, one at a glance, its report."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from nlp_skills.tables.grid import filled, table

if TYPE_CHECKING:
    from nlp_skills.evaluation.report import Report
    from nlp_skills.task.index import TaskList
    from nlp_skills.task.task import Task
    from nlp_skills.training.overview import TaskOverview


def task_list(found: TaskList) -> RenderableType:
    """All tasks, the broken ones with their reason."""
    if not found.tasks and not found.unreadable:
        return Text(f"No task in {found.home} yet. See the whole way once with: nlp-skills quickstart")
    rows = filled(
        (
            {
                "task": task.name,
                "type": str(task.type),
                "status": task.status,
                "versions": str(task.versions or ""),
                "latest": task.latest or "",
                "metric": task.metric,
                "best": "" if task.best_value is None else f"{task.best_value:.3f} ({task.best})",
                "target": "" if task.target is None else f"{task.target:g}",
            }
            for task in found.tasks
        ),
        right=("versions", "best", "target"),
        whole=("type", "best"),
        less=("target", "latest", "status", "metric"),
    )
    broken = [Text(f"{name}: {reason}", style="red") for name, reason in found.unreadable.items()]
    return Group(rows, *broken)


def task(found: Task) -> RenderableType:
    """What was said of a new task; its files have the rest."""
    constraints = found.constraints.model_dump(mode="json", exclude_none=True)
    return _facts(
        task=f"{found.name} ({found.type})",
        goal=found.goal,
        pain=found.pain,
        language=found.language,
        labels=", ".join(found.labels),
        instruction=found.instruction,
        metric=_metric(found),
        constraints=", ".join(f"{name} {value}" for name, value in constraints.items()),
        **{"base model": found.base_model},
    )


def report(found: Report) -> RenderableType:
    """Where the pages are."""
    beside = f", beside {', '.join(found.versions[:-1])}" if found.versions[:-1] else ""
    return _facts(
        **{found.versions[-1]: f"{found.path} ({found.bytes / 1024:,.0f} KiB{beside})"},
        task=f"{found.task_path} (all versions)",
    )


def _facts(**values: str | None) -> RenderableType:
    """Name and value, of those that have one."""
    head = table("", "")
    head.show_header = False
    for name, value in values.items():
        if value:
            head.add_row(Text(name, style="bold"), value)
    return head


def _metric(found: Task) -> str:
    return found.chosen_metric + ("" if found.target is None else f", target {found.target:g}")


def task_overview(found: TaskOverview) -> RenderableType:
    """One task at a glance."""
    task = found.task
    rows = ", ".join(f"{name} {count}" for name, count in found.rows.items()) or "none yet"
    head = _facts(
        task=f"{task.name} ({task.type})",
        goal=task.goal,
        metric=_metric(task),
        data=f"{rows}; {found.validation}",
        folder=found.folder,
    )
    parts: list[RenderableType] = [head]
    if found.versions:
        versions = table("version", "from", "training", "results", "changes")
        for v in found.versions:
            chosen = [task.chosen_metric] if task.chosen_metric in v.results else list(v.results)
            results = ", ".join(f"{name} {v.results[name]:.3f}" for name in chosen)
            names = [alias for alias, version in found.aliases.items() if version == v.version]
            shown = f"{v.version} ({', '.join(names)})" if names else v.version
            versions.add_row(shown, v.parent or "", v.training, results, "; ".join(v.changes))
        parts += [Text(), versions]
    return Group(*parts, Text(), Text(f"Next: {found.next}", style="bold"))
