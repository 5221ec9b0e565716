"""The data of earlier: which there are, and one of them back in place."""

from __future__ import annotations

import shutil
from pathlib import Path

from nlp_skills.data.archive import is_same_data, kept_snapshots, trained_versions
from nlp_skills.data.present import data_files, describe_data, hash_files, named_files
from nlp_skills.data.replacement import put_in_place, settle_data, staging_folder
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.errors import NotFound, NotValid, did_you_mean
from nlp_skills.records import Progress, Record, sha256_file, silent

SHORTEST = 4
"""Characters of a name or hash that may stand for it, as in git."""


class KeptSnapshot(Record):
    """One state of the data."""

    name: str
    """What restore_data knows it by; `present` for the data that are there."""
    edited: bool = False
    """Somebody has edited it by hand: it does not follow from its sources."""
    date: str
    """When its rows were fetched: UTC, ISO 8601."""
    rows: dict[str, int]
    """By split."""
    source_hash: str
    versions: list[str]
    """Those that were made on it."""


class Restored(Record):
    """Earlier data that are the present data again."""

    task: str
    restored: str
    """Their name in list_snapshots."""
    kept: str | None
    """That of the data which were there before; None: these were no others, or the retention rule keeps none."""
    snapshot: DataSnapshot
    """data/data_snapshot.json as it is now."""


class SnapshotList(Record):
    """The present data and those of earlier, the newest first."""

    task: str
    snapshots: list[KeptSnapshot]


def list_snapshots(task: Path) -> SnapshotList:
    """The present data and the earlier ones that are kept in data/snapshots/, the newest first."""
    settle_data(task)
    trained = trained_versions(task)
    present = describe_data(task / "data", hash_files(task / "data"))
    found = [("present", present)] if present else []
    found += [(folder.name, snapshot) for folder, snapshot, _ in kept_snapshots(task)]
    return SnapshotList(
        task=task.name, snapshots=[_kept(name, snapshot, trained) for name, snapshot in found]
    )


def _kept(name: str, snapshot: DataSnapshot, trained: dict[str, list[str]]) -> KeptSnapshot:
    return KeptSnapshot(
        name=name,
        edited=snapshot.edited,
        date=max((source.fetched for source in snapshot.sources.values()), default=""),
        rows={split: found.count for split, found in snapshot.splits.items()},
        source_hash=snapshot.source_hash,
        versions=trained.get(snapshot.source_hash, []),
    )


def restore_data(task: Path, snapshot: str, *, progress: Progress = silent) -> Restored:
    """Put earlier data back in place; the present ones are kept in data/snapshots/ in their turn.

    `snapshot` is its name in list_snapshots, or the beginning of that or of its source_hash (4 characters or more). The settings of
    data_source.yaml stay as they are: the next regenerate_data goes by them. Raises NotFound with the
    names that there are, NotValid where a kept file is not what its snapshot says.
    """
    with staging_folder(task) as staging:
        folder, found = _find(task, snapshot)
        names = data_files(folder)
        for done, name in enumerate(names):
            progress(f"restoring {name}", done, len(names))
            shutil.copyfile(folder / name, staging / name)
        _require_whole(folder, staging, found)
        kept = put_in_place(task, staging)
    return Restored(task=task.name, restored=folder.name, kept=kept.name if kept else None, snapshot=found)


def _find(task: Path, wanted: str) -> tuple[Path, DataSnapshot]:
    kept = [(folder, snapshot) for folder, snapshot, _ in kept_snapshots(task)]
    named = [one for one in kept if one[0].name == wanted]
    enough = len(wanted) >= SHORTEST
    # As the folders are named, and as the hash is told elsewhere.
    begun = [one for one in kept if enough and one[0].name.startswith(wanted)]
    hashed = [one for one in kept if enough and one[1].source_hash.startswith(wanted)]
    for found in (named, hashed, begun):
        if found and all(is_same_data(one[1], found[0][1]) for one in found):
            return found[0]
        if found:
            several = ", ".join(folder.name for folder, _ in found)
            raise NotFound(
                f"{task.name} has several snapshots that begin with {wanted!r}: {several}. Name one in full."
            )
    names = [folder.name for folder, _ in kept]
    known = f"Snapshots: {', '.join(names)}." if names else "No earlier data are kept yet."
    raise NotFound(f"{task.name} has no snapshot {wanted!r}{did_you_mean(wanted, names)}. {known}")


def _require_whole(folder: Path, staging: Path, snapshot: DataSnapshot) -> None:
    """Raises NotValid for a file that is gone or another than the snapshot names."""
    for name, sha256 in named_files(snapshot).items():
        if not (staging / name).is_file() or sha256_file(staging / name) != sha256:
            raise NotValid(
                f"{folder / name} is not the file that its snapshot names (it was changed or is gone), so it is not"
                " restored. Choose another snapshot: nlp-skills list-snapshots " + folder.parents[2].name
            )
