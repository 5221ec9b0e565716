"""Fixes that compare rows with each other, by keys of 16 bytes, and drop some of them."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field

import xxhash

from nlp_skills.data.checks.identities import (
    about_identity,
    answer_identity,
    encode,
    input_identity,
    row_identity,
)
from nlp_skills.data.example import Example
from nlp_skills.data.fixes.near import drop_near_leaks
from nlp_skills.data.fixes.work import Work
from nlp_skills.data.identity import NOTHING, equal_rows, key_of, numbers
from nlp_skills.task.task import TaskType


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


def drop_duplicates(work: Work) -> None:
    """DATA-DUP: of equal rows of one file the first stays."""
    marked = work.task.type is TaskType.PREFERENCE
    for place, side in enumerate(work.sides):
        keys = Keys()
        for line, row in side.examples():
            keys.add(place, line, _digest(row_identity(row), row.meta.label if marked else None))
        _drop(work, "DATA-DUP", keys, (row for rows in keys.together() for row in rows[1:]))


def drop_conflicts(work: Work) -> None:
    """DATA-CONFLICT: rows with the same input and different answers are dropped, all of them.

    Not the majority stays: of two rows there is none, of three it is one row's word, and a wrong answer that is
    learned costs more than a row that is missing. But where the test's (or the valid's) own rows agree, they
    stay and only the rows of the earlier sides go, as with a leak.
    """
    keys = Keys()
    by_judgement = work.task.type is TaskType.PREFERENCE
    for place, side in enumerate(work.sides):
        for line, row in side.examples():
            compared = _judged(row) if by_judgement or row.messages is None else _answered(row)
            if compared is not None:
                keys.add(place, line, *compared)
    _drop(work, "DATA-CONFLICT", keys, (row for rows in keys.together() for row in _doubtful(keys, rows)))


def _answered(row: Example) -> tuple[bytes, bytes] | None:
    if not _is_asked(row):
        return None
    return input_identity(row), _digest(answer_identity(row.answer))


def _judged(row: Example) -> tuple[bytes, bytes] | None:
    """What is judged, and how: two answers to one question, or one answer (KTO)."""
    if row.messages is not None:
        if row.meta.label is None:
            return None
        return _digest(encode((row.context, row.tools)), encode(row.answer)), _digest(
            row.meta.label == "true"
        )
    chosen, rejected = encode(row.chosen), encode(row.rejected)
    judged = encode((row.context, row.tools)), min(chosen, rejected), max(chosen, rejected)
    return _digest(*judged), _digest(chosen < rejected)


def _doubtful(keys: Keys, rows: list[int]) -> list[int]:
    """Of rows with one input those to drop: all, or all but the last side's where that agrees with itself."""
    if len({keys.value(row) for row in rows}) == 1:
        return []
    last = keys.sides[rows[-1]]
    of_last = [row for row in rows if keys.sides[row] == last]
    agrees = len({keys.value(row) for row in of_last}) == 1
    return [row for row in rows if keys.sides[row] != last] if agrees else rows


def drop_leaks(work: Work) -> None:
    """SPLIT-LEAK: what stands in valid or test goes from train, what stands in test from valid; test is never touched.

    The same input, the same text about another entity, rows of the same group, and nearly the same input with about the same answer.
    """
    _drop_earlier(work, lambda row: input_identity(row) if _is_asked(row) else row_identity(row))
    _drop_earlier(
        work, lambda row: about_identity(row.meta.entity, row.context[-1].content if row.context else None)
    )
    _drop_earlier(work, lambda row: None if row.meta.group is None else _digest(row.meta.group))
    drop_near_leaks(work)


def _drop_earlier(work: Work, key_of_row: Callable[[Example], bytes | None]) -> None:
    """Drop the rows whose key also stands on a later side."""
    keys = Keys()
    for place, side in enumerate(work.sides):
        for line, row in side.examples():
            key = key_of_row(row)
            if key is not None:
                keys.add(place, line, key)
    doomed = (row for rows in keys.together() for row in rows if keys.sides[row] < keys.sides[rows[-1]])
    _drop(work, "SPLIT-LEAK", keys, doomed)


def _is_asked(row: Example) -> bool:
    """Whether the model is given anything beside the system prompt."""
    return any(turn.content for turn in row.context if turn.role != "system")


def _digest(*parts: object) -> bytes:
    return xxhash.xxh3_128_digest(encode(parts))


def _drop(work: Work, check: str, keys: Keys, rows: Iterable[int]) -> None:
    """Drop rows by their number."""
    by_side: dict[int, list[int]] = {}
    for row in rows:
        by_side.setdefault(keys.sides[row], []).append(keys.lines[row])
    for side, lines in sorted(by_side.items()):
        work.drop(check, work.sides[side], lines)
