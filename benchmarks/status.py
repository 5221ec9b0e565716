"""What asking how a run stands costs the run: windows with calls and without them, in turn, in one run.

    uv run --extra train python benchmarks/status.py [--calls 50] [--windows 10] [--seconds 6]

Prints the seconds of a training step in both kinds of windows, and the processor time of a call. The windows alternate, so
whatever else the machine does meets both kinds.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from itertools import pairwise
from pathlib import Path

from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.sample import SUPPORT_MESSAGES
from nlp_skills.data.sourcing import add_source
from nlp_skills.task.task import TaskType, create_task
from nlp_skills.training.new_version import create_version
from nlp_skills.training.run.metrics_log import read_metrics
from nlp_skills.training.status import training_status
from nlp_skills.training.targets.local import end_run, start_run


def make_task(home: Path) -> Path:
    """A task whose run is longer than the measurement."""
    create_task(home, "support", type=TaskType.CLASSIFICATION, goal="Route the message.", instruction="Team?")
    task = home / "support"
    add_source(task, str(SUPPORT_MESSAGES), copy=True)
    regenerate_data(task)
    create_version(
        task, epochs=100, per_device_train_batch_size=2, settings={"threads": 1, "eval_steps": 10**6}
    )
    return task


def clock(folder: Path) -> list[float]:
    """Seconds at the end of each step."""
    return [row["seconds"] for row in read_metrics(folder / "metrics.jsonl") if "loss" in row]


def measure(
    task: Path, calls: int, windows: int, seconds: float
) -> tuple[list[float], list[float], list[float]]:
    """Step seconds without calls, with calls, and the processor seconds of each call."""
    folder = task / "versions" / "v1"
    process = start_run(task, folder)
    steps: tuple[list[float], list[float]] = ([], [])
    took: list[float] = []
    try:
        while len(clock(folder)) < 5:  # the first steps are slower
            assert process.poll() is None, (folder / "train.log").read_text(encoding="utf-8")
            time.sleep(0.5)
        for window in range(2 * windows):
            before = len(clock(folder))
            end = time.monotonic() + seconds
            for call in range(calls // windows if window % 2 else 0):
                started = time.process_time()  # most of a call waits for a lock, which costs nobody anything
                training_status(task)
                took.append(time.process_time() - started)
                time.sleep(max(0.0, (end - time.monotonic()) / (calls // windows - call)))
            time.sleep(max(0.0, end - time.monotonic()))
            steps[window % 2].extend(b - a for a, b in pairwise(clock(folder)[before - 1 :]))
    finally:
        end_run(process, folder)
    return steps[0], steps[1], took


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=50)
    parser.add_argument("--windows", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=6.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        task = make_task(Path(folder) / "tasks")
        quiet, asked, took = measure(task, given.calls, given.windows, given.seconds)
    print(
        f"{len(took)} calls, each {1000 * statistics.median(took):.1f} ms (slowest {1000 * max(took):.1f} ms)"
    )
    for name, found in (("without calls", quiet), ("with calls", asked)):
        print(
            f"{name:14} {len(found):4} steps, median {1000 * statistics.median(found):.1f} ms, mean {1000 * statistics.mean(found):.1f} ms"
        )
    slower = statistics.median(asked) / statistics.median(quiet) - 1
    share = sum(took) / (given.seconds * given.windows)
    print(f"slower by {slower:+.2%} (median step); the calls themselves take {share:.2%} of one core")


if __name__ == "__main__":
    main()
