"""New data takes the place of the old as one step that happens whole or not at all.

    data/ ──copy──▶ data/snapshots/…
    data/.next ──rename──▶ data/.ready ──moves──▶ data/

A kill before the rename leaves the old data; after it, the next call finishes the moves.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from nlp_skills.data.archive import archive_data, prune_snapshots
from nlp_skills.data.present import data_files
from nlp_skills.data.sources.source import SPLITS
from nlp_skills.errors import NotReady
from nlp_skills.locks import BRIEF, locked
from nlp_skills.records import read_mapping, sha256_file, sync_folder, to_json, write_atomic

UNFINISHED = ".unfinished"
"""A file in data/: what was put in place is not all that the operation has to do."""


@contextmanager
def staging_folder(task: Path) -> Iterator[Path]:
    """An empty folder to build the new data in, for one process at a time; a failure leaves nothing of it.

    Raises NotReady while another process is at it.
    """
    staging = task / "data" / ".next"
    staging.parent.mkdir(parents=True, exist_ok=True)
    try:
        held = FileLock(task / "data" / ".lock").acquire(timeout=0)
    except Timeout:
        raise NotReady(
            f"{task.name}: another process is making the data at this moment. Try again when it is done."
        ) from None
    with held:
        _settle(task)
        shutil.rmtree(staging, ignore_errors=True)  # of a process that was killed
        (staging / "raw").mkdir(parents=True)
        try:
            yield staging
        finally:
            if staging.exists():
                shutil.rmtree(staging, ignore_errors=True)


def put_in_place(task: Path, staging: Path) -> Path | None:
    """Make the staged data the data: one rename decides, the moves after it can be repeated.

    Other data that were there, also such that somebody edited, are copied to data/snapshots/ first, and what the
    retention rule of data_source.yaml does not name there is removed afterwards. Gives the folder of the copy; None
    where nothing had to be kept, or the rule keeps none.
    """
    kept = archive_data(task, staging)
    names = sorted(p.relative_to(staging).as_posix() for p in staging.rglob("*") if p.is_file())
    write_atomic(staging / "files.json", to_json(names))
    staging.rename(task / "data" / ".ready")
    sync_folder(task / "data")
    _settle(task)
    if kept is not None:
        prune_snapshots(task)
    return kept if kept is not None and kept.is_dir() else None


def settle_data(task: Path) -> None:
    """Finish a replacement of the data that was cut off; does nothing otherwise."""
    if (task / "data" / ".ready").exists():
        with locked(task / "data" / ".lock", f"puts new data of {task.name} in place", patience=BRIEF):
            _settle(task)


def _settle(task: Path) -> None:
    data = task / "data"
    ready = data / ".ready"
    if not (ready / "files.json").is_file():
        shutil.rmtree(ready, ignore_errors=True)  # the last moment of an earlier replacement, cut off
        return
    names: Sequence[str] = read_mapping(ready / "files.json")
    if any(not _is_same(ready / f"{split}.jsonl", data / f"{split}.jsonl") for split in SPLITS):
        # They speak of the data before: other data count as not validated until they are.
        for name in ("validation.json", "validation.html", "tokens.html"):
            (data / name).unlink(missing_ok=True)
    for name in names:
        if (ready / name).is_file():
            (data / name).parent.mkdir(parents=True, exist_ok=True)
            (ready / name).replace(data / name)
    if UNFINISHED not in names:
        (data / UNFINISHED).unlink(missing_ok=True)
    if "data_snapshot.json" in names:  # all that are the data, not some files of theirs
        for old in (name for name in data_files(data) if name not in names):
            (data / old).unlink()
    sync_folder(data)
    shutil.rmtree(ready)


def _is_same(staged: Path, present: Path) -> bool:
    """Whether putting the file in place changes nothing; one that is in place already does not."""
    return not staged.is_file() or (present.is_file() and sha256_file(staged) == sha256_file(present))
