"""`data_snapshot.json`: exactly which data this is, and what changed against the one before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

from nlp_skills.records import Record

LISTED = 20
"""Values of a distribution that the result of a tool lists."""


class SourceSnapshot(Record):
    """One source as it was fetched; `request` is the query, path or parameters used, never a secret."""

    type: str
    rows: int
    sha256: str
    """Of data/raw/<name>.jsonl."""
    fetched: str
    request: dict[str, str | int | float | bool | None]
    unusable: int = 0
    """Rows that were left out because they cannot be used (skip_bad_rows)."""
    dropped: int = 0
    """Rows that were left out because they repeat, resemble or contradict an earlier one."""
    used: int | None = None
    """Rows in train, valid and test; None where the snapshot does not say it."""
    since: str | int | float | None = None
    """The last value of the source's `since` column: the next reading goes on from there."""
    settings: str | None = None
    """SHA-256 of the settings that decide which rows are read; while they stay, `since` holds."""
    id: str | None = None
    """The column that names its rows; None: a row is told by what it says."""


class SplitSnapshot(Record):
    """One of train, valid, test."""

    sha256: str
    count: int
    label_counts: dict[str, int] = {}
    lengths: dict[str, int] = {}
    """Rows by the length of their input in characters: buckets as `length_bucket` names them."""


def length_bucket(characters: int) -> str:
    """`100-199`: buckets of 100, from 1,000 of 1,000, from 10,000 of 10,000 …"""
    width = 10 ** max(2, len(str(characters)) - 1)
    low = characters // width * width
    return f"{low}-{low + width - 1}"


def in_buckets(lengths: Mapping[int, int]) -> dict[str, int]:
    """Rows by length → rows by bucket, the shortest first."""
    found: dict[str, int] = {}
    for length in sorted(lengths):
        name = length_bucket(length)
        found[name] = found.get(name, 0) + lengths[length]
    return found


def shorten(counts: Mapping[str, int], file: str) -> dict[str, int]:
    """The most frequent of many values, in their order; the others are counted together under the file that has them."""
    if len(counts) <= LISTED + 1:
        return dict(counts)
    kept = sorted(counts, key=lambda value: -counts[value])[:LISTED]
    short = {value: count for value, count in counts.items() if value in kept}
    rest = f"(and {len(counts) - len(short):,} more; see {file})"
    return {**short, rest: sum(counts.values()) - sum(short.values())}


class DataSnapshot(Record):
    """What the data was: equal hashes mean equal data, to the byte."""

    source_hash: str
    """SHA-256 over the hashes of all sources and the settings that turn them into splits."""
    sources: dict[str, SourceSnapshot]
    splits: dict[str, SplitSnapshot]
    seed: int
    duplicates_dropped: int = 0
    near_duplicates_dropped: int = 0
    conflicts_dropped: int = 0
    fixes: dict[str, int] = {}
    """Check → rows that its automatic fix has changed or dropped."""
    edited: bool = False
    """Somebody edited the files by hand: they do not follow from the sources, and `source_hash` is that of the files."""
    before: str | None = None
    """`source_hash` of the data that this one is compared with: those that lay there; None: there were none."""
    before_edited: bool = False
    """Those had been edited by hand."""
    added: int = 0
    removed: int = 0
    changed: int = 0
    """Rows against the snapshot before: new, gone, and same id with another content. Rows of a source without
    an id column are told by their content, so they are new or gone."""
    moved: int = 0
    """Rows that stand on another side of the split than before."""
    warnings: list[str] = []
    """What did not come out as it was probably meant: a source that gave nothing, a side without a row."""

    def brief(self) -> Self:
        """Of many labels the most frequent, and how many more there are."""
        short = {
            name: split.model_copy(
                update={"label_counts": shorten(split.label_counts, "data/data_snapshot.json")}
            )
            for name, split in self.splits.items()
        }
        return self.model_copy(update={"splits": short})

    @property
    def against(self) -> str:
        """What changed, as a sentence; empty where nothing was there before."""
        if self.before is None:
            return ""
        before = "the data before, which had been edited by hand" if self.before_edited else "the data before"
        moved = f", {self.moved:,} moved to another side" if self.moved else ""
        return f"Against {before}: {self.added:,} added, {self.removed:,} removed, {self.changed:,} changed{moved}."
