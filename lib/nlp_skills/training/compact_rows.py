"""The rows of a run in little memory: all ids of a column one after the other, four bytes each, and where each row begins.

    TokenRow([5, 9, 2], [-100, 9, 2]), TokenRow([7, 2], [7, 2])
      input_ids   values 5 9 2 7 2        labels   values -100 9 2 7 2
                  starts 0     3   5               starts 0        3   5

A list of Python numbers takes 8 to 36 bytes for each. A row is made again when it is asked for; Arrow reads the columns as
they lie here.
"""

from __future__ import annotations

import heapq
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields
from typing import Any, Generic, NamedTuple, TypeVar, overload

Row = TypeVar("Row")


class Column(NamedTuple):
    """Lists of ids, one for each row; those of row n lie between starts n and n + 1."""

    values: array[int]
    starts: array[int]

    @classmethod
    def of(cls, lists: Iterable[Sequence[int]], kind: str = "i") -> Column:
        """`kind` is array's: i for 32 bits, b for 8."""
        made = cls(array(kind), array("q", [0]))
        for ids in lists:
            made.append(ids)
        return made

    def append(self, ids: Sequence[int]) -> None:
        """One list more."""
        self.values.extend(ids)
        self.starts.append(len(self.values))

    def at(self, row: int) -> list[int]:
        """The ids of a row."""
        return self.values[self.starts[row] : self.starts[row + 1]].tolist()


class CompactRows(Sequence[Row], Generic[Row]):
    """Rows of one dataclass; its lists of ids become columns."""

    def __init__(self, rows: Iterable[Row] = ()) -> None:
        self.lengths = array("i")
        """Tokens of each row."""
        self._kind: Any = None
        self._columns: dict[str, Column] = {}
        self._others: dict[str, Any] = {}
        self.extend(rows)

    def extend(self, rows: Iterable[Row]) -> None:
        """More rows of the same kind."""
        for row in rows:
            self._append(row)

    def _append(self, row: Any) -> None:
        if self._kind is None:
            self._begin(row)
        for name, column in self._columns.items():
            column.append(getattr(row, name))
        for name, values in self._others.items():
            values.append(getattr(row, name))
        self.lengths.append(row.length)

    def _begin(self, row: Any) -> None:
        self._kind = type(row)
        for field in fields(row):
            value = getattr(row, field.name)
            if isinstance(value, list):
                self._columns[field.name] = Column.of([])
            else:
                self._others[field.name] = array("b") if isinstance(value, bool) else []

    def column(self, name: str) -> Column:
        """All the lists of that name."""
        return self._columns.get(name) or Column.of([])

    def flags(self, name: str) -> list[bool]:
        """All the values of a field that is true or false."""
        return [bool(value) for value in self._others.get(name, ())]

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[Row]:
        return (self._at(place) for place in range(len(self)))

    @overload
    def __getitem__(self, place: int) -> Row: ...
    @overload
    def __getitem__(self, place: slice) -> list[Row]: ...
    def __getitem__(self, place: int | slice) -> Row | list[Row]:
        if isinstance(place, slice):
            return [self._at(one) for one in range(*place.indices(len(self)))]
        return self._at(range(len(self))[place])

    def _at(self, place: int) -> Row:
        given: dict[str, Any] = {name: column.at(place) for name, column in self._columns.items()}
        for name, values in self._others.items():
            given[name] = bool(values[place]) if isinstance(values, array) else values[place]
        return self._kind(**given)


def compact(rows: Iterable[Row]) -> CompactRows[Row]:
    """The rows as they are, where they are compact already."""
    return rows if isinstance(rows, CompactRows) else CompactRows(rows)


def lengths_of(rows: Sequence[Any]) -> Sequence[int]:
    """Tokens of each row."""
    return compact(rows).lengths


def longest_places(rows: Sequence[Any], count: int) -> list[int]:
    """Where the longest rows are, the longest first and of equal ones the first."""
    lengths = lengths_of(rows)
    return heapq.nsmallest(count, range(len(lengths)), key=lambda place: (-lengths[place], place))
