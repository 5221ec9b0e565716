"""session-start: one line on what happened while nobody looked, and on what comes next."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nlp_skills.errors import NlpSkillsError
from nlp_skills.hooks.note import ENDED, cut, last_look, modified

LENGTH = 400
"""Characters: it stands at the beginning of every session."""
NAMED = 3
"""How many ended runs and how many tasks with broken data are named; the others are counted."""
TASKS = 200
"""Beyond so many the newest are looked at: looking at one takes a millisecond."""


def session_note(event: dict[str, Any], home: Path, seen: Path | None) -> str | None:  # noqa: ARG001
    """Runs that ended since the last session, data with errors, the next open step; None where there is no task."""
    from nlp_skills.task.task import task_names

    tasks = sorted((home / name for name in task_names(home)), key=_touched, reverse=True)[:TASKS]
    if not tasks:
        return None
    before = last_look(seen)
    told = [
        *_some(_ended(tasks, before), "more runs ended"),
        *_some(_broken(tasks), "more tasks have broken data"),
    ]
    line = "nlp-skills: " + "; ".join([*told, _next(next(filter(_is_active, tasks), tasks[0]))])
    return cut(line if line.endswith(("?", "!")) else f"{line}.", LENGTH)


def _touched(task: Path) -> int:
    """When somebody last worked on it."""
    files = (
        task / name for name in ("task.yaml", "plan.md", "data/train.jsonl", "versions", "docs/journal.md")
    )
    return max(map(modified, files))


def _ended(tasks: list[Path], before: int) -> list[str]:
    from nlp_skills.task.version import version_names
    from nlp_skills.training.job import Job

    found: list[str] = []
    if not before:  # nobody has looked yet: everything would be news
        return found
    for task in tasks:
        for version in version_names(task):
            file = task / "versions" / version / "job.json"
            if modified(file) <= before:
                continue
            try:
                status = Job.load(file).status
            except NlpSkillsError:
                continue
            if status in ENDED:
                found.append(f"{task.name} {version} has {status}")
    return found


def _broken(tasks: list[Path]) -> list[str]:
    """By the last report; whether the data is still the same would take a look at all of it."""
    from nlp_skills.data.checked import last_report

    reports = [(task, last_report(task)) for task in tasks]
    return [
        f"the checks found errors in the data of {task.name}"
        for task, report in reports
        if report and not report.passed and _is_active(task)
    ]


def _is_active(task: Path) -> bool:
    """Whether anybody wants to hear of it: one that cannot be read has to be mended."""
    from nlp_skills.task.task import Task

    try:
        return Task.load(task / "task.yaml").status == "active"
    except NlpSkillsError:
        return True


def _some(said: list[str], more: str) -> list[str]:
    rest = len(said) - NAMED
    return said[:NAMED] + ([f"{rest} {more}"] if rest > 0 else [])


def _next(task: Path) -> str:
    from nlp_skills.training.overview import show_task

    try:
        return f"next for {task.name}: {show_task(task).next}".rstrip(".")
    except NlpSkillsError as error:
        return str(error).splitlines()[0].rstrip(".")
