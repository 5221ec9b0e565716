"""What a run is called: a fold, a part of a learning curve and a reproduction are trained in folders below a task's benchmarks/.

tickets/versions/v3                                    tickets v3
tickets/benchmarks/folds-1a2b3c4d/fold-2/versions/v1   tickets folds-1a2b3c4d/fold-2
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from nlp_skills.task.version import version_names

BENCHMARKS = "benchmarks"


def run_name(task: Path, version: str) -> tuple[str, str]:
    """The task's name and the run's; `task` is the folder that holds versions/."""
    for folder in task.parents:
        if folder.name == BENCHMARKS and (folder.parent / "task.yaml").is_file():
            return folder.parent.name, task.relative_to(folder).as_posix()
    return task.name, version


def task_runs(task: Path) -> Iterator[tuple[Path, str]]:
    """Every run of a task: the folder that holds it, and the version there."""
    below = task / BENCHMARKS
    for place in [task, *sorted([*below.glob("*/versions"), *below.glob("*/*/versions")])]:
        folder = place.parent if place.name == "versions" else place
        yield from ((folder, version) for version in version_names(folder))
