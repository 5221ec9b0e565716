"""DATA-NEARDUP and the near half of SPLIT-LEAK: inputs that are nearly those of an earlier row.

    each row → its sketch (100 bytes), identities of input, group, system prompt and tools
    at the end: rows that share a band → read again → true Jaccard of their shingles

Rows with the very same input are the exact checks' business, and rows of one group belong together
(the entities of a text), so neither is reported here. Where answers are free text (a question about
a passage), a row is nearly the same only if its answer is as well.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import ClassVar

import msgspec
import xxhash

from nlp_skills.data.checks.near_pairs import (
    Found,
    Identities,
    Matches,
    Texts,
    compared_text,
    encoded_shingles,
)
from nlp_skills.data.checks.rows import Context, Rows
from nlp_skills.data.checks.tally import SHOWN, Tally
from nlp_skills.data.example import Example
from nlp_skills.data.excerpt import excerpt
from nlp_skills.data.report import DoesNotApply, Finding, RowReference
from nlp_skills.data.similarity import FEWEST, THRESHOLD
from nlp_skills.data.sketches import Sketches
from nlp_skills.errors import MissingExtra

_decode = msgspec.json.Decoder(Example).decode
_encode = msgspec.json.Encoder().encode
_hash = xxhash.xxh3_64_intdigest
_NEAR = "Nearly the same as an earlier row of the same file: {rows}."
_NEAR_FIX = f"Keep one of each: set near_duplicates: {THRESHOLD} in data_source.yaml and run nlp-skills regenerate-data {{task}}"
_LEAK = "Nearly the same input as on another side of the split: {rows}."
_LEAK_FIX = (
    "Keep one of each and divide the rows anew: set near_duplicates: 0.8 in data_source.yaml and run nlp-skills"
    " regenerate-data {task}"
)
_PASSAGE = "Nearly the same input as on another side of the split, with another answer: {rows}."
_PASSAGE_FIX = (
    "Where these ask about one passage, keep it on one side: name the column that tells passages apart in"
    " data_source.yaml (columns: {group: <column>}) and run nlp-skills regenerate-data {task}"
)


class NearRows:
    """Keeps a sketch of every row long enough to be compared, and compares in the end."""

    checks: ClassVar[tuple[str, ...]] = ("DATA-NEARDUP", "SPLIT-LEAK")

    def __init__(self, context: Context, /) -> None:
        self._paths = dict(context.files)
        self._labelled = context.task.type.has_labels
        self._names: list[str] = []
        self._file, self._line = array("I"), array("L")
        self._input, self._group = array("Q"), array("Q")
        self._setting, self._copy = array("Q"), array("Q")
        self._missing: str | None = None
        try:
            self._sketches = Sketches(THRESHOLD)
        except MissingExtra as error:
            self._missing = str(error)

    def see(self, rows: Rows) -> None:
        """Take in the next rows."""
        self._know([rows.file])
        if self._missing:
            return
        texts = []
        for line, example in zip(rows.lines, rows.examples, strict=True):
            words = encoded_shingles(compared_text(example))
            if len(words) >= FEWEST:
                texts.append(words)
                self._note(rows.file, line, example)
        self._sketches.add(texts)

    def _know(self, files: list[str]) -> None:
        self._names += [file for file in files if file not in self._names]

    def _note(self, file: str, line: int, example: Example) -> None:
        group = example.meta.group
        system = [turn.content for turn in example.context if turn.role == "system"]
        self._file.append(self._names.index(file))
        self._line.append(line)
        asked = (example.context, example.tools, None if example.input_text else example.answer)
        self._input.append(_hash(_encode(asked)))
        self._group.append(_hash(group.encode("utf-8", "surrogatepass")) if group else 0)
        self._setting.append(_hash(_encode((system, example.tools))))
        answer = None if self._labelled else example.output_text
        self._copy.append(_hash(_encode((system, example.tools, group, answer))))

    def merge(self, later: NearRows) -> None:
        """Put the rows of another process behind these."""
        self._know(later._names)
        if self._missing:
            return
        numbers = [self._names.index(name) for name in later._names]
        self._file.extend(array("I", (numbers[file] for file in later._file)))
        for mine, theirs in (
            (self._line, later._line),
            (self._input, later._input),
            (self._group, later._group),
            (self._setting, later._setting),
            (self._copy, later._copy),
        ):
            mine.extend(theirs)
        self._sketches.extend(later._sketches)

    def findings(self) -> list[Finding]:
        """Near-duplicates within a file, then inputs that nearly stand on another side of the split."""
        if self._missing or not self._file:
            return []
        found = self._compare()
        return [
            *self._tally(found.near, Tally("DATA-NEARDUP", "warning", _NEAR, _NEAR_FIX)),
            *self._tally(found.leaks, Tally("SPLIT-LEAK", "error", _LEAK, _LEAK_FIX)),
            *self._tally(found.passages, Tally("SPLIT-LEAK", "warning", _PASSAGE, _PASSAGE_FIX)),
        ]

    def matched(self) -> dict[str, list[tuple[str, int]]]:
        """By check: file and line of each row that is nearly the same as an earlier one, its answer with it."""
        if not self._file:
            return {check: [] for check in self.checks}
        found = self._compare()
        return {
            check: [(self._names[self._file[row]], self._line[row]) for row in sorted(rows)]
            for check, rows in zip(self.checks, (found.near, found.leaks), strict=True)
        }

    def not_run(self) -> dict[str, str]:
        """It needs the data extra; there is no leak where but one side has rows."""
        reasons = dict.fromkeys(self.checks, self._missing) if self._missing else {}
        if len(self._names) < 2:
            reasons["SPLIT-LEAK"] = DoesNotApply("only one side has rows")
        return reasons

    def _compare(self) -> Found:
        import numpy as np

        columns = (self._file, self._input, self._group, self._setting, self._copy)
        identities = Identities(*(np.frombuffer(values, dtype=f"u{values.itemsize}") for values in columns))
        near = self._sketches.shared()
        texts = Texts(near, self._rows(np.flatnonzero(near).tolist()), with_answers=not self._labelled)
        found = Found(identities, texts)
        first = identities.first_copies(self._sketches.classes())
        copies = np.flatnonzero(near & (first != np.arange(len(first))))
        found.compare(copies, first[copies])
        near[copies] = False
        for later, earlier in self._sketches.candidates(near):
            found.compare(later, earlier)
        found.follow(copies.tolist(), first)
        return found

    def _rows(self, numbers: list[int]) -> Iterator[tuple[int, Example]]:
        """(number, example) of rows that were seen, read again; the numbers ascend."""
        for file, group in groupby(numbers, key=lambda number: self._file[number]):
            rows = list(group)
            path = self._paths[self._names[file]]
            lines = read_lines(path, [self._line[row] for row in rows])
            for row, line in zip(rows, lines, strict=True):
                yield row, _decode(line)

    def _tally(self, matches: Matches, tally: Tally) -> list[Finding]:
        tally.count = len(matches)
        shown = sorted(matches)[:SHOWN]
        for row, example in self._rows(shown):
            match = matches[row]
            place = f"{self._names[self._file[match.other]]}:{self._line[match.other]}"
            text = excerpt(f"{match.similarity:.0%} as {place}: {compared_text(example)}")
            file = self._names[self._file[row]]
            tally.rows.append(RowReference(file=file, line=self._line[row], text=text))
        return tally.findings()


def read_lines(path: Path, numbers: list[int]) -> Iterator[bytes]:
    """Lines of a file by their ascending 1-based numbers."""
    wanted = iter(numbers)
    next_one = next(wanted, None)
    with path.open("rb") as stream:
        for number, line in enumerate(stream, start=1):
            if next_one is None:
                return
            if number == next_one:
                yield line
                next_one = next(wanted, None)
