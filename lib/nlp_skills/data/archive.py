"""Data that gave their place to others are kept: data/snapshots/<date>-<source_hash>/, until the retention rule ends.

    data/{train,valid,test}.jsonl  data/raw/  data/data_snapshot.json ──copy──▶ data/snapshots/2026-11-21-0f3a…/

A copy is built under a hidden name and renamed when it is whole. Whoever calls holds the lock of the data.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from nlp_skills.data.present import data_files, describe_data, hash_edited, hash_files
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.data.sources.source import DataSources, Retention
from nlp_skills.errors import NotFound, NotValid
from nlp_skills.records import Record, sync_folder, unfinished

FOLDER = Path("data") / "snapshots"
"""In the task."""


class Archived(Record):
    """`archive.json` in a kept snapshot."""

    archived: str
    """When it gave its place to other data: UTC, ISO 8601, to the microsecond, because it is what they are sorted by."""


def archive_data(task: Path, staging: Path) -> Path | None:
    """Keep a copy of the task's present data before those in `staging` take their place; None where nothing is lost.

    Files that somebody edited are kept with a snapshot that says what they are. Data that are kept already are
    not copied again; they count as new once more.
    """
    data, kept = task / "data", task / FOLDER
    files = hash_files(data)
    snapshot = describe_data(data, files)
    if snapshot is None or not _is_lost(files, snapshot, staging):
        return None
    _clear(kept)
    same = _kept_already(task, files, snapshot)
    if same is not None:
        _now().save(same / "archive.json")
        return same
    place = _free_place(snapshot, kept)
    building = unfinished(place)
    (building / "raw").mkdir(parents=True)
    for name in data_files(data):
        if name != "data_snapshot.json":
            shutil.copyfile(data / name, building / name)
            _sync(building / name)
    snapshot.save(building / "data_snapshot.json")
    _now().save(building / "archive.json")
    sync_folder(building / "raw")
    building.rename(place)
    sync_folder(kept)
    return place


def _is_lost(files: Mapping[str, str], snapshot: DataSnapshot, staging: Path) -> bool:
    """Whether the present data are others than the staged ones; of edited files, whether one of them would be gone."""
    if snapshot.source_hash != hash_edited(files):
        staged = staging / "data_snapshot.json"
        return not (staged.is_file() and is_same_data(DataSnapshot.load(staged), snapshot))
    return not files.items() <= hash_files(staging).items()


def is_same_data(one: DataSnapshot, other: DataSnapshot) -> bool:
    """Whether two snapshots are of the same splits, made in the same way."""
    return one.source_hash == other.source_hash and one.splits == other.splits


def prune_snapshots(task: Path) -> None:
    """Remove the kept snapshots that the retention rule of data_source.yaml does not name."""
    settings = task / "data_source.yaml"
    retention = (DataSources.load(settings) if settings.is_file() else DataSources()).retention
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


def _kept_already(task: Path, files: Mapping[str, str], snapshot: DataSnapshot) -> Path | None:
    """The folder that holds the same data, untouched since."""
    for folder, other, _ in kept_snapshots(task):
        if is_same_data(other, snapshot) and hash_files(folder) == files:
            return folder
    return None


def _free_place(snapshot: DataSnapshot, kept: Path) -> Path:
    day = max((source.fetched for source in snapshot.sources.values()), default="")[:10] or "undated"
    name, number = f"{day}-{snapshot.source_hash[:12]}", 1
    place = kept / name
    while place.exists():
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
