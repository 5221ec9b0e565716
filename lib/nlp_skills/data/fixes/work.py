"""The split files while they are mended: which of their lines stay, and reading those."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import partial
from itertools import repeat
from pathlib import Path

import msgspec

from nlp_skills.data.checks.row import row_problem
from nlp_skills.data.checks.tally import SHOWN
from nlp_skills.data.example import Example
from nlp_skills.data.fixes.record import Log, shown
from nlp_skills.data.sources.source import SPLITS
from nlp_skills.records import Progress, atomic_file, silent
from nlp_skills.task.task import Task

LONGEST = 16 << 20
"""Bytes after which a line is no row: it is not read as a whole."""
_decode = msgspec.json.Decoder(Example).decode


@dataclass
class Side:
    """One split file. Its lines keep their numbers until the end: what is dropped is only marked."""

    name: str
    """As it is reported: data/train.jsonl."""
    path: Path
    gone: bytearray = field(default_factory=bytearray)
    """By line: 1 where it is dropped."""
    masked: set[int] = field(default_factory=set)
    """Lines in which personal data or keys were masked."""

    def examples(self) -> Iterator[tuple[int, Example]]:
        """(1-based line, row) of the lines that stay and hold a whole row."""
        for number, line in self.lines():
            if (row := read_row(line)) is not None:
                yield number, row

    def lines(self) -> Iterator[tuple[int, bytes]]:
        """(1-based line, its bytes without the end) of the lines that stay, are not blank and not too long."""
        for number, piece, whole in pieces(self.path):
            if whole and not self.gone[number - 1] and not piece.isspace():
                yield number, piece.removesuffix(b"\n")

    def texts(self, numbers: list[int]) -> Iterator[str]:
        """What is shown of the rows at these ascending lines: the first five as they are read, then nothing."""
        wanted = set(numbers[:SHOWN])
        rows = self.examples() if wanted else iter(())
        for number, row in rows:
            if number in wanted:
                wanted.remove(number)
                yield shown(row.input_text or row.output_text)
                if not wanted:
                    break
        yield from repeat("", len(numbers[SHOWN:]))


def read_row(line: bytes) -> Example | None:
    """The row of a line; None where it is none, or lacks a question or an answer: what is wrong then is not mended by row."""
    try:
        row = _decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    return row if row_problem(row, 0) is None else None


def pieces(path: Path) -> Iterator[tuple[int, bytes, bool]]:
    """(1-based line, bytes with the end, whether that is the whole line); a longer line comes in several pieces."""
    number, inside = 1, False
    with path.open("rb") as stream:
        for piece in iter(partial(stream.readline, LONGEST), b""):
            ended = piece.endswith(b"\n")
            cut = len(piece) == LONGEST and not ended
            yield number, piece, not (cut or inside)
            number, inside = (number + 1, False) if ended else (number, True)


@dataclass
class Work:
    """The sides in the order train, valid, test, and what was done to them."""

    sides: list[Side]
    task: Task
    log: Log = field(default_factory=Log)
    progress: Progress = silent

    @classmethod
    def open(cls, folder: Path, task: Task, progress: Progress = silent) -> Work:
        """The split files that are there."""
        found = [(f"data/{split}.jsonl", folder / f"{split}.jsonl") for split in SPLITS]
        sides = [Side(name, path) for name, path in found if path.is_file()]
        for side in sides:
            last = 0
            for number, _, _ in pieces(side.path):
                last = number
            side.gone = bytearray(last)
        return cls(sides, task, progress=progress)

    def drop(self, check: str, side: Side, lines: Iterable[int]) -> None:
        """Drop the rows of these lines for this check."""
        fresh = sorted(line for line in set(lines) if not side.gone[line - 1])
        for line, text in zip(fresh, side.texts(fresh), strict=True):
            self.log.add(check, side.name, line, text, None, masked=line in side.masked)
        for line in fresh:
            side.gone[line - 1] = 1

    def finish(self) -> None:
        """Write the files without the lines that were dropped; a file of which all stay is left alone."""
        for side in self.sides:
            if any(side.gone):
                with atomic_file(side.path) as stream:
                    for number, piece, _ in pieces(side.path):
                        if not side.gone[number - 1]:
                            stream.write(piece)
