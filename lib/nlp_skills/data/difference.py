"""What was added, removed and changed between two states of the data: by id where rows have one, else by what they say."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from nlp_skills.data.example import Example
from nlp_skills.data.identity import buckets, key_of, name_key
from nlp_skills.data.snapshot import DataSnapshot, SourceSnapshot
from nlp_skills.data.sources.source import SPLITS

_decode = msgspec.json.Decoder(Example).decode


@dataclass
class Named:
    """Rows by two keys of 16 bytes each, what tells a row from the others and everything it holds, and their side."""

    names: bytearray = field(default_factory=bytearray)
    contents: bytearray = field(default_factory=bytearray)
    sides: bytearray = field(default_factory=bytearray)

    def __len__(self) -> int:
        return len(self.names) // 16


@dataclass(frozen=True)
class Difference:
    """Rows against the data before: new, gone, the same row with another content, and an equal row on another side."""

    added: int = 0
    removed: int = 0
    changed: int = 0
    moved: int = 0


def same_lines(before: DataSnapshot | None, after: DataSnapshot) -> frozenset[str]:
    """The sources whose rows' lines tell them apart: their raw rows are the same, and only a hand has changed the rows."""
    if before is None or not before.edited:
        return frozenset()
    return frozenset(
        name
        for name, source in after.sources.items()
        if name in before.sources and before.sources[name].sha256 == source.sha256
    )


def read_named(data: Path, snapshot: DataSnapshot | None, by_line: Collection[str] = ()) -> Named:
    """The rows of the split files in a folder, line by line; a line that is broken is no row.

    Rows of the sources in `by_line` are told by the id that was made from their line where they have none.
    """
    found = Named()
    sources = snapshot.sources if snapshot else {}
    for side, split in enumerate(SPLITS):
        for example in _readable(data / f"{split}.jsonl"):
            source = example.meta.source
            by_id = source in by_line or _has_id(example.meta.id, example.meta.line, sources.get(source))
            found.names += name_key(example, by_id=by_id)
            found.contents += bytes.fromhex(example.content_hash())
            found.sides.append(side)
    return found


def _readable(file: Path) -> Iterator[Example]:
    """The rows of a file that may be gone or broken by a hand."""
    if not file.is_file():
        return
    with file.open("rb") as stream:
        for line in stream:
            with suppress(msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                yield _decode(line)


def _has_id(identity: str, line: int, source: SourceSnapshot | None) -> bool:
    """Whether a row's id is its own. Snapshots of earlier versions do not say it, but an id made from the line shows."""
    if source is not None and source.settings is not None:
        return source.id is not None
    return not identity.endswith(f"-{line}")


def compare_rows(before: Named, after: Named) -> Difference:
    """Bucket by bucket, so that a table of all names is never in memory."""
    added = removed = changed = moved = 0
    old_buckets = buckets(before.names, range(len(before)))
    new_buckets = buckets(after.names, range(len(after)))
    for old_rows, new_rows in zip(old_buckets, new_buckets, strict=True):
        old, new = _placed(before, old_rows), _placed(after, new_rows)
        # What stays where it is, is left out: of the rest, rows that are equal but for their side have moved.
        left, came = _without_side(old - new), _without_side(new - old)
        moved += (left & came).total()
        gone, come = _by_name(left - came), _by_name(came - left)
        changed += sum(min(count, gone[name]) for name, count in come.items())
        added += sum(max(0, count - gone[name]) for name, count in come.items())
        removed += sum(max(0, count - come[name]) for name, count in gone.items())
    return Difference(added, removed, changed, moved)


def _placed(rows: Named, bucket: Iterable[int]) -> Counter[tuple[bytes, bytes, int]]:
    return Counter((key_of(rows.names, row), key_of(rows.contents, row), rows.sides[row]) for row in bucket)


def _without_side(rows: Mapping[tuple[bytes, bytes, int], int]) -> Counter[tuple[bytes, bytes]]:
    found: Counter[tuple[bytes, bytes]] = Counter()
    for (name, content, _), count in rows.items():
        found[name, content] += count
    return found


def _by_name(rows: Mapping[tuple[bytes, bytes], int]) -> Counter[bytes]:
    found: Counter[bytes] = Counter()
    for (name, _), count in rows.items():
        found[name] += count
    return found
