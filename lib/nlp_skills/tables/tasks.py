"""Tasks: all of them in a table, one at a glance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from nlp_skills.tables.grid import filled, table

if TYPE_CHECKING:
    from nlp_skills.task.index import TaskList
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
    )
    broken = [Text(f"{name}: {reason}", style="red") for name, reason in found.unreadable.items()]
    return Group(rows, *broken)


def task_overview(found: TaskOverview) -> RenderableType:
    """One task at a glance."""
    task = found.task
    target = "" if task.target is None else f", target {task.target:g}"
    rows = ", ".join(f"{name} {count}" for name, count in found.rows.items()) or "none yet"
    head = table("", "")
    for name, value in (
        ("task", f"{task.name} ({task.type})"),
        ("goal", task.goal),
        ("metric", f"{task.chosen_metric}{target}"),
        ("data", f"{rows}; {found.validation}"),
        ("folder", found.folder),
    ):
        head.add_row(Text(name, style="bold"), value)
    head.show_header = False
    parts: list[RenderableType] = [head]
    if found.versions:
        versions = table("version", "from", "training", "results", "changes")
        for v in found.versions:
            results = ", ".join(f"{name} {value:.3f}" for name, value in v.results.items())
            names = [alias for alias, version in found.aliases.items() if version == v.version]
            shown = f"{v.version} ({', '.join(names)})" if names else v.version
            versions.add_row(shown, v.parent or "", v.training, results, "; ".join(v.changes))
        parts += [Text(), versions]
    return Group(*parts, Text(), Text(f"Next: {found.next}", style="bold"))
