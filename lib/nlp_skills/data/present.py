"""What the files in data/ are: those that data_snapshot.json names, or others, because somebody edited them.

data/{train,valid,test}.jsonl  data/raw/*.jsonl ──hash──▶ data_snapshot.json, or a snapshot that says what they are
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from nlp_skills.data.snapshot import DataSnapshot, SplitSnapshot
from nlp_skills.data.sources.source import SPLITS
from nlp_skills.data.writing import describe_split
from nlp_skills.errors import NotValid
from nlp_skills.records import sha256_file, to_json


def data_files(folder: Path) -> list[str]:
    """The files that are a task's data, by their names in data/ or in a kept snapshot."""
    names = [f"{split}.jsonl" for split in SPLITS]
    raw = sorted(f"raw/{file.name}" for file in (folder / "raw").glob("*.jsonl"))
    snapshot = [name for name in ("data_snapshot.json",) if (folder / name).is_file()]
    return [*(name for name in names if (folder / name).is_file()), *raw, *snapshot]


def hash_files(folder: Path) -> dict[str, str]:
    """SHA-256 of the split files and the raw rows, by name."""
    names = (name for name in data_files(folder) if name != "data_snapshot.json")
    return {name: sha256_file(folder / name) for name in names}


def named_files(snapshot: DataSnapshot) -> dict[str, str]:
    """What `hash_files` gives for the files that the snapshot speaks of."""
    splits = {f"{name}.jsonl": split.sha256 for name, split in snapshot.splits.items()}
    return splits | {f"raw/{name}.jsonl": source.sha256 for name, source in snapshot.sources.items()}


def describe_data(folder: Path, files: Mapping[str, str]) -> DataSnapshot | None:
    """The snapshot of the files as they are, `files` what `hash_files` gives; None where there are none.

    It is data_snapshot.json while the files are those that it names. Files that somebody edited, or wrote without
    one, get a snapshot of their own, whose `source_hash` is that of the files. Raises NotValid for a
    data_snapshot.json that cannot be read.
    """
    recorded = None
    if (folder / "data_snapshot.json").is_file():
        recorded = DataSnapshot.load(folder / "data_snapshot.json")
        if named_files(recorded) == files:
            return recorded
    return describe_files(folder, files, recorded) if files else None


def describe_files(folder: Path, files: Mapping[str, str], recorded: DataSnapshot | None) -> DataSnapshot:
    """A snapshot of files that do not follow from their sources; `recorded` is that of the data they were made of."""
    found = recorded.sources.items() if recorded else ()
    # `since` goes: the raw rows may be others than those up to that value.
    sources = {
        name: source.with_changes(
            sha256=files[file], rows=count_lines(folder / file), since=None, unusable=0, dropped=0, used=None
        )
        for name, source in found
        if (file := f"raw/{name}.jsonl") in files
    }
    return DataSnapshot(
        source_hash=hash_edited(files),
        sources=sources,
        splits={split: _describe(folder / file) for split in SPLITS if (file := f"{split}.jsonl") in files},
        seed=recorded.seed if recorded else 0,
        edited=True,
    )


def hash_edited(files: Mapping[str, str]) -> str:
    """The identity of edited data; sources and settings, which they do not follow from, give others."""
    return hashlib.sha256(to_json({"edited": dict(sorted(files.items()))})).hexdigest()


def _describe(file: Path) -> SplitSnapshot:
    try:
        return describe_split(file)
    except NotValid:  # a line was broken by the edit: kept as it is
        return SplitSnapshot(sha256=sha256_file(file), count=count_lines(file))


def count_lines(file: Path) -> int:
    """The lines that are not blank."""
    with file.open("rb") as stream:
        return sum(not line.isspace() for line in stream)
