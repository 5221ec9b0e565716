"""What is remembered of a row while millions of them are put in order: 100 bytes, and where its line stands.

    Identities.add(example) for every row → arrays, one place a row → rows by a key, bucket by bucket

A key is a 16-byte hash; rows that have an equal one are found without a table of all keys.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import xxhash

from nlp_skills.data.example import Example

WIDTH = 16
NOTHING = bytes(WIDTH)
"""The key of a row that has none, such as the group of a row without a group."""


def numbers(code: str = "I") -> array[int]:
    """An empty array of unsigned numbers of four bytes (I), signed ones (i), or of eight bytes (Q)."""
    return array(code)


@dataclass
class Identities:
    """The rows in the order in which they were added; keys are strings of 16 bytes a row."""

    seed: int
    content: bytearray = field(default_factory=bytearray)
    """Of everything the model sees."""
    given: bytearray = field(default_factory=bytearray)
    """Of all before the answer."""
    asked: bytearray = field(default_factory=bytearray)
    """Of the input without the system prompt; mixed with the seed, because it also decides the order."""
    group: bytearray = field(default_factory=bytearray)
    """Of the group, in the same way."""
    name: bytearray = field(default_factory=bytearray)
    """Of what tells the row from others: its id, or what it says."""
    labels: list[str] = field(default_factory=list)
    label: array[int] = field(default_factory=lambda: numbers("i"))
    """Place in `labels`; -1 for none."""
    characters: array[int] = field(default_factory=numbers)
    """Length of the input."""
    at: array[int] = field(default_factory=lambda: numbers("Q"))
    """Where the row's line begins in the file of lines."""
    size: array[int] = field(default_factory=numbers)
    """Bytes of that line, with its end."""
    codes: dict[str, int] = field(default_factory=dict)
    """Label → its place in `labels`."""

    def __len__(self) -> int:
        return len(self.label)

    def add(self, example: Example, *, by_id: bool, size: int) -> None:
        """Take in a row whose line follows the one before; `by_id`: its source names its rows."""
        self.content += bytes.fromhex(example.content_hash())
        self.given += bytes.fromhex(example.input_hash())
        self.asked += order_key(self.seed, f"input {example.asked_hash()}")
        group = example.meta.group
        self.group += NOTHING if group is None else order_key(self.seed, f"group {group}")
        self.name += name_key(example, by_id=by_id)
        self.label.append(self._code(example.meta.label))
        self.characters.append(len(example.input_text))
        self.at.append(self.at[-1] + self.size[-1] if self.at else 0)
        self.size.append(size)

    def extend(self, later: Identities) -> None:
        """Take in the rows of another part, whose lines follow these."""
        end = self.at[-1] + self.size[-1] if self.at else 0
        codes = [self._code(label) for label in later.labels]
        self.content += later.content
        self.given += later.given
        self.asked += later.asked
        self.group += later.group
        self.name += later.name
        self.label.extend(codes[code] if code >= 0 else -1 for code in later.label)
        self.characters += later.characters
        self.at.extend(end + at for at in later.at)
        self.size += later.size

    def _code(self, label: str | None) -> int:
        if label is None:
            return -1
        if label not in self.codes:
            self.codes[label] = len(self.labels)
            self.labels.append(label)
        return self.codes[label]

    def label_of(self, row: int) -> str | None:
        """The row's label."""
        return self.labels[self.label[row]] if self.label[row] >= 0 else None


def order_key(seed: int, text: str) -> bytes:
    """Where something stands in the order of this seed."""
    return xxhash.xxh3_128_digest(f"{seed} {text}".encode())


def name_key(example: Example, *, by_id: bool) -> bytes:
    """What tells a row from the others of its task: its id, or without one what it says."""
    said = f"id {example.meta.id}" if by_id else f"said {example.said_hash()}"
    return xxhash.xxh3_128_digest(said.encode())


def key_of(keys: bytearray, row: int) -> bytes:
    """The key at a row's place."""
    return bytes(keys[WIDTH * row : WIDTH * row + WIDTH])


def buckets(keys: bytearray, rows: Iterable[int]) -> Iterator[array[int]]:
    """The rows by the first byte of their key: equal keys are in one bucket, and the buckets are in order."""
    first = keys[::WIDTH]
    found = [numbers() for _ in range(256)]
    for row in rows:
        found[first[row]].append(row)
    while found:
        yield found.pop(0)


def sort_rows(keys: bytearray, rows: Iterable[int]) -> array[int]:
    """The rows in the order of their keys; of equal ones the first comes first."""
    ordered = numbers()
    for bucket in buckets(keys, rows):
        ordered.extend(sorted(bucket, key=lambda row: keys[WIDTH * row : WIDTH * row + WIDTH]))
    return ordered


def equal_rows(keys: bytearray, rows: Iterable[int]) -> Iterator[list[int]]:
    """The rows that share a key with another, together."""
    for bucket in buckets(keys, rows):
        first: dict[bytes, int] = {}
        more: dict[int, list[int]] = {}
        for row in bucket:
            before = first.setdefault(key_of(keys, row), row)
            if before != row:
                more.setdefault(before, [before]).append(row)
        yield from more.values()
