"""Fixes that compare rows with each other, by keys of 16 bytes, and drop some of them."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import msgspec
import xxhash

from nlp_skills.data.example import Example
from nlp_skills.data.fixes.work import Work
from nlp_skills.data.identity import NOTHING, equal_rows, key_of, numbers
from nlp_skills.task.task import Task, TaskType

_encode = msgspec.json.Encoder().encode


@dataclass
class Keys:
    """A key for each of some rows, and where the row stands."""

    keys: bytearray = field(default_factory=bytearray)
    values: bytearray = field(default_factory=bytearray)
    """A second key, which tells rows of one key apart."""
    sides: bytearray = field(default_factory=bytearray)
    lines: array[int] = field(default_factory=numbers)

    def add(self, side: int, line: int, key: bytes, value: bytes = NOTHING) -> None:
        """The next row: number of its side, 1-based line."""
        self.keys += key
        self.values += value
        self.sides.append(side)
        self.lines.append(line)

    def together(self) -> Iterator[list[int]]:
        """The rows that share a key with another, in their order."""
        return equal_rows(self.keys, range(len(self.lines)))

    def value(self, row: int) -> bytes:
        """The row's second key."""
        return key_of(self.values, row)


def _key(*seen: object) -> bytes:
    return xxhash.xxh3_128_digest(_encode(seen))


def drop_duplicates(work: Work, task: Task) -> None:
    """DATA-DUP: of equal rows of one file the first stays."""
    marked = task.type is TaskType.PREFERENCE
    for place, side in enumerate(work.sides):
        keys = Keys()
        for line, row in side.examples():
            verdict = row.meta.label if marked else None
            keys.add(
                place, line, _key(row.messages, row.tools, row.prompt, row.chosen, row.rejected, verdict)
            )
        _drop(work, "DATA-DUP", keys, (row for together in keys.together() for row in together[1:]))


def _drop(work: Work, check: str, keys: Keys, rows: Iterable[int]) -> None:
    """Drop rows by their number."""
    by_side: dict[int, list[int]] = {}
    for row in rows:
        by_side.setdefault(keys.sides[row], []).append(keys.lines[row])
    for side, lines in sorted(by_side.items()):
        work.drop(check, work.sides[side], lines)
