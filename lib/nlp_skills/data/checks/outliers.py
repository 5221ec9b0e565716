"""DATA-OUTLIER: inputs that are far longer or far shorter than the others.

The distance is the modified z-score of the logarithm of the length, 0.6745 · (x - median) / MAD, where MAD is
the median absolute deviation; beyond 3.5 a value is an outlier (Iglewicz and Hoaglin, How to Detect and
Handle Outliers, 1993). Where most rows are about as long as each other, the MAD is next to nothing and
everything else would be one: so a length also has to be three times the median, or a third of it.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from heapq import nsmallest
from itertools import accumulate
from typing import ClassVar, TypeVar

from nlp_skills.data.checks.reading import Batch, Reader
from nlp_skills.data.checks.rows import Context
from nlp_skills.data.checks.tally import SHOWN, Tally
from nlp_skills.data.report import DoesNotApply, Finding
from nlp_skills.errors import counted

FAR = 3.5
"""Modified z-score beyond which a length is unusual."""
TIMES = 3
"""How many times the median, or what part of it, an unusual length is at least."""
FEWEST = 20
"""Rows below which nothing is usual."""


Number = TypeVar("Number", int, float)


@dataclass
class _Extremes:
    """The rows that may have to be shown: the longest and the shortest."""

    longest: list[tuple[int, int]] = field(default_factory=list)
    """(characters, number of the row): the longest first."""
    shortest: list[tuple[int, int]] = field(default_factory=list)

    def see(self, batch: Batch) -> None:
        """Take in the next rows; of equally long ones the first stays."""
        rows = range(batch.start, batch.start + len(batch))
        lengths = batch.lengths
        if len(self.longest) < SHOWN or max(lengths) > self.longest[-1][0]:
            pairs = [*self.longest, *zip(lengths, rows, strict=True)]
            self.longest = nsmallest(SHOWN, pairs, key=lambda pair: (-pair[0], pair[1]))
        if len(self.shortest) < SHOWN or min(lengths) < self.shortest[-1][0]:
            self.shortest = nsmallest(SHOWN, [*self.shortest, *zip(lengths, rows, strict=True)])


class Outliers:
    """Judges the lengths of all files together, and keeps the most unusual rows."""

    checks: ClassVar[tuple[str, ...]] = ("DATA-OUTLIER",)

    def __init__(self, _context: Context, reader: Reader) -> None:
        self._reader = reader
        self._extremes = _Extremes()

    def see(self, batch: Batch) -> None:
        """Note the longest and the shortest rows."""
        if batch.lengths:
            self._extremes.see(batch)

    def findings(self) -> list[Finding]:
        """One finding for long inputs, one for short ones."""
        lengths = self._lengths()
        if lengths.total() < FEWEST:
            return []
        short, long = usual_lengths(lengths)
        middle = _middle(lengths)
        longer = Tally(
            "DATA-OUTLIER",
            "info",
            f"Inputs of {math.floor(long) + 1:,} characters or more, where {middle:,} are usual: {{rows}}.",
            "Look whether these are one row each, or several that were read as one",
        )
        shorter = Tally(
            "DATA-OUTLIER",
            "info",
            f"Inputs of {_up_to(math.ceil(short) - 1)}, where {middle:,} are usual: {{rows}}.",
            "Look whether something is missing in these",
        )
        self._show(longer, [found for found in self._extremes.longest if found[0] > long])
        self._show(shorter, [found for found in self._extremes.shortest if found[0] < short])
        longer.count = sum(count for length, count in lengths.items() if length > long)
        shorter.count = sum(count for length, count in lengths.items() if length < short)
        return [*longer.findings(), *shorter.findings()]

    def _show(self, tally: Tally, found: list[tuple[int, int]]) -> None:
        """`found`: characters and number of the row."""
        for length, row in sorted(found, key=lambda pair: pair[1]):
            text = self._reader.example(row).input_text
            tally.add(*self._reader.places.find(row), f"{counted(length, 'character')}: {text}")

    def _lengths(self) -> Counter[int]:
        """Characters → rows; rows in which nothing is asked have no input that could be unusual."""
        lengths = sum(self._reader.lengths.values(), Counter[int]())
        del lengths[0]
        return lengths

    def not_run(self) -> dict[str, str]:
        """There have to be some inputs."""
        rows = self._lengths().total()
        if rows >= FEWEST:
            return {}
        return {"DATA-OUTLIER": DoesNotApply(f"{rows} inputs are too few to tell what is usual")}


def _up_to(characters: int) -> str:
    return f"{characters:,} characters or fewer" if characters > 1 else "a single character"


def usual_lengths(lengths: Mapping[int, int]) -> tuple[float, float]:
    """The least and the greatest usual length of rows with these (characters, above 0 → rows)."""
    logarithms = {math.log(length): count for length, count in lengths.items()}
    middle = _middle(logarithms)
    away: Counter[float] = Counter()
    for value, count in logarithms.items():
        away[abs(value - middle)] += count
    reach = max(FAR * _middle(away) / 0.6745, math.log(TIMES))
    return math.exp(middle - reach), math.exp(middle + reach)


def _middle(counts: Mapping[Number, int]) -> Number:
    """The lower median of counted values."""
    values = sorted(counts)
    sums = list(accumulate(counts[value] for value in values))
    return values[bisect_left(sums, (sums[-1] + 1) // 2)]
