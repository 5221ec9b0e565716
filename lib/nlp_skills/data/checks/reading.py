"""The one pass over the data: every line is decoded once and hashed once, for all checks.

    files → partitions → read_partition → Batch(identities, labels, lengths, faults) → every check's `see`

A block of lines that all hold the same kind of conversation, written as we write it, is taken column
by column; any other goes row by row, and a line that msgspec refuses through a slower parser that can
name the fault. Memory holds a partition, and for every row 16 bytes of identity with their table entry.
"""

from __future__ import annotations

import gc
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import msgspec

from nlp_skills.data.checks.columns import add_columns
from nlp_skills.data.checks.faults import TOO_LONG, UNREAD, Fault, diagnose
from nlp_skills.data.checks.repeats import Repeat, Repeats
from nlp_skills.data.checks.row import add_row
from nlp_skills.data.example import Example
from nlp_skills.data.partitions import (
    Partition,
    Scan,
    Where,
    map_partitions,
    read_blocks,
    read_lines,
    split_lines,
)
from nlp_skills.records import Progress, silent
from nlp_skills.task.task import Task, TaskType

BLOCK = 1 << 16
"""Bytes that are decoded at a time: what they become still fits into a processor's cache."""
MAX_LINE = 16 << 20
"""Bytes after which a line is skipped unread: it is no row but a file without line ends."""
LONG_LINE = 1 << 20
"""Bytes after which a line is called over-long: far beyond what any model reads."""

_decode = msgspec.json.Decoder(Example).decode


@dataclass(slots=True)
class Batch:
    """The rows of one partition. The lists run in parallel."""

    file: str
    start: int = 0
    """Number of this batch's first row among the rows of all files."""
    runs: list[tuple[int, int]] = field(default_factory=list)
    """(place in the batch, 1-based line): from here on lines follow each other."""
    labels: list[str | None] = field(default_factory=list)
    label_counts: Counter[str | None] = field(default_factory=Counter)
    groups: list[str | None] = field(default_factory=list)
    texts: list[tuple[int, bytes]] = field(default_factory=list)
    """Of rows about an entity: place in the batch, and identity of the text alone."""
    lengths: list[int] = field(default_factory=list)
    """Characters of the input."""
    length_counts: Counter[int] = field(default_factory=Counter)
    inputs: list[bytes] = field(default_factory=list)
    """Identity of what the model is given (xxh3_128); of all it sees where it is given nothing."""
    answers: array[int] = field(default_factory=lambda: array("Q"))
    """Identity of the answer (xxh3_64): compared between rows of the same input."""
    judgements: list[tuple[int, bytes, bool]] = field(default_factory=list)
    """Of preferences: place in the batch, identity of what is judged, and the judgement."""
    sources: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    unread: int = 0
    """Lines that hold something, but no row."""

    def __len__(self) -> int:
        return len(self.inputs)

    def line_up(self, line: int) -> None:
        """The next row stands in this line."""
        place = len(self.inputs)
        if not self.runs or line - place != self.runs[-1][1] - self.runs[-1][0]:
            self.runs.append((place, line))


def read_partition(task_type: TaskType, part: Partition) -> Batch:
    """Decode and identify the rows of a partition. It needs nothing else and changes nothing."""
    batch = Batch(part.file)
    judged = task_type is TaskType.PREFERENCE
    collecting = gc.isenabled()
    gc.disable()  # nothing here forms a cycle, and walking over the rows again and again takes as long as reading them
    try:
        number = part.line
        for whole, beheaded in read_blocks(part, BLOCK, MAX_LINE):
            alone = judged or beheaded or len(whole) > LONG_LINE
            taken = 0 if alone else add_columns(batch, number, whole)
            if not taken:
                lines = split_lines(whole, beheaded=beheaded)
                _add_lines(batch, number, lines, judged=judged)
                taken = len(lines)
            number += taken
    finally:
        if collecting:
            gc.enable()
    return batch


def _add_lines(batch: Batch, number: int, lines: list[bytes | None], *, judged: bool) -> None:
    """Decode and identify the lines, the first of which has this number, one by one."""
    for line_number, line in enumerate(lines, start=number):
        if line is None:
            batch.faults.append(Fault(UNREAD, line_number, f"more than {MAX_LINE >> 20} MiB"))
            batch.unread += 1
            continue
        if len(line) > LONG_LINE:
            batch.faults.append(Fault(TOO_LONG, line_number, f"{len(line):,} bytes"))
        try:
            problem = add_row(batch, _decode(line), line, line_number, judged=judged)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            if line and not line.isspace():
                batch.faults += diagnose(line, line_number, error)
                batch.unread += 1
        else:
            if problem:
                batch.faults.append(problem)
                batch.unread += 1


