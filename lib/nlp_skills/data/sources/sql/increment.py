"""Only what is new since the last reading, joined to what was read before.

    SELECT * FROM (query) WHERE since >= last  ──▶ spool ──┐
    data/raw of the reading before ────────────────────────┴──▶ old rows, then new ones

Rows whose value equals the last one are read again, for there may be more of them than there were; those
that are there already keep their place. With an id column a new row takes the place of the old one with its
id. In memory are only the hashes of new rows' ids, or of the rows that equal the last value.
"""

from __future__ import annotations

import math
import tempfile
import uuid
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import IO, Any

import msgspec
import xxhash

from nlp_skills.data.sources.fetch import ORIGIN
from nlp_skills.data.sources.sql.values import plain
from nlp_skills.errors import NotValid, did_you_mean

LAST = "nlp_skills_last"
_TEXT_ORDER_IS_OURS = {"sqlite", "duckdb"}
"""Elsewhere a collation decides which of two texts is the greater."""


def only_new(query: str, quoted_column: str) -> str:
    """The query, limited to rows from the last value on: `:nlp_skills_last`."""
    # The line end closes a comment at the end of the query; no AS, which Oracle does not take here.
    return f"SELECT * FROM (\n{query}\n) nlp_skills_rows WHERE nlp_skills_rows.{quoted_column} >= :{LAST}"


@dataclass
class Greatest:
    """The greatest value of the since column so far."""

    column: str
    position: int
    dialect: str
    where: str
    value: Any = None

    def watch(self, rows: Iterable[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        """The rows as they are. Raises NotValid for values that cannot be compared."""
        for row in rows:
            value = row[self.position]
            if value is not None and not _is_nan(value):
                self._take(value)
            yield row

    def _take(self, value: Any) -> None:
        try:
            if self.value is None:
                self._refuse_uncomparable(value)
            if self.value is None or value > self.value:
                self.value = value
        except TypeError:
            raise NotValid(
                f"{self.where}: since: {self.column} holds both {type(self.value).__name__} and"
                f" {type(value).__name__}, which cannot be compared. Name a column of one type."
            ) from None

    def _refuse_uncomparable(self, value: Any) -> None:
        if isinstance(value, str) and self.dialect in _TEXT_ORDER_IS_OURS:
            return
        if not isinstance(value, int | float | Decimal | date | uuid.UUID) or isinstance(value, bool):
            raise NotValid(
                f"{self.where}: since: {self.column} holds {type(value).__name__} values. Name a column of numbers"
                " or times that only grow; a text is cast to a time in the query."
            )

    def as_json(self) -> str | int | float | None:
        """For the snapshot: numbers as they are, times as ISO 8601."""
        return plain(self.value, self.where)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float | Decimal) and math.isnan(value)


def require_column(name: str, columns: list[str], field: str, where: str) -> int:
    """The column's position in the result. Raises NotValid that lists the columns."""
    if name in columns:
        return columns.index(name)
    raise NotValid(
        f"{where}: {field}: the query gives no column {name!r}{did_you_mean(name, columns)}."
        f" It gives: {', '.join(columns)}."
    )


@dataclass
class Join:
    """The rows read before and the new ones."""

    since: str
    last: str | int | float
    id: str | None
    folder: Path
    """For the spool, a file without a name."""
    _new: dict[bytes, bytes] = field(default_factory=dict)
    """Key of a new row that may take an old one's place → hash of the row."""
    _kept: dict[bytes, int] = field(default_factory=dict)
    """Hash of an old row that was read again unchanged → how often."""

    def rows(self, before: Path, new: Iterable[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """All rows: the old ones in their order, then the new ones in theirs."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=self.folder) as spool:
            self._write(new, spool)
            yield from self._old(before)
            spool.seek(0)
            yield from self._appended(spool)

    def _write(self, new: Iterable[dict[str, Any]], spool: IO[bytes]) -> None:
        for row in new:
            spool.write(msgspec.json.encode(row) + b"\n")
            key = self._key(row)
            if key is not None:
                self._new[key] = _hash(row)

    def _old(self, before: Path) -> Iterator[dict[str, Any]]:
        with before.open("rb") as stream:
            for line in stream:
                row = msgspec.json.decode(line)
                found = self._new.get(self._key(row) or b"")
                if found is None:
                    yield row
                elif found == (digest := _hash(row)):
                    self._kept[digest] = self._kept.get(digest, 0) + 1
                    yield row

    def _appended(self, spool: IO[bytes]) -> Iterator[dict[str, Any]]:
        for line in spool:
            row = msgspec.json.decode(line)
            digest = _hash(row) if self._kept else b""
            if self._kept.get(digest):
                self._kept[digest] -= 1
            else:
                yield row

    def _key(self, row: Mapping[str, Any]) -> bytes | None:
        """By its id; without one by all it holds, which matters only at the last value."""
        if self.id is not None:
            value = row.get(self.id)
            return None if value is None else xxhash.xxh3_128_digest(msgspec.json.encode(value))
        return _hash(row) if row.get(self.since) == self.last else None


def _hash(row: Mapping[str, Any]) -> bytes:
    content = {name: value for name, value in row.items() if name != ORIGIN}
    return xxhash.xxh3_128_digest(msgspec.json.encode(content, order="sorted"))
