"""The project template: what a new task's folder holds before any work is done.

The files below `files/` are copied as they are; README.md and docs/journal.md name the task.
The whole folder is built beside its place and renamed into it, so a kill leaves nothing or all of it.
"""

from __future__ import annotations

import shutil
from pathlib import Path
from string import Template

from nlp_skills.errors import AlreadyExists
from nlp_skills.records import sync_folder, unfinished, write_atomic
from nlp_skills.task.task import Task

FILES = Path(__file__).resolve().parent / "files"

FOLDERS = ("data/raw", "versions", "scripts", "configs", "models", "benchmarks", "docs")

_NAMES_THE_TASK = ("README.md", "docs/journal.md")

_RENAMED = {"gitignore": ".gitignore"}
"""Under its real name it would be a rule of the repository that holds the template."""


def lay_template(folder: Path, task: Task) -> None:
    """Create the task's folder with task.yaml and the whole template, in one step.

    Raises AlreadyExists when there is anything at `folder`; what is there stays as it is.
    """
    if folder.exists():
        raise _taken(folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    building = unfinished(folder)
    building.mkdir()
    try:
        _fill(building, task)
        _move(building, folder)
    except BaseException:
        shutil.rmtree(building, ignore_errors=True)
        raise
    sync_folder(folder.parent)


def _fill(folder: Path, task: Task) -> None:
    """Write everything; task.yaml comes last, because it is what makes a folder a task."""
    for name in FOLDERS:
        (folder / name).mkdir(parents=True)
    for source in template_files():
        name = source.relative_to(FILES).as_posix()
        content = source.read_bytes()
        if name in _NAMES_THE_TASK:
            content = _name_task(content.decode("utf-8"), task).encode("utf-8")
        write_atomic(folder / _RENAMED.get(name, name), content)
    task.save(folder / "task.yaml")


def template_files() -> list[Path]:
    """The template's files, sorted; what Python caches beside the scripts is none of them."""
    return sorted(p for p in FILES.rglob("*") if p.is_file() and "__pycache__" not in p.parts)


def _name_task(text: str, task: Task) -> str:
    target = "none yet" if task.target is None else f"{task.target:g}"
    return Template(text).substitute(
        name=task.name,
        goal=" ".join(task.goal.split()),
        type=task.type.value,
        metric=task.chosen_metric,
        target=target,
        date=task.created[:10],
    )


def _move(building: Path, folder: Path) -> None:
    try:
        building.rename(folder)
    except OSError:
        if folder.exists():  # somebody else was quicker
            raise _taken(folder) from None
        raise


def _taken(folder: Path) -> AlreadyExists:
    return AlreadyExists(
        f"{folder} already exists and is left as it is. Choose another name, or delete it first."
    )