class Places:
    """Where every row stands: its number among all rows → file and line."""

    def __init__(self) -> None:
        self._files: list[str] = []
        self._starts: list[int] = []
        self._rows = array("Q")
        self._lines = array("Q")

    def add(self, batch: Batch) -> None:
        """Take in where the rows of a batch stand."""
        if batch.inputs and (not self._files or self._files[-1] != batch.file):
            self._files.append(batch.file)
            self._starts.append(batch.start)
        for place, line in batch.runs:
            self._rows.append(batch.start + place)
            self._lines.append(line)

    def find(self, row: int) -> tuple[str, int]:
        """File and 1-based line of a row."""
        run = bisect_right(self._rows, row) - 1
        return self._files[bisect_right(self._starts, row) - 1], self._lines[run] + row - self._rows[run]

    def file_start(self, row: int) -> int:
        """Number of the first row in the same file."""
        return self._starts[bisect_right(self._starts, row) - 1]

    def name(self, row: int) -> str:
        """`data/train.jsonl:12`."""
        file, line = self.find(row)
        return f"{file}:{line}"


class Reader:
    """Reads files in order; afterwards knows their rows, their hashes and where each row stands."""

    def __init__(
        self,
        files: Mapping[str, Path],
        task: Task,
        progress: Progress = silent,
        where: Where = "here",
        size: int | None = None,
        spill: int | None = None,
    ) -> None:
        self.places = Places()
        self.partitions: list[Partition] = []
        self.rows: dict[str, int] = dict.fromkeys(files, 0)
        self.unread = 0
        """Lines that hold something, but no row."""
        self.sha256: dict[str, str] = {}
        self.labels: dict[str, Counter[str | None]] = {file: Counter() for file in files}
        """By file: label → rows; None counts the rows without one."""
        self.lengths: dict[str, Counter[int]] = {file: Counter() for file in files}
        """By file: characters of the input → rows."""
        self.sources: dict[str, Counter[str]] = {file: Counter() for file in files}
        """By file: source → rows."""
        self.on_repeat: list[Callable[[Repeat], None]] = []
        """Called, after the last row and in no special order, for every row whose input was there before."""
        self.spill = spill
        self._files = files
        self._task = task
        self._progress = progress
        self._where: Where = where
        self._size = size
        self._inputs = Repeats(spill)

    def batches(self) -> Iterator[Batch]:
        """All files, partition by partition."""
        total = sum(path.stat().st_size for path in self._files.values())
        scan = Scan(self._files, self._size or partition_size(total, self._where))
        read = partial(read_partition, self._task.type)
        done = row = 0
        for number, batch in enumerate(map_partitions(read, self._noted(scan), self._where)):
            batch.start = row
            row += len(batch)
            self._take(batch)
            yield batch
            part = self.partitions[number]
            done += part.end - part.start
            self._progress(f"checking {part.file}", done, total)
        scan.require_unchanged()
        self.sha256 = {file: scan.sha256[file] for file in self._files}
        for repeat in self._inputs.found():
            for take in self.on_repeat:
                take(repeat)

    def _noted(self, scan: Scan) -> Iterator[Partition]:
        for part in scan:
            self.partitions.append(part)
            yield part

    def _take(self, batch: Batch) -> None:
        self.places.add(batch)
        self.rows[batch.file] += len(batch)
        self.unread += batch.unread
        self.labels[batch.file].update(batch.label_counts)
        self.lengths[batch.file].update(batch.length_counts)
        self.sources[batch.file].update(batch.sources)
        self._inputs.add(range(batch.start, batch.start + len(batch)), batch.inputs, batch.answers)

    def example(self, row: int) -> Example:
        """A row, read again to be shown."""
        file, line = self.places.find(row)
        part = next(p for p in self.partitions if p.file == file and p.line <= line < p.line + p.lines)
        for number, _, lines in read_lines(part, BLOCK, MAX_LINE):
            if line < number + len(lines):
                return _decode(lines[line - number] or b"")
        raise AssertionError(f"{file} has no line {line}")

    def text(self, row: int) -> str:
        """What the model is given in a row, to be shown; the answer where it is given nothing."""
        example = self.example(row)
        return example.input_text or example.output_text


def partition_size(total: int, where: Where) -> int:
    """Bytes of a partition: small ones stay in a processor's cache until all checks have seen them."""
    return 8 << 20 if where == "ray" else min(1 << 20, max(1 << 18, total // 64))
