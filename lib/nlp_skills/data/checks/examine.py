"""The pass over the examples: families of ROWS and TOKENS see partitions, wherever there is room, and are merged.

    partitions → examine (its own families, its own rows) → merged in the order of the files

Of large data a sample is seen. Whether a row is in it follows from the row alone, so neither the
partitions nor the number of processes change the report.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import msgspec
import xxhash

from nlp_skills.data.checks.reading import BLOCK, MAX_LINE
from nlp_skills.data.checks.row import row_problem
from nlp_skills.data.checks.rows import Context, RowFamily, Rows
from nlp_skills.data.example import Example
from nlp_skills.data.partitions import Partition, Where, map_partitions, read_lines
from nlp_skills.records import Progress

SAMPLE = 200_000
"""Rows beyond which a sample of about so many is seen, unless told otherwise."""
SEED = 13
FEW = 20_000
"""Rows below which one process is faster: starting more takes longer than the work."""
AT_ONCE = 500
"""Rows that a family is shown at a time."""

_decode = msgspec.json.Decoder(Example).decode


@dataclass(frozen=True)
class Examined:
    """What the families have seen."""

    families: Sequence[RowFamily]
    rows: int
    sampled: bool = False


def examine_rows(
    makers: Sequence[type[RowFamily]],
    context: Context,
    partitions: Sequence[Partition],
    rows: int,
    progress: Progress,
    *,
    deep: bool,
    where: Where,
    sample: int = SAMPLE,
) -> Examined:
    """Show the rows of the partitions, `rows` in all, to families of every kind.

    Of more than `sample` rows about so many are shown; `deep`: all of them.
    """
    if not makers:
        return Examined([], rows)
    sampled = rows > sample and not deep
    limit = sample * (1 << 64) // rows if sampled else None
    look = partial(examine, tuple(makers), context, limit)
    families: Sequence[RowFamily] = []
    seen, done, total = 0, 0, sum(part.end - part.start for part in partitions)
    for part, found in zip(partitions, map_partitions(look, partitions, where), strict=True):
        for before, later in zip(families, found.families, strict=bool(families)):
            before.merge(later)
        families = families or found.families
        seen += found.rows
        done += part.end - part.start
        progress(f"looking closer at {part.file}", done, total)
    return Examined(families or [make(context) for make in makers], seen, sampled)


def examine(
    makers: Sequence[type[RowFamily]], context: Context, limit: int | None, part: Partition
) -> Examined:
    """Families that have seen the rows of one partition; `limit`: those whose hash is below it."""
    families = [make(context) for make in makers]
    seen = 0
    for lines, examples in _usable(part, limit):
        for start in range(0, len(lines), AT_ONCE):
            rows = Rows(part.file, lines[start : start + AT_ONCE], examples[start : start + AT_ONCE])
            for family in families:
                family.see(rows)
        seen += len(lines)
    return Examined(families, seen)


def _usable(part: Partition, limit: int | None) -> Iterator[tuple[list[int], list[Example]]]:
    """Line numbers and examples, block by block; lines that hold no row are the structural checks' business."""
    for number, _, block in read_lines(part, BLOCK, MAX_LINE):
        lines: list[int] = []
        examples: list[Example] = []
        for line_number, line in enumerate(block, start=number):
            if not line or (limit is not None and xxhash.xxh3_64_intdigest(line, SEED) >= limit):
                continue
            try:
                example = _decode(line)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                continue
            if row_problem(example, line_number) is None:
                lines.append(line_number)
                examples.append(example)
        yield lines, examples
