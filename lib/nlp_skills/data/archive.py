"""Data that gave their place to others are kept: data/snapshots/<date>-<source_hash>/, until the retention rule ends.

    data/{train,valid,test}.jsonl  data/raw/  data/data_snapshot.json ──copy──▶ data/snapshots/2026-11-21-0f3a…/

A copy is built under a hidden name and renamed when it is whole. Whoever calls holds the lock of the data.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.data.sources.source import SPLITS, DataSources, Retention
from nlp_skills.errors import NotFound, NotValid
from nlp_skills.records import Record, sync_folder, unfinished

FOLDER = Path("data") / "snapshots"
"""In the task."""


class Archived(Record):
    """`archive.json` in a kept snapshot."""

    archived: str
    """When it gave its place to other data: UTC, ISO 8601, to the microsecond, because it is what they are sorted by."""


def archive_data(task: Path) -> Path | None:
    """Keep a copy of the task's present data; None where there are none with a snapshot.

    Data that are kept already are not copied again; they count as new once more.
    """
    data, kept = task / "data", task / FOLDER
    if not (data / "data_snapshot.json").is_file():
        return None
    snapshot = DataSnapshot.load(data / "data_snapshot.json")
    _clear(kept)
    place = _place_for(snapshot, kept)
    if place.exists():
        _now().save(place / "archive.json")
        return place
    building = unfinished(place)
    (building / "raw").mkdir(parents=True)
    for name in data_files(data):
        shutil.copyfile(data / name, building / name)
        _sync(building / name)
    _now().save(building / "archive.json")
    sync_folder(building / "raw")
    building.rename(place)
    sync_folder(kept)
    return place


def data_files(folder: Path) -> list[str]:
    """The files that are a task's data, by their names in data/ or in a kept snapshot."""
    names = [f"{split}.jsonl" for split in SPLITS]
    raw = sorted(f"raw/{file.name}" for file in (folder / "raw").glob("*.jsonl"))
    return [*(name for name in names if (folder / name).is_file()), *raw, "data_snapshot.json"]


def is_same_data(one: DataSnapshot, other: DataSnapshot) -> bool:
    """Whether two snapshots are of the same splits, made in the same way."""
    return one.source_hash == other.source_hash and one.splits == other.splits


def prune_snapshots(task: Path) -> None:
    """Remove the kept snapshots that the retention rule of data_source.yaml does not name."""
    retention = DataSources.load(task / "data_source.yaml").retention
    trained = trained_versions(task)
    for place, (folder, snapshot, archived) in enumerate(kept_snapshots(task)):
        stays = place < retention.keep and not _is_old(archived, retention)
        if not stays and not (retention.keep_trained and snapshot.source_hash in trained):
            gone = unfinished(folder)
            folder.rename(gone)  # a kill while it is removed leaves nothing that looks whole
            shutil.rmtree(gone)


def _is_old(archived: str, retention: Retention) -> bool:
    return retention.days is not None and datetime.now(UTC) - datetime.fromisoformat(archived) > timedelta(
        days=retention.days
    )


def kept_snapshots(task: Path) -> list[tuple[Path, DataSnapshot, str]]:
    """Folder, snapshot, and when it was archived, the newest first; a folder that is none is passed over."""
    found = [(folder, *read) for folder in _folders(task / FOLDER) for read in _read(folder)]
    return sorted(found, key=lambda one: (one[2], one[0].name), reverse=True)


def _read(folder: Path) -> Iterator[tuple[DataSnapshot, str]]:
    try:
        yield (
            DataSnapshot.load(folder / "data_snapshot.json"),
            Archived.load(folder / "archive.json").archived,
        )
    except (NotFound, NotValid):
        return


def _folders(kept: Path) -> list[Path]:
    if not kept.is_dir():
        return []
    return [folder for folder in kept.iterdir() if folder.is_dir() and not folder.name.startswith(".")]


def trained_versions(task: Path) -> dict[str, list[str]]:
    """`source_hash` → the versions that were made on that data."""
    found: dict[str, list[str]] = {}
    for file in sorted((task / "versions").glob("*/data_snapshot.json")):
        with suppress(NotValid):
            found.setdefault(DataSnapshot.load(file).source_hash, []).append(file.parent.name)
    return found


def _place_for(snapshot: DataSnapshot, kept: Path) -> Path:
    """Its folder: one that holds the same data, else a name that is free."""
    day = max((source.fetched for source in snapshot.sources.values()), default="")[:10] or "undated"
    name, number = f"{day}-{snapshot.source_hash[:12]}", 1
    place = kept / name
    while place.exists() and not is_same_data(DataSnapshot.load(place / "data_snapshot.json"), snapshot):
        number += 1
        place = kept / f"{name}-{number}"
    return place


def _clear(kept: Path) -> None:
    """Remove what a process that was killed has left."""
    for folder in kept.glob(".*.tmp"):
        shutil.rmtree(folder, ignore_errors=True)


def _now() -> Archived:
    return Archived(archived=datetime.now(UTC).isoformat(timespec="microseconds"))


def _sync(file: Path) -> None:
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())
