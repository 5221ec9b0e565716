"""What the tests of tasks share: task folders as they look after some work."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from nlp_skills.records import to_yaml
from nlp_skills.task.task import TaskType, create_task
from postgresql import postgresql_server, postgresql_url

__all__ = ["postgresql_server", "postgresql_url"]

MINUTE_NS = 60 * 1_000_000_000


def age(folder: Path) -> None:
    """Date a task's files a minute back, so that their time stamps can be relied on."""
    for file in folder.rglob("*.yaml"):
        then = file.stat().st_mtime_ns - MINUTE_NS
        os.utime(file, ns=(then, then))


def write_lineage(folder: Path, version: str, **results: float) -> None:
    path = folder / "versions" / version / "lineage.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(to_yaml({"version": version, "created": "2026-11-02T08:00:00Z", "results": results}))


MakeTask = Callable[..., Path]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "tasks"


@pytest.fixture
def make_task(home: Path) -> MakeTask:
    """`make_task("news", v1=0.5, v2=None)`: a task with the macro F1 of its versions."""

    def make(name: str, **versions: float | None) -> Path:
        create_task(home, name, type=TaskType.CLASSIFICATION, goal="Sort the news.", target=0.9)
        for version, value in versions.items():
            write_lineage(home / name, version, **({} if value is None else {"macro_f1": value}))
        age(home / name)
        return home / name

    return make


@pytest.fixture
def write_results() -> Callable[..., None]:
    """`write_results(folder, "v1", macro_f1=0.5)`: a version whose lineage.yaml holds these results."""
    return write_lineage


@pytest.fixture
def read_by() -> Callable[[Callable[..., object], Path], list[str]]:
    """`read_by(list_tasks, home)`: what the operation says it does, which is empty when it reads no task."""

    def messages(operation: Callable[..., object], home: Path) -> list[str]:
        said: list[str] = []
        operation(home, progress=lambda message, _done, _total: said.append(message))
        return said

    return messages


@pytest.fixture
def last_change() -> Callable[[Path], str]:
    def text(file: Path) -> str:
        return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(file.stat().st_mtime))

    return text
