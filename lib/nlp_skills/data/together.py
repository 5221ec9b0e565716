"""Which rows have to stay on one side of a split: those of one group or one input, and as far as it goes similar ones.

Rows that stay together are known by one of them, their root: at first the first row of them.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from typing import Any

from nlp_skills.data.alike import similar_rows
from nlp_skills.data.identity import NOTHING, WIDTH, Identities, equal_rows, key_of, sort_rows
from nlp_skills.errors import MissingExtra


def joined_rows(known: Identities, rows: array[int]) -> array[int]:
    """For each row the first row of those that have to stay together.

    They have the same group (of any source), or the same input, which joins groups; of rows about an entity the input
    is the text, whatever the entity.
    """
    parent = array("I", range(len(known)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    def join(together: list[int]) -> None:
        first = root(together[0])
        for row in together[1:]:
            one, two = sorted((first, root(row)))
            parent[two] = first = one

    for together in equal_rows(known.asked, rows):
        join(together)
    with_group = (row for row in rows if not known.group.startswith(NOTHING, WIDTH * row))
    for together in equal_rows(known.group, with_group):
        join(together)
    for row in rows:
        parent[row] = root(row)
    return parent


def join_similar(
    known: Identities,
    roots: array[int],
    rows: array[int],
    threshold: float,
    text_of: Callable[[int], str],
    largest: int,
) -> set[int]:
    """Put rows with similar inputs under one root, unless more than `largest` rows came together; says which roots."""
    together = _Together(roots, rows, largest)
    try:
        for one, other in similar_rows(_inputs(known, rows), threshold, text_of, together.settled):
            together.join(one, other)
    except MissingExtra as error:
        error.args = (f"{error}, or delete `similar:` under split in data_source.yaml",)
        raise
    for row in rows if together.joined else ():
        roots[row] = together.root(row)
    return set(map(together.root, together.joined))


def _inputs(known: Identities, rows: array[int]) -> Iterator[int]:
    """A row of each input, in an order that does not follow from the rows' places."""
    last = NOTHING
    for row in sort_rows(known.asked, rows):
        if (key := key_of(known.asked, row)) != last:
            last = key
            yield row


class _Together:
    """Roots that are joined as long as they have no more than `largest` rows together."""

    def __init__(self, roots: array[int], rows: array[int], largest: int) -> None:
        self.joined: set[int] = set()
        """Roots that are no longer any."""
        self._largest = largest
        self._above = array("I", roots)
        self._counts = array("I", bytes(4 * len(roots)))
        for row in rows:
            self._counts[roots[row]] += 1

    def root(self, row: int) -> int:
        """The root that the row is under now."""
        above = self._above
        while above[row] != row:
            above[row] = above[above[row]]
            row = above[row]
        return row

    def settled(self, rows: Any, others: Any) -> Any:
        """Of two numpy arrays of rows, whether each pair is under one root, or will never be."""
        import numpy as np

        above, counts = (np.frombuffer(values, dtype=np.uint32) for values in (self._above, self._counts))
        tops, other_tops = above[rows], above[others]
        while (above[tops] != tops).any() or (above[other_tops] != other_tops).any():
            tops, other_tops = above[tops], above[other_tops]
        return (tops == other_tops) | (counts[tops] + counts[other_tops] > self._largest)

    def join(self, one: int, other: int) -> None:
        """Put the two under one root, if both of their roots have room."""
        low, high = sorted((self.root(one), self.root(other)))
        if low != high and self._counts[low] + self._counts[high] <= self._largest:
            self._above[high] = low
            self._counts[low] += self._counts[high]
            self.joined.add(high)
