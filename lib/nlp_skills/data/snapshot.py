"""`data_snapshot.json`: exactly which data this is, and what changed against the one before."""

from __future__ import annotations

from nlp_skills.records import Record


class SourceSnapshot(Record):
    """One source as it was fetched; `request` is the query, path or parameters used, never a secret."""

    type: str
    rows: int
    sha256: str
    """Of data/raw/<name>.jsonl."""
    fetched: str
    request: dict[str, str | int | float | bool | None]
    since: str | int | float | None = None
    """The last value of the source's `since` column: the next reading goes on from there."""


class SplitSnapshot(Record):
    """One of train, valid, test."""

    sha256: str
    count: int
    label_counts: dict[str, int] = {}


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
    before: str | None = None
    """`source_hash` of the snapshot that this one is compared with."""
    added: int = 0
    removed: int = 0
    changed: int = 0
    """Rows against the snapshot before: new, gone, and same id with another content. Rows of a source without
    an id column are told by their content, so they are new or gone."""
