"""Dividing rows into train, valid and test: seeded, by group, with the labels' shares kept.

A row's place follows from a hash of the seed and its group, not from its position in the file, so
rows that are added later move few others. Rows of one group (a headline's entities, a thread's
messages), and rows with the same input, are never on two sides; nearly equal inputs (`similar`) stay
together as long as their groups are small enough to fill a side with. What is known of a row is its
identities (identity.py): a million rows take some 50 MB here beside them.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby
from typing import Any

import xxhash

from nlp_skills.data.alike import similar_rows
from nlp_skills.data.identity import (
    NOTHING,
    WIDTH,
    Identities,
    equal_rows,
    key_of,
    numbers,
    sort_rows,
)
from nlp_skills.data.sources.source import SPLITS, SplitName, SplitSettings
from nlp_skills.errors import MissingExtra, NotValid

NO_SIDE = 255
"""The side of a row that is left out; the others are places in SPLITS."""


def choose_sides(
    known: Identities,
    rows: Iterable[int],
    settings: SplitSettings,
    group_of: Callable[[int], str],
    text_of: Callable[[int], str],
) -> bytearray:
    """A side for each of these rows, one byte a row of `known`; NO_SIDE for all others.

    `group_of` gives a row's group as text; it is asked only where one input joins several groups. `text_of`
    gives its input, for `similar`. Raises NotValid when the sides that are asked for leave nothing to train
    on, MissingExtra for `similar` without the data extra.
    """
    rows = array("I", rows)
    sizes = _sizes(len(rows), settings)
    roots = _roots(known, rows)
    joined = (
        _join_similar(known, roots, rows, settings.similar, text_of, _largest(sizes))
        if settings.similar
        else set()
    )
    keys = _keys(known, rows, roots, group_of, joined)
    counts, strata = _strata(known, rows, roots, stratify=settings.stratify)
    ordered = {label: sort_rows(keys, groups) for label, groups in strata.items()}
    side_of = bytearray([NO_SIDE]) * len(known)
    for name in ("test", "valid", "train"):
        left = {label: sum(counts[group] for group in groups) for label, groups in ordered.items()}
        share = _shares(left, sizes[name])
        for label, groups in ordered.items():
            taken, ordered[label] = _fill(groups, counts, share[label])
            _put(taken, name, side_of)
    if settings.train is None:
        # Groups that fitted nowhere (larger than what was left to fill) are trained on.
        for groups in ordered.values():
            _put(groups, "train", side_of)
    sides = bytearray([NO_SIDE]) * len(known)
    for row in rows:
        sides[row] = side_of[roots[row]]
    if sides.find(SPLITS.index("train")) < 0:
        raise NotValid(
            f"data_source.yaml: split: valid {settings.valid:g} and test {settings.test:g} leave no row of"
            f" {len(rows)} to train on. Ask for less."
        )
    return sides


def order_rows(known: Identities, rows: Iterable[int]) -> array[int]:
    """The rows of one side in the seeded order, not sorted by label.

    It follows from what names each row, so other rows, another source or another place in it change nothing.
    """
    rows = array("I", rows)
    seed = f"{known.seed} row ".encode()
    keys = bytearray(WIDTH * len(known))
    for row in rows:
        start = WIDTH * row
        keys[start : start + WIDTH] = xxhash.xxh3_128_digest(seed + known.name[start : start + WIDTH])
    return sort_rows(keys, rows)


def _put(groups: Iterable[int], name: SplitName, side_of: bytearray) -> None:
    side = SPLITS.index(name)
    for group in groups:
        side_of[group] = side


def _roots(known: Identities, rows: array[int]) -> array[int]:
    """For each row the first row of those that have to stay together.

    They have the same group (of any source), or the same input, which joins groups.
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


