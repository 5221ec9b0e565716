"""The rows of a version, made again: from kept raw rows, from kept splits, or from the sources.

raw rows with the recorded hashes ──convert, divide──▶ splits, compared with the recorded ones
splits with the recorded hashes   ──copied──▶ what is trained on; without them, the ones just made
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from nlp_skills.data.archive import kept_snapshots
from nlp_skills.data.regenerate import convert_data, regenerate_data
from nlp_skills.data.replacement import settle_data
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.errors import NotFound, NotReady, NotValid
from nlp_skills.records import Progress, Record, sha256_file

HEAVY = ("models", "versions", "benchmarks", "tracking", "snapshots", ".next", ".ready", ".lock")
"""What reading the sources again does not need."""


class Difference(Record):
    """One thing that came out otherwise."""

    what: str
    recorded: str
    reproduced: str


class Found(NamedTuple):
    """The rows that the reproduction is trained on, and how they compare."""

    words: str
    same: list[str]
    different: list[Difference]


def reproduce_data(task: Path, snapshot: DataSnapshot, data: Path, progress: Progress) -> Found:
    """Put the splits into `data` and compare them with the version's snapshot. Raises NotReady where there are none to be had."""
    settle_data(task)
    scratch = data.parent / "rebuilt"
    shutil.rmtree(scratch, ignore_errors=True)
    kept = next(_holding(task, {f"{n}.jsonl": s.sha256 for n, s in snapshot.splits.items()}), None)
    raw = next(_holding(task, {f"raw/{n}.jsonl": s.sha256 for n, s in snapshot.sources.items()}), None)
    try:
        words, made = _rebuild(task, snapshot, raw, scratch, progress, needed=kept is None)
        for name in snapshot.splits:
            shutil.copyfile((kept or scratch / "data") / f"{name}.jsonl", data / f"{name}.jsonl")
        same, different = _compare(snapshot, made)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if kept is not None:
        where = "data/" if kept == task / "data" else f"data/snapshots/{kept.name}/"
        words = f"the splits kept in {where}, and to compare with them: {words}"
    return Found(words, same, different)


def _holding(task: Path, hashes: dict[str, str]) -> Iterator[Path]:
    """The folders, the present data first, that hold all these files with these hashes."""
    for folder in (task / "data", *(folder for folder, _, _ in kept_snapshots(task))):
        files = {folder / name: sha256 for name, sha256 in hashes.items()}
        if files and all(file.is_file() and sha256_file(file) == sha256 for file, sha256 in files.items()):
            yield folder


def _rebuild(
    task: Path, snapshot: DataSnapshot, raw: Path | None, scratch: Path, progress: Progress, *, needed: bool
) -> tuple[str, DataSnapshot | None]:
    """Make the splits again in `scratch`: (from what, their snapshot); None where that is neither possible nor needed."""
    if snapshot.edited and not needed:
        return "nothing (the files had been edited by hand, so they follow from no source)", None
    if raw is None and not needed:
        return "nothing (the raw rows of then are not kept any more)", None
    try:
        if raw is not None and not snapshot.edited:
            _lay(task, raw, snapshot, scratch)
            return "the kept raw rows, converted and divided again", convert_data(scratch, progress=progress)
        shutil.copytree(task, scratch, ignore=shutil.ignore_patterns(*HEAVY))
        return "the sources, read again", regenerate_data(scratch, progress=progress)
    except (NotFound, NotReady, NotValid) as error:
        if needed:
            raise NotReady(
                f"{task.name}: the rows of then are not kept, and the sources do not give them: {error}"
            ) from None
        return f"nothing (the raw rows cannot be converted as data_source.yaml is now: {error})", None


def _lay(task: Path, raw: Path, snapshot: DataSnapshot, scratch: Path) -> None:
    """A task folder with the raw rows as if they had just been read."""
    (scratch / "data" / "raw").mkdir(parents=True)
    for name in ("task.yaml", "data_source.yaml"):
        shutil.copyfile(task / name, scratch / name)
    for name in snapshot.sources:
        shutil.copyfile(raw / "raw" / f"{name}.jsonl", scratch / "data" / "raw" / f"{name}.jsonl")
    snapshot.save(scratch / "data" / "data_snapshot.json")


def _compare(snapshot: DataSnapshot, made: DataSnapshot | None) -> tuple[list[str], list[Difference]]:
    if made is None:
        return [], []
    same: list[str] = []
    different: list[Difference] = []
    pairs = {
        "data: raw rows and the settings that divide them": (snapshot.source_hash, made.source_hash),
        **{
            f"data: {name} made again": (split.sha256, made.splits[name].sha256)
            for name, split in snapshot.splits.items()
        },
    }
    for what, (then, now) in pairs.items():
        if then == now:
            same.append(what)
        else:
            different.append(Difference(what=what, recorded=then, reproduced=now))
    return same, different
