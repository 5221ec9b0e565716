"""Raw rows → lines of examples, partition by partition on any number of processes.

    data/raw/<source>.jsonl ──partitions──▶ lines of each + identities ──joined──▶ lines, Identities

A process holds one row at a time; of each row 100 bytes of identities are kept.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import msgspec

from nlp_skills.data.example import Example, encode
from nlp_skills.data.format import Layout, Shape, detect_layout, to_example
from nlp_skills.data.identity import Identities
from nlp_skills.data.partitions import Partition, Scan, Where, map_partitions
from nlp_skills.data.sources.fetch import ORIGIN
from nlp_skills.data.sources.source import DataSource, FileSource
from nlp_skills.errors import NotValid, counted
from nlp_skills.task.task import Task, TaskType

SAMPLE_ROWS = 200
"""How many rows the detection of the layout looks at."""
SHOWN = 5
"""Rows that cannot be used and are named; the others are counted."""
_PREFERENCES = (
    "There every row needs a prompt with a better and a worse answer (columns prompt, chosen and rejected), or an answer"
    " that label marks as good (true) or bad (false). Give such rows, or make another task for these."
)
_ANSWERS = (
    "There every row needs one answer to learn. Set type: preference in task.yaml if answers are to be compared, or take"
    " that column out of the rows."
)


@dataclass(frozen=True)
class Conversion:
    """What is made of the raw rows of a source."""

    source: DataSource
    layout: Layout
    task: Task
    seed: int


@dataclass
class Converted:
    """What came of a partition."""

    known: Identities
    lines: Path
    """Its examples, to be joined with the others."""
    rows: int
    """Raw rows that it had."""
    bad: int = 0
    reasons: list[str] = field(default_factory=list)
    """Of the first bad rows: line and reason."""


def read_layout(source: DataSource, raw: Path, task: Task) -> Layout:
    """From the first rows and as many spread over the others: files are often sorted."""
    half = SAMPLE_ROWS // 2
    with (raw / f"{source.name}.jsonl").open("rb") as stream:
        step = max(1, sum(1 for _ in stream) // half)
        stream.seek(0)
        lines = enumerate(stream, start=1)
        rows = [msgspec.json.decode(row) for line, row in lines if line <= half or line % step == 0]
    return name_layout(rows, source, task)


def name_layout(rows: list[dict[str, Any]], source: DataSource, task: Task) -> Layout:
    """As detect_layout; the error names the source, and the file that it reads.

    Raises NotValid also for a shape that the task does not learn from: preferences, and nothing else, belong into a
    task of type preference.
    """
    where = name_source(source)
    try:
        layout = detect_layout(rows, source.columns, task.type)
    except NotValid as error:
        raise NotValid(f"{where}: {error}") from None
    is_preference = layout.shape in (Shape.PREFERENCE, Shape.UNPAIRED_PREFERENCE)
    if is_preference != (task.type is TaskType.PREFERENCE):
        wanted = _PREFERENCES if task.type is TaskType.PREFERENCE else _ANSWERS
        raise NotValid(
            f"{where}: this is {layout.reason}, but {task.name} is a task of type {task.type.value}. {wanted}"
        )
    return layout


def require_one_shape(layouts: Mapping[str, Layout]) -> None:
    """Raises NotValid where some sources hold pairs of answers, and others single ones that are good or bad."""
    pairs, singles = (
        [name for name, layout in layouts.items() if layout.shape is shape]
        for shape in (Shape.PREFERENCE, Shape.UNPAIRED_PREFERENCE)
    )
    if pairs and singles:
        raise NotValid(
            f"data_source.yaml: {pairs[0]} holds pairs of a better and a worse answer, {singles[0]} single answers that"
            " are marked good or bad. A task learns from one kind: remove one of them, or make a task of its own for it."
        )


def name_source(source: DataSource) -> str:
    """`Source reviews (inbox/reviews.csv)`."""
    return f"Source {source.name}" + (f" ({source.path})" if isinstance(source, FileSource) else "")


def name_row(source: DataSource, line: int, row: Mapping[str, Any]) -> str:
    """Where a person finds it: `inbox/may.csv:7` where several files are read, otherwise its number in the source."""
    origin = row.get(ORIGIN)
    if isinstance(source, FileSource) and isinstance(origin, Mapping) and {"file", "line"} <= origin.keys():
        return f"{origin['file']}:{origin['line']}"
    return f"row {line}"


def find_labels(conversion: Conversion, raw: Path, where: Where) -> set[str]:
    """The labels that a source's rows have."""
    scan = Scan({conversion.source.name: raw})
    return set().union(*map_partitions(partial(_labels_of, conversion), scan, where))


def _labels_of(conversion: Conversion, part: Partition) -> set[str]:
    made = Converted(Identities(conversion.seed), part.path, part.lines)
    return {e.meta.label for e in _examples(conversion, part, made) if e.meta.label is not None}


def convert_source(
    conversion: Conversion, raw: Path, lines: Path, known: Identities, where: Where, *, skip: bool
) -> Iterator[int]:
    """Append the source's examples to the lines and to what is known; `skip` leaves out bad rows.

    Gives the number of raw rows of each partition when it is done.

    Raises NotValid with the count of bad rows, and line and reason of the first five.
    """
    bad, reasons = 0, []
    scan = Scan({conversion.source.name: raw})
    with lines.open("ab") as joined:
        for made in map_partitions(partial(_convert, conversion), scan, where):
            with made.lines.open("rb") as stream:
                shutil.copyfileobj(stream, joined, 1024 * 1024)
            made.lines.unlink()
            known.extend(made.known)
            bad += made.bad
            reasons += made.reasons
            yield made.rows
    if bad and not skip:
        raise NotValid(
            f"{name_source(conversion.source)}: {counted(bad, 'row')} cannot be used. {' '.join(reasons[:SHOWN])}"
            " Mend them in the source, or set skip_bad_rows: true in data_source.yaml to leave them out."
        )


def _convert(conversion: Conversion, part: Partition) -> Converted:
    """Write the partition's examples as lines; rows that cannot be converted are counted, with the first reasons."""
    file = part.path.with_name(f"{part.path.stem}.{part.start}.lines")
    made = Converted(Identities(conversion.seed), file, part.lines)
    by_id = conversion.layout.columns.id is not None
    with file.open("wb") as lines:
        for example in _examples(conversion, part, made):
            line = encode(example) + b"\n"
            lines.write(line)
            made.known.add(example, by_id=by_id, size=len(line))
    return made


def _examples(conversion: Conversion, part: Partition, made: Converted) -> Iterator[Example]:
    decode = msgspec.json.Decoder(dict[str, Any]).decode
    name, most = conversion.source.name, conversion.source.max_rows
    with part.path.open("rb") as stream:
        stream.seek(part.start)
        for line in range(part.line, part.line + part.lines):
            if most is not None and line > most:
                return
            row = decode(stream.readline())
            try:
                yield to_example(row, conversion.layout, task=conversion.task, source=name, line=line)
            except NotValid as error:
                made.bad += 1
                if len(made.reasons) < SHOWN:
                    made.reasons.append(f"{name_row(conversion.source, line, row)}: {error}.")