def _largest(sizes: dict[SplitName, int]) -> int:
    """Rows that may be kept together for being similar: more would be hard to put on a small side."""
    asked = [sizes[name] for name in ("valid", "test") if sizes[name]]
    return max(2, min(asked, default=sizes["train"]) // 10)


def _join_similar(
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


def _keys(
    known: Identities,
    rows: array[int],
    roots: array[int],
    group_of: Callable[[int], str],
    joined: set[int],
) -> bytearray:
    """At each root the key that decides its side: of its group, without one of its input.

    Of several groups that an input joins it is the one whose name comes first, of several inputs (`joined`)
    the smallest key.
    """
    keys = bytearray(WIDTH * len(known))
    mixed: dict[int, str] = {}
    for row in rows:
        group, place = key_of(known.group, row), _place(roots[row])
        if group != NOTHING and keys[place] != group:
            if keys[place] != NOTHING:
                mixed[roots[row]] = ""
            keys[place] = group
    for row in rows if mixed else ():
        group, root = key_of(known.group, row), roots[row]
        if root in mixed and group != NOTHING:
            name = group_of(row)
            if not mixed[root] or name < mixed[root]:
                mixed[root], keys[_place(root)] = name, group
    grouped = {root for root in joined if keys[_place(root)] != NOTHING}
    for row in rows:
        root = roots[row]
        if root in joined:
            place, asked = _place(root), known.asked[_place(row)]
            if root not in grouped and (keys[place] == NOTHING or asked < keys[place]):
                keys[place] = asked
        elif root == row and keys[_place(row)] == NOTHING:
            keys[_place(row)] = known.asked[_place(row)]
    return keys


def _place(row: int) -> slice:
    return slice(WIDTH * row, WIDTH * row + WIDTH)


def _strata(
    known: Identities, rows: array[int], roots: array[int], *, stratify: bool
) -> tuple[array[int], dict[str | None, array[int]]]:
    """How many rows each group has, and the groups by the label that most of their rows have."""
    counts = array("I", bytes(4 * len(known)))
    for row in rows:
        counts[roots[row]] += 1
    strata: dict[str | None, array[int]] = {}
    for group, label in _labels(known, rows, roots, counts) if stratify else ():
        strata.setdefault(label, numbers()).append(group)
    if not stratify:
        strata[None] = array("I", (row for row in rows if roots[row] == row))
    return counts, strata


def _labels(
    known: Identities, rows: array[int], roots: array[int], counts: array[int]
) -> Iterator[tuple[int, str | None]]:
    """Each group with its label; where two labels are as frequent, the one that comes first."""
    larger = [row for row in rows if counts[roots[row]] > 1]
    larger.sort(key=roots.__getitem__)
    chosen = {
        group: Counter(known.label[row] for row in members).most_common(1)[0][0]
        for group, members in groupby(larger, key=roots.__getitem__)
    }
    for row in rows:
        if roots[row] == row:
            code = chosen.get(row, known.label[row])
            yield row, known.labels[code] if code >= 0 else None


def _sizes(total: int, settings: SplitSettings) -> dict[SplitName, int]:
    """Rows a side: below 1 a share of the rows that are used, otherwise a number.

    Where train is a number, not all rows are used: 1,500 to train on and a share of 0.1 for valid
    mean 1,500 of 0.9, however many rows the file has.
    """
    used = total
    if settings.train is not None and settings.train >= 1:
        asked = (settings.train, settings.valid, settings.test)
        shares = sum(value for value in asked if value < 1)
        if shares < 1:
            used = min(total, round(sum(value for value in asked if value >= 1) / (1 - shares)))

    def size(value: float) -> int:
        return round(used * value) if value < 1 else int(value)

    test, valid = size(settings.test), size(settings.valid)
    if test + valid >= total:
        raise NotValid(
            f"data_source.yaml: split: valid {settings.valid:g} and test {settings.test:g} take {test + valid}"
            f" rows, but there are only {total}. Ask for less, or bring more data."
        )
    train = total - test - valid if settings.train is None else size(settings.train)
    return {"train": min(train, total - test - valid), "valid": valid, "test": test}


def _shares(strata: dict[str | None, int], size: int) -> dict[str | None, int]:
    """How many of `size` rows each stratum gives: largest remainders, so that the sum comes out exact."""
    total = sum(strata.values())
    exact = {label: count * min(size, total) / max(1, total) for label, count in strata.items()}
    shares = {label: int(value) for label, value in exact.items()}
    by_remainder = sorted(exact, key=lambda label: (shares[label] - exact[label], str(label)))
    for label in by_remainder[: min(size, total) - sum(shares.values())]:
        shares[label] += 1
    return shares


def _fill(groups: Iterable[int], counts: array[int], size: int) -> tuple[array[int], array[int]]:
    """The first groups that fit into `size` rows, and the others."""
    taken, rest = numbers(), numbers()
    room = size
    for group in groups:
        if counts[group] <= room:
            taken.append(group)
            room -= counts[group]
        else:
            rest.append(group)
    return taken, rest
