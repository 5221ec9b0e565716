"""DATA-NEARDUP and the near half of SPLIT-LEAK: what the check itself finds is dropped, until it finds nothing."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from nlp_skills.data.checks.near import NearRows
from nlp_skills.data.checks.rows import Context, Rows
from nlp_skills.data.fixes.work import Side, Work
from nlp_skills.errors import MissingExtra

AT_ONCE = 500
ROUNDS = 8
"""Each row is compared with the nearest rows of its kind only; once these are gone there may be others."""


def drop_near_duplicates(work: Work) -> None:
    """DATA-NEARDUP: of nearly equal rows of one file the first stays."""
    for side in work.sides:
        _drop_found(work, "DATA-NEARDUP", [side])


def drop_near_leaks(work: Work) -> None:
    """SPLIT-LEAK: rows whose input nearly stands on a later side, with about the same answer, are dropped.

    The sides are compared from the last to the first, so what is found is the row of the earlier one.
    """
    if len(work.sides) > 1:
        _drop_found(work, "SPLIT-LEAK", work.sides[::-1])


def _drop_found(work: Work, check: str, sides: Sequence[Side]) -> None:
    for _ in range(ROUNDS):
        found = _look(work, sides).matched()[check]
        for side in sides:
            work.drop(check, side, [line for file, line in found if file == side.name])
        if not found:
            return


def _look(work: Work, sides: Sequence[Side]) -> NearRows:
    """The check, after it saw the rows that stay. Raises MissingExtra where its packages are missing."""
    near = NearRows(Context(work.task, {side.name: side.path for side in sides}))
    for side in sides:
        rows = side.examples()
        while batch := list(islice(rows, AT_ONCE)):
            near.see(Rows(side.name, [line for line, _ in batch], [row for _, row in batch]))
    if near.not_run().keys() >= set(near.checks):
        raise MissingExtra("Finding near-duplicates", "data")
    return near
