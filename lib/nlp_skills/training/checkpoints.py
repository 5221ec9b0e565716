"""The checkpoints of a run: whole or absent, whenever the run is killed, and only the newest few.

models/vN/checkpoints/  checkpoint-10/  checkpoint-20/  .checkpoint-30.tmp/ (being written)
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from nlp_skills.records import sync_folder

KEPT = 2


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    found = [p for p in folder.glob("checkpoint-*") if (p / "trainer_state.json").is_file()]
    return sorted(found, key=step_of)


def step_of(checkpoint: Path) -> int:
    """The optimiser step that a checkpoint was written after."""
    return int(checkpoint.name.rsplit("-", 1)[1])


def staged(folder: Path, name: str) -> Path:
    """Where a checkpoint is written before it gets its place."""
    return folder / f".{name}.tmp"


@contextmanager
def whole_checkpoint(folder: Path, name: str, spared: Collection[int] = ()) -> Iterator[Path]:
    """A hidden folder to write `name` into; it gets its place when the block ends, and older ones make room.

    Those of the steps in `spared` stay.
    """
    staging = staged(folder, name)
    shutil.rmtree(staging, ignore_errors=True)
    try:
        yield staging
        for file in (staging / name).rglob("*"):  # in folders where the weights are spread over processes
            if file.is_file():
                _fsync(file)
        if (folder / name).exists():
            shutil.rmtree(folder / name)
        (staging / name).rename(folder / name)
        sync_folder(folder)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    for old in [old for old in checkpoints(folder)[:-KEPT] if step_of(old) not in spared]:
        gone = old.with_name(f".{old.name}.old")
        old.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)


def _fsync(file: Path) -> None:
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())
