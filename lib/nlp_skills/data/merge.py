"""Which rows of several sources stay: of equal, nearly equal and contradicting ones, by the sources' rank.

Rows are numbered in the order of the sources, so the first of several is that of the first source.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from nlp_skills.data.identity import Identities, equal_rows, key_of, numbers
from nlp_skills.data.sources.source import DataSources

_BATCH = 500


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
    dropped: set[int] = set()
    for row, _ in similar_rows(merged.rows(), threshold, text_of, lambda row, _: row in dropped):
        dropped.add(row)
    return sorted(dropped)


def similar_rows(
    among: Iterable[int],
    threshold: float,
    text_of: Callable[[int], str],
    known: Callable[[int, int], bool],
) -> Iterator[tuple[int, int]]:
    """Pairs (row, earlier row) whose texts are as similar as the threshold: candidates by sketches, compared by texts.

    Pairs that are `known` already are not compared. Raises MissingExtra without the data extra.
    """
    from nlp_skills.data.similarity import FEWEST, shingles, similarity
    from nlp_skills.data.sketches import Sketches

    sketches, rows = Sketches(threshold), numbers()
    batch: list[list[bytes]] = []
    for row in among:
        words = [word.encode() for word in shingles(text_of(row))]
        if len(words) < FEWEST:
            continue
        rows.append(row)
        batch.append(words)
        if len(batch) == _BATCH:
            sketches.add(batch)
            batch = []
    sketches.add(batch)
    for later, earlier in sketches.candidates(sketches.shared()) if rows else ():
        for one, other in zip(later.tolist(), earlier.tolist(), strict=True):
            pair = rows[one], rows[other]
            if not known(*pair) and similarity(text_of(pair[0]), text_of(pair[1])) >= threshold:
                yield pair
