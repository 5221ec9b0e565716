"""The one pass over the data: every line is decoded once and hashed once, for all checks.

    file → blocks of lines → Batch(identities, labels, lengths, faults) → every check's `see`

A line that msgspec refuses, or that is not written as we write it and has more colons than what
was decoded, goes through a slower parser that can name the fault. Memory holds one block, and for
every row 16 bytes of identity with their table entry. Examples are let go row by row: kept in
lists, they would double the time (Python's cyclic garbage collector walks them).
"""

from __future__ import annotations

import hashlib
from array import array
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec
import xxhash

from nlp_skills.data.checks.faults import (
    INCOMPLETE,
    TOO_LONG,
    UNREAD,
    Fault,
    diagnose,
    diagnose_keys,
    shape_of,
)
from nlp_skills.data.example import Example, Message
from nlp_skills.records import Progress, silent
from nlp_skills.task.task import Task, TaskType

BLOCK = 1 << 18
MAX_LINE = 16 << 20
"""Bytes after which a line is skipped unread: it is no row but a file without line ends."""
LONG_LINE = 1 << 20
"""Bytes after which a line is called over-long: far beyond what any model reads."""
_ROLES = frozenset(("system", "user", "assistant", "tool"))

_decode = msgspec.json.Decoder(Example).decode
_encode = msgspec.json.Encoder().encode
_digest = xxhash.xxh3_128_digest


@dataclass(slots=True)
class Batch:
    """Some lines of one file. The lists of rows run in parallel."""

    file: str
    file_start: int
    """Number of the file's first row among the rows of all files."""
    start: int
    """Number of this batch's first row among the rows of all files."""
    lines: Sequence[int] = ()
    """1-based line in the file."""
    raw: Sequence[bytes | None] = ()
    labels: list[str | None] = field(default_factory=list)
    groups: list[str | None] = field(default_factory=list)
    lengths: list[int] = field(default_factory=list)
    """Characters of the input."""
    inputs: list[bytes] = field(default_factory=list)
    """Identity of what the model is given (xxh3_128); of all it sees where it is given nothing."""
    answers: list[int] = field(default_factory=list)
    """Identity of the answer within this process: compared between rows of the same input."""
    repeats: list[tuple[int, int]] = field(default_factory=list)
    """Rows whose input was seen before: (index in the batch, number of the first row with it)."""
    judgements: list[tuple[int, bytes, bool]] = field(default_factory=list)
    """Of preferences: index in the batch, identity of what is judged, and the judgement."""
    faults: list[Fault] = field(default_factory=list)

    def text(self, index: int) -> str:
        """What the model is given in a row, to be shown; the answer where it is given nothing."""
        example = _decode(self.raw[index] or b"")
        return example.input_text or example.output_text


class Places:
    """Where every row stands: its number among all rows → file and line."""

    def __init__(self) -> None:
        self.lines = array("L")
        self.starts: list[int] = []
        self.files: list[str] = []

    def begin(self, file: str) -> int:
        """The rows from here on belong to this file; returns the number of the first."""
        self.starts.append(len(self.lines))
        self.files.append(file)
        return len(self.lines)

    def name(self, row: int) -> str:
        """`data/train.jsonl:12`."""
        return f"{self.files[bisect_right(self.starts, row) - 1]}:{self.lines[row]}"


