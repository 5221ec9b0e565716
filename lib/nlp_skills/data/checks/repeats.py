"""Rows that have something in common: the same input, the same group, the same judged answers.

    Repeats.add(rows, keys, values) → … → Repeats.found() → Repeat(row, first, same), in no special order

A key is a 16-byte hash. Up to SPILL rows are compared in memory; beyond, keys go to temporary files
by their first byte, and one file after the other is compared, so memory stays the same however many
rows there are (map → shuffle → reduce).
"""

from __future__ import annotations

import struct
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import compress, count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

SPILL = 3_000_000
"""Rows that are compared in memory, at some 150 bytes each."""
BUFFER = 16 << 20
"""Bytes that are gathered before they are written to the temporary files."""
_RECORD = struct.Struct("<16sQQ")


class Repeat(NamedTuple):
    """A row whose key was there before."""

    row: int
    first: int
    """The first row with this key."""
    same: int
    """The first row with this key and this value; the row itself if there is none."""


class Repeats:
    """Takes in the rows in order, each with the key that is compared and a value that tells those of one key apart."""

    def __init__(self, spill: int | None = None) -> None:
        self._spill = SPILL if spill is None else spill
        self._buckets: _Buckets | None = None
        self._clear()

    def add(self, rows: Sequence[int], keys: Sequence[bytes], values: Sequence[int]) -> None:
        """Take in the next rows; the lists run in parallel, and are kept."""
        self._chunks.append((rows, keys, values))
        self._count += len(keys)
        if self._buckets is None:
            self._note(keys)
        if self._count > (BUFFER // _RECORD.size if self._buckets else self._spill):
            self._buckets = self._buckets or _Buckets()
            self._empty_into(self._buckets)

    def _note(self, keys: Sequence[bytes]) -> None:
        """Keys that were there before are noted while they are at hand: most are not, and need no look again."""
        distinct = set(keys)
        if len(distinct) < len(keys):
            self._again.update(key for key, times in Counter(keys).items() if times > 1)
        self._again |= distinct & self._seen
        self._seen |= distinct

    def found(self) -> Iterator[Repeat]:
        """Every row whose key was there before; afterwards everything is forgotten."""
        if self._buckets is None:
            yield from _compare(*self._repeated())
        else:
            self._empty_into(self._buckets)
            yield from self._buckets.found()
        self._buckets = None
        self._clear()

    def _repeated(self) -> tuple[list[int], list[bytes], list[int]]:
        """The rows whose key stands more than once."""
        is_again = self._again.__contains__
        picked = [
            (rows[place], keys[place], values[place])
            for rows, keys, values in self._chunks
            for place in compress(count(), map(is_again, keys))
        ]
        rows, keys, values = zip(*picked, strict=True) if picked else ((), (), ())
        return list(rows), list(keys), list(values)

    def _empty_into(self, buckets: _Buckets) -> None:
        for rows, keys, values in self._chunks:
            buckets.add(zip(keys, rows, values, strict=True))
        self._clear()

    def _clear(self) -> None:
        self._chunks: list[tuple[Sequence[int], Sequence[bytes], Sequence[int]]] = []
        self._count = 0
        self._seen: set[bytes] = set()
        self._again: set[bytes] = set()


class _Buckets:
    """Records in temporary files, by the first byte of their key."""

    def __init__(self) -> None:
        self._folder = TemporaryDirectory(prefix="nlp-skills-", ignore_cleanup_errors=True)

    def add(self, records: Iterable[tuple[bytes, int, int]]) -> None:
        """Append the records to their files."""
        parts: list[list[bytes]] = [[] for _ in range(256)]
        for record in records:
            parts[record[0][0]].append(_RECORD.pack(*record))
        for path, part in zip(self._paths(), parts, strict=True):
            if part:
                with path.open("ab") as stream:
                    stream.write(b"".join(part))

    def found(self) -> Iterator[Repeat]:
        """The repeats of one file after the other; removes them."""
        with self._folder:
            for path in self._paths():
                if path.is_file():
                    keys, rows, values = zip(*_RECORD.iter_unpack(path.read_bytes()), strict=True)
                    yield from _compare(rows, keys, values)

    def _paths(self) -> list[Path]:
        return [Path(self._folder.name) / f"{byte:02x}" for byte in range(256)]


def _compare(rows: Sequence[int], keys: Sequence[bytes], values: Sequence[int]) -> Iterator[Repeat]:
    first: dict[bytes, int] = {}
    variants: dict[tuple[int, int], int] = {}
    for at, before in enumerate(map(first.setdefault, keys, count())):
        if at != before:
            alike = values[at] == values[before]
            same = before if alike else variants.setdefault((before, values[at]), at)
            yield Repeat(rows[at], rows[before], rows[same])
