"""How long `list_tasks` takes over many tasks, beside reading every file and beside only looking at them.

    uv run --all-extras python benchmarks/tasks.py [--tasks 10000] [--versions 3] [--repeat 5]

The tasks are made in a temporary folder. Warm figures are the median of the repeats; a process that
lists for the first time also imports SQLAlchemy, which is measured apart.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from nlp_skills.records import read_mapping, to_yaml
from nlp_skills.task.index import TaskList, list_tasks
from nlp_skills.task.task import Task, TaskType

HOUR_NS = 3600 * 1_000_000_000

T = TypeVar("T")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--tasks", type=int, default=10_000)
    parser.add_argument("--versions", type=int, default=3, help="of each task")
    parser.add_argument("--repeat", type=int, default=5, help="of each warm measurement")
    choice = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "tasks"
        make_tasks(home, choice.tasks, choice.versions)
        print_table(measure(home, choice.repeat), choice.tasks, choice.versions)


def make_tasks(home: Path, tasks: int, versions: int) -> None:
    """Task folders as they look after some work, last changed an hour ago."""
    then = time.time_ns() - HOUR_NS
    for number in range(tasks):
        folder = home / f"task-{number:05}"
        task = Task(
            name=folder.name,
            type=TaskType.CLASSIFICATION,
            goal="Route each support ticket to the team that can answer it.",
            pain="Every third ticket starts with the wrong team.",
            labels=["billing", "shipping", "returns", "account"],
            target=0.9,
            created="2026-11-01T08:00:00Z",
        )
        write(folder / "task.yaml", task.to_bytes(".yaml"), then)
        for version in range(1, versions + 1):
            content = to_yaml(lineage(version, number))
            write(folder / "versions" / f"v{version}" / "lineage.yaml", content, then)


def lineage(version: int, number: int) -> dict[str, object]:
    """A lineage.yaml of the usual size."""
    return {
        "version": f"v{version}",
        "created": "2026-11-02T08:00:00Z",
        "parent": f"v{version - 1}" if version > 1 else None,
        "changes": ["learning_rate: 0.0002 -> 0.0001", "120 more rows of returns"],
        "data": {"source_hash": "0" * 64, "train_count": 1400, "valid_count": 300, "test_count": 300},
        "config": {
            "base_model": "smollm2-135m-instruct",
            "method": "sft",
            "peft": "lora",
            "lora_r": 16,
            "lora_alpha": 32,
            "epochs": 3,
            "learning_rate": 0.0001,
            "max_length": 512,
            "seed": 13,
        },
        "results": {"macro_f1": 0.5 + (number * 7 + version * 13) % 50 / 100, "accuracy": 0.8},
        "environment": {
            "python": "3.12.1",
            "packages": {"torch": "2.13.0", "transformers": "5.23.0", "trl": "1.16.0", "peft": "0.21.2"},
            "gpu": None,
            "commit": "0" * 40,
        },
        "cost": {"seconds": 312.4, "usd": 0.0, "peak_memory": 2.1},
    }


def write(path: Path, content: bytes, when_ns: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    os.utime(path, ns=(when_ns, when_ns))


def measure(home: Path, repeat: int) -> dict[str, float]:
    """What was done → seconds. Every answer is checked against the cold one."""
    seconds: dict[str, float] = {}
    seconds["import sqlalchemy, once in a process"] = timed(import_sqlalchemy)[0]
    seconds["list_tasks, cold (no index)"], cold = timed(lambda: list_tasks(home))
    seconds["list_tasks, warm"] = repeated(lambda: list_tasks(home), repeat, expected=cold)
    seconds["list_tasks, after one task changed"] = repeated(lambda: change_and_list(home), repeat)
    seconds["walk that reads each task.yaml"] = repeated(lambda: read_all(home), repeat)
    seconds["walk that reads every YAML of each task"] = repeated(lambda: read_every_file(home), 1)
    seconds["walk that only stats task.yaml"] = repeated(lambda: stat_all(home), repeat)
    return seconds


def timed(action: Callable[[], T]) -> tuple[float, T]:
    start = time.perf_counter()
    result = action()
    return time.perf_counter() - start, result


def repeated(action: Callable[[], T], repeat: int, expected: T | None = None) -> float:
    """The median; stops where an answer is not the expected one."""
    runs = [timed(action) for _ in range(repeat)]
    if expected is not None and any(result != expected for _, result in runs):
        raise SystemExit("The warm answer differs from the cold one.")
    return statistics.median(duration for duration, _ in runs)


def import_sqlalchemy() -> None:
    import sqlalchemy.dialects.sqlite  # noqa: F401


def change_and_list(home: Path) -> TaskList:
    """One task gets another goal; the change is dated into the past, so that it is one change and no more."""
    file = next(iter(sorted(home.iterdir()))) / "task.yaml"
    task = Task.load(file)
    then = file.stat().st_mtime_ns + 1_000_000_000
    write(file, task.with_changes(goal=task.goal + " Now.").to_bytes(".yaml"), then)
    listed = list_tasks(home)
    if not listed.tasks[0].goal.endswith(" Now."):
        raise SystemExit("The change was not seen.")
    return listed


def read_all(home: Path) -> int:
    return len([read_mapping(Path(entry.path) / "task.yaml") for entry in os.scandir(home)])


def read_every_file(home: Path) -> int:
    """What the same answer costs at least where there is no index."""
    return len(
        [read_mapping(path) for entry in os.scandir(home) for path in Path(entry.path).rglob("*.yaml")]
    )


def stat_all(home: Path) -> int:
    return len([os.stat(f"{entry.path}/task.yaml") for entry in os.scandir(home)])  # noqa: PTH116


def print_table(seconds: dict[str, float], tasks: int, versions: int) -> None:
    warm = seconds["list_tasks, warm"]
    print(f"{tasks:,} tasks with {versions} versions each\n")
    print(f"{'what':<40} {'seconds':>9} {'x warm':>8}")
    for what, value in seconds.items():
        print(f"{what:<40} {value:>9.3f} {value / warm:>8.2f}")


if __name__ == "__main__":
    main()
