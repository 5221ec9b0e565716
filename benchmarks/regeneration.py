"""How long regenerate_data takes and how much memory, with and without split.similar, on plain and on adversarial rows.

    uv run --all-extras python benchmarks/regeneration.py [--rows 1000000] [--templated 20000]

Writes seeded rows as JSONL into a task in a temporary folder and regenerates it; each run is a process of its own, the
clock starts after its imports, and the peak is that process's (processes that convert rows for it not counted):

    chat       a message of about 30 words and its label; hardly any two are alike
    order      `order <number>` and the same 60 words: every two are alike
    near       60 words of which 12 are others in each row: no two are alike, but hashes of 3 words cannot rule it out

order and near have --templated rows, and a tenth of these: ten times the rows should take about ten times as long.
"""

from __future__ import annotations

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

LABELS = ("account", "billing", "delivery", "other", "refund")
SYLLABLES = [f"{one}{two}" for one in "bdfglmnprst" for two in ("ana", "elo", "iru", "opa", "uke")]
WORDS = [f"{one}{two}" for one in SYLLABLES for two in SYLLABLES]
TEMPLATE = random.Random(13).choices(WORDS, k=60)


def chat(rng: random.Random, _: int) -> str:
    return " ".join(rng.choices(WORDS, k=rng.randint(20, 40)))


def order(_: random.Random, number: int) -> str:
    return f"order {number} {' '.join(TEMPLATE)}"


def near(rng: random.Random, _: int) -> str:
    return " ".join([*rng.choices(WORDS, k=12), *TEMPLATE[12:]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000, help="chat rows (0: none)")
    parser.add_argument("--templated", type=int, default=20_000, help="rows of order and near (0: none)")
    parser.add_argument("--task", type=Path, help=argparse.SUPPRESS)
    choice = parser.parse_args()
    if choice.task:
        print(json.dumps(measure(choice.task)))
        return
    print("| rows | | MB | split.similar | seconds | peak MB |\n|---|---|---|---|---|---|")
    if choice.rows:
        compare(chat, choice.rows)
    for kind in (order, near) if choice.templated else ():
        compare(kind, choice.templated // 10)
        compare(kind, choice.templated)


def compare(kind: Callable[[random.Random, int], str], rows: int) -> None:
    """A line of the table for each of the two settings."""
    for similar in (None, 0.8):
        with tempfile.TemporaryDirectory() as folder:
            task, size = make_task(Path(folder), kind, rows, similar)
            done = subprocess.run(
                [sys.executable, __file__, "--task", str(task)], capture_output=True, text=True, check=True
            )
        seconds, peak = json.loads(done.stdout)
        print(
            f"| {kind.__name__} | {rows:,} | {size / 1e6:.0f} | {similar or 'off'} | {seconds:.1f} | {peak:.0f} |"
        )


def make_task(
    folder: Path, kind: Callable[[random.Random, int], str], rows: int, similar: float | None
) -> tuple[Path, int]:
    """A task with one source, and that source's bytes."""
    from nlp_skills.data.sources.source import DataSources
    from nlp_skills.data.sourcing import add_source
    from nlp_skills.task.task import TaskType, create_task

    create_task(folder, "sorting", type=TaskType.CLASSIFICATION, goal="Sort messages.")
    task, path, rng = folder / "sorting", folder / "rows.jsonl", random.Random(7)
    with path.open("w", encoding="utf-8") as stream:
        for number in range(rows):
            row = {"text": kind(rng, number), "label": rng.choice(LABELS)}
            stream.write(json.dumps(row) + "\n")
    add_source(task, str(path))
    settings = DataSources.load(task / "data_source.yaml")
    split = settings.split.with_changes(similar=similar)
    settings.with_changes(split=split.model_dump()).save(task / "data_source.yaml")
    return task, path.stat().st_size


def measure(task: Path) -> tuple[float, float]:
    """Seconds, and the peak of this process in MB: VmHWM, since ru_maxrss would include its parent's."""
    from nlp_skills.data.regenerate import regenerate_data

    started = time.perf_counter()
    regenerate_data(task)
    seconds = time.perf_counter() - started
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return seconds, int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    main()