class Reader:
    """Reads files in order; afterwards knows their rows, their hashes and where each row stands."""

    def __init__(self, files: Mapping[str, Path], task: Task, progress: Progress = silent) -> None:
        self.task = task
        self.places = Places()
        self.rows: dict[str, int] = {}
        self.sha256: dict[str, str] = {}
        self.labels: dict[str, Counter[str | None]] = {}
        """By file: label → rows; None counts the rows without one."""
        self.lengths: dict[str, Counter[int]] = {}
        """By file: characters of the input → rows."""
        self._files = files
        self._progress = progress
        self._marked = task.type is TaskType.PREFERENCE
        """Labels are judgements of answers (KTO)."""
        self._first: dict[bytes, int] = {}

    def batches(self) -> Iterator[Batch]:
        """All files, block by block."""
        total = sum(path.stat().st_size for path in self._files.values())
        done = 0
        for file, path in self._files.items():
            start = self.places.begin(file)
            labels = self.labels[file] = Counter()
            lengths = self.lengths[file] = Counter()
            digest = hashlib.sha256()
            for size, number, lines in _line_blocks(path, digest):
                batch = Batch(file, start, len(self.places.lines))
                self._read(batch, number, lines)
                self.places.lines.extend(batch.lines)
                labels.update(batch.labels)
                lengths.update(batch.lengths)
                yield batch
                done += size
                self._progress(f"checking {file}", done, total)
            self.rows[file] = len(self.places.lines) - start
            self.sha256[file] = digest.hexdigest()

    def _read(self, batch: Batch, number: int, lines: list[bytes | None]) -> None:
        """Decode and identify a block of lines, the first of which has this number."""
        if lines and lines[0] and len(lines[0]) > LONG_LINE:  # longer than a block: no other line can be
            batch.faults.append(Fault(TOO_LONG, number, f"{len(lines[0]):,} bytes"))
        add, no_rows = self._add, set()
        for line_number, line in enumerate(lines, start=number):
            if line is None:
                batch.faults.append(Fault(UNREAD, line_number, f"more than {MAX_LINE >> 20} MiB"))
                no_rows.add(line_number)
                continue
            try:
                problem = add(batch, _decode(line), line, line_number)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                if line and not line.isspace():
                    batch.faults += diagnose(line, line_number, error)
                no_rows.add(line_number)
            else:
                if problem:
                    batch.faults.append(Fault(INCOMPLETE, line_number, problem))
                    no_rows.add(line_number)
        numbers = range(number, number + len(lines))
        batch.lines, batch.raw = numbers, lines
        if no_rows:
            batch.lines = [n for n in numbers if n not in no_rows]
            batch.raw = [lines[n - number] for n in batch.lines]
        rows = range(batch.start, batch.start + len(batch.inputs))
        firsts = map(self._first.setdefault, batch.inputs, rows)
        pairs = zip(firsts, rows, strict=True)
        batch.repeats = [(row - batch.start, first) for first, row in pairs if first != row]

    def _add(self, batch: Batch, example: Example, line: bytes, number: int) -> str | None:
        """Put a decoded row into the batch, or say what it lacks. It runs for every row: calls are few."""
        messages = example.messages
        if messages and not (example.prompt or example.chosen or example.rejected):
            context, last = messages[:-1], messages[-1]
            if last.role != "assistant" or not (last.content or _is_turn(last)):
                return _unanswered(last)
        else:
            context, last = example.prompt or (), None
            if problem := _problem(example):
                return problem
        length = 0
        for message in context:
            role, content = message.role, message.content
            if role == "user" and content:
                length += len(content)
            elif role != "system" or content is None:
                if role not in _ROLES or not _is_turn(message):
                    return _wrong(message)
                length += len(content or "")
        whole = _encode(example)
        if whole != line:
            _compare(batch, line, number, whole)
        label = example.meta.label
        if last is not None and example.tools is None:
            said = _encode(last)
            # `…"messages":[<asked>,<said>]}`; a quotation mark inside a string would be escaped.
            asked = whole[whole.index(b'"messages":[') : -len(said) - 2]
        else:
            asked, said = _identify(example)
        if last is None or (self._marked and label is not None):
            said = _judge(batch, example, asked, said)
        batch.labels.append(label)
        batch.groups.append(example.meta.group)
        batch.lengths.append(length)
        batch.inputs.append(_digest(asked if length else asked + said))
        batch.answers.append(hash(said))
        return None


def _compare(batch: Batch, line: bytes, number: int, whole: bytes) -> None:
    """Look at a line that is not written as we write it.

    A colon follows every key, so keys that were decoded into one leave colons over.
    """
    if whole.count(b":") != line.count(b":"):
        batch.faults += diagnose_keys(line, number)


def _identify(example: Example) -> tuple[bytes, bytes]:
    """The bytes of what the model is given, and of the answer or answers."""
    asked = _encode((example.context, example.tools))
    if example.messages:
        return asked, _encode(example.answer)
    return asked, _encode((example.chosen, example.rejected))


def _judge(batch: Batch, example: Example, asked: bytes, said: bytes) -> bytes:
    """Note which answer is preferred to which, or whether one is good (KTO); the answer with it."""
    if example.messages:
        judged, judgement = asked + said, example.meta.label == "true"
        said += (example.meta.label or "").encode()
    else:
        chosen, rejected = _encode(example.chosen), _encode(example.rejected)
        judged, judgement = asked + min(chosen, rejected) + max(chosen, rejected), chosen < rejected
    batch.judgements.append((len(batch.labels), _digest(judged), judgement))
    return said


def _is_turn(message: Message) -> bool:
    """Whether something is said or called; a tool may well return an empty text."""
    return message.content is not None or bool(message.tool_calls)


def _problem(example: Example) -> str | None:
    """Why a row that is no plain conversation is no preference either; None when it is one."""
    chosen, rejected = example.chosen, example.rejected
    if example.messages is not None or not (example.prompt and chosen and rejected):
        return shape_of(example)
    return _unanswered(chosen[-1]) or _unanswered(rejected[-1])


def _unanswered(last: Message) -> str | None:
    if last.role == "assistant" and _is_turn(last):
        return None
    return f"the answer is missing: the row ends with a turn of {last.role!r}"


def _wrong(message: Message) -> str:
    if message.role not in _ROLES:
        return f"unknown role {message.role!r}; known are: {', '.join(sorted(_ROLES))}"
    return f"a turn of {message.role!r} without content"


def _line_blocks(path: Path, digest: Any) -> Iterator[tuple[int, int, list[bytes | None]]]:
    """(bytes read, number of the first line, lines) of a file; None for a line that is not kept."""
    number, rest, skipping = 1, b"", False
    with path.open("rb") as stream:
        while block := stream.read(BLOCK):
            digest.update(block)
            lines: list[bytes | None] = list((rest + block).split(b"\n"))
            rest = lines.pop() or b""
            if skipping and lines:
                lines[0], skipping = None, False
            if skipping or len(rest) > MAX_LINE:
                rest, skipping = b"", True
            yield len(block), number, lines
            number += len(lines)
    if rest or skipping:
        yield 0, number, [None if skipping else rest]
