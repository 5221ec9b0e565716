"""Dividing rows into train, valid and test: seeded, by group, with the labels' shares kept.

A row's place follows from a hash of the seed and its group, not from its position in the file, so
rows that are added later move few others. Rows of one group (a headline's entities, a thread's
messages), and rows with the same input or about the same text, are never on two sides; nearly equal inputs (`similar`) stay
together as long as their groups are small enough to fill a side with. What is known of a row is its
identities (identity.py): a million rows take some 50 MB here beside them.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

import xxhash

from nlp_skills.data.identity import NOTHING, WIDTH, Identities, key_of, numbers, sort_rows
from nlp_skills.data.side_sizes import label_shares, largest_group, side_sizes
from nlp_skills.data.sources.source import SPLITS, SplitName, SplitSettings
from nlp_skills.data.together import join_similar, joined_rows
from nlp_skills.errors import NotValid

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
    sizes = side_sizes(len(rows), settings)
    roots = joined_rows(known, rows)
    joined = (
        join_similar(known, roots, rows, settings.similar, text_of, largest_group(sizes))
        if settings.similar
        else set()
    )
    keys = _keys(known, rows, roots, group_of, joined)
    counts, strata = _strata(known, rows, roots, stratify=settings.stratify)
    ordered = {label: sort_rows(keys, groups) for label, groups in strata.items()}
    side_of = bytearray([NO_SIDE]) * len(known)
    for name in ("test", "valid", "train"):
        left = {label: sum(counts[group] for group in groups) for label, groups in ordered.items()}
        share = label_shares(left, sizes[name])
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
