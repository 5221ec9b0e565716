"""Which rows of several sources stay: of equal, nearly equal and contradicting ones, by the sources' rank.

Rows are numbered in the order of the sources, so the first of several is that of the first source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from nlp_skills.data.alike import similar_rows
from nlp_skills.data.identity import Identities, equal_rows, key_of
from nlp_skills.data.sources.source import DataSources


@dataclass
class Merged:
    """One byte a row: 1 for those that stay; and how many were dropped for what."""

    kept: bytearray
    duplicates: int = 0
    near_duplicates: int = 0
    conflicts: int = 0

    def rows(self) -> Iterator[int]:
        """The rows that stay."""
        return (row for row, stays in enumerate(self.kept) if stays)

    def drop(self, rows: list[int]) -> int:
        """Leave these out; says how many."""
        for row in rows:
            self.kept[row] = 0
        return len(rows)


def merge_rows(known: Identities, sources: DataSources, text_of: Callable[[int], str]) -> Merged:
    """Apply deduplicate, conflicts and near_duplicates of data_source.yaml, in this order.

    `text_of` gives a row's input. Raises MissingExtra for near_duplicates without the data extra.
    """
    merged = Merged(bytearray(b"\1") * len(known))
    if sources.deduplicate:
        for together in equal_rows(known.content, merged.rows()):
            merged.duplicates += merged.drop(together[1:])
    if sources.conflicts != "keep":
        for together in equal_rows(known.given, merged.rows()):
            merged.conflicts += merged.drop(_contradicting(known, together, sources.conflicts))
    if sources.near_duplicates is not None:
        merged.near_duplicates = merged.drop(_near(merged, sources.near_duplicates, text_of))
    return merged


def _contradicting(known: Identities, together: list[int], wanted: str) -> list[int]:
    """Of rows with one input those to drop: all that differ from the first, or all."""
    first = key_of(known.content, together[0])
    others = [row for row in together if key_of(known.content, row) != first]
    return together if others and wanted == "drop" else others


def _near(merged: Merged, threshold: float, text_of: Callable[[int], str]) -> list[int]:
    """Rows that resemble an earlier one."""
    dropped = bytearray(len(merged.kept))

    def known(later: Any, _: Any) -> Any:
        import numpy as np

        return np.frombuffer(dropped, dtype=bool)[later]

    for row, _ in similar_rows(merged.rows(), threshold, text_of, known):
        dropped[row] = 1
    return [row for row, is_dropped in enumerate(dropped) if is_dropped]
