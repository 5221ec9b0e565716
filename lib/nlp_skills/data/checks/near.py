"""DATA-NEARDUP and the near half of SPLIT-LEAK: inputs that are nearly those of an earlier row.

    each row → its sketch (100 bytes), identities of input, group, system prompt and tools
    at the end: rows that share a band → read again → true Jaccard of their shingles

Rows with the very same input are the exact checks' business, and rows of one group belong together
(the entities of a text), so neither is reported here. Where answers are free text (a question about
a passage), a row is nearly the same only if its answer is as well.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

import msgspec
import xxhash

from nlp_skills.data.checks.rows import Context, Rows
from nlp_skills.data.checks.tally import SHOWN, Tally, clip
from nlp_skills.data.example import Example
from nlp_skills.data.report import Finding, RowReference
from nlp_skills.data.similarity import FEWEST, THRESHOLD, jaccard, shingles
from nlp_skills.data.sketches import Sketches
from nlp_skills.errors import MissingExtra

_decode = msgspec.json.Decoder(Example).decode
_encode = msgspec.json.Encoder().encode
_hash = xxhash.xxh3_64_intdigest
ANSWER = 2_000
"""Characters of an answer that are compared."""
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
        self._input, self._group, self._setting = array("Q"), array("Q"), array("Q")
        self._missing: str | None = None
        try:
            self._sketches = Sketches(THRESHOLD)
        except MissingExtra as error:
            self._missing = str(error)

    def see(self, rows: Rows) -> None:
        """Take in the next rows."""
        if self._missing:
            return
        texts = []
        for line, example in zip(rows.lines, rows.examples, strict=True):
            words = _words(compared_text(example))
            if len(words) >= FEWEST:
                texts.append(words)
                self._note(rows.file, line, example)
        self._sketches.add(texts)

    def _note(self, file: str, line: int, example: Example) -> None:
        if file not in self._names:
            self._names.append(file)
        group = example.meta.group
        system = [turn.content for turn in example.context if turn.role == "system"]
        self._file.append(self._names.index(file))
        self._line.append(line)
        asked = (example.context, example.tools, None if example.input_text else example.answer)
        self._input.append(_hash(_encode(asked)))
        self._group.append(_hash(group.encode("utf-8", "surrogatepass")) if group else 0)
        self._setting.append(_hash(_encode((system, example.tools))))

    def merge(self, later: NearRows) -> None:
        """Put the rows of another process behind these."""
        if self._missing:
            return
        self._names += [name for name in later._names if name not in self._names]
        numbers = [self._names.index(name) for name in later._names]
        self._file.extend(array("I", (numbers[file] for file in later._file)))
        for mine, theirs in (
            (self._line, later._line),
            (self._input, later._input),
            (self._group, later._group),
            (self._setting, later._setting),
        ):
            mine.extend(theirs)
        self._sketches.extend(later._sketches)

    def findings(self) -> list[Finding]:
        """Near-duplicates within a file, then inputs that nearly stand on another side of the split."""
        if self._missing or not self._file:
            return []
        near, leaks, passages = self._compare()
        return [
            *self._tally(near, Tally("DATA-NEARDUP", "warning", _NEAR, _NEAR_FIX)),
            *self._tally(leaks, Tally("SPLIT-LEAK", "error", _LEAK, _LEAK_FIX)),
            *self._tally(passages, Tally("SPLIT-LEAK", "warning", _PASSAGE, _PASSAGE_FIX)),
        ]

    def not_run(self) -> dict[str, str]:
        """It needs the data extra; leaks are told by Leak where there is but one side."""
        if self._missing:
            return dict.fromkeys(self.checks, self._missing)
        return {"SPLIT-LEAK": "there is but one side"} if len(self._paths) < 2 else {}

    def _compare(self) -> tuple[Matches, Matches, Matches]:
        """Each row's first found earlier row: of the same file, of another side, of another side with another answer."""
        import numpy as np

        identities = Identities(
            *(
                np.frombuffer(values, dtype=f"u{values.itemsize}")
                for values in (self._file, self._input, self._group, self._setting)
            )
        )
        wanted = self._sketches.shared()
        texts = Texts(not self._labelled, self._rows(np.flatnonzero(wanted).tolist()))
        near: Matches = {}
        leaks: Matches = {}
        passages: Matches = {}
        for pairs in self._sketches.candidates(wanted & identities.first_in_file()):
            for row, other in identities.comparable(*pairs, same_file=True):
                if row not in near and (match := texts.match(row, other)) and match.same_answer:
                    near[row] = match
        sides = identities.file
        for pairs in self._sketches.candidates(wanted & ~identities.in_earlier_file(), sides):
            for row, other in identities.comparable(*pairs, same_file=False):
                if row not in leaks and (match := texts.match(row, other)):
                    (leaks if match.same_answer else passages).setdefault(row, match)
        return near, leaks, {row: match for row, match in passages.items() if row not in leaks}

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
            text = clip(f"{match.similarity:.0%} as {place}: {compared_text(example)}")
            file = self._names[self._file[row]]
            tally.rows.append(RowReference(file=file, line=self._line[row], text=text))
        return tally.findings()


def compared_text(example: Example) -> str:
    """What two rows are compared by: what the user says; the answer where nothing is asked."""
    return example.input_text or example.output_text


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


def _words(text: str) -> list[bytes]:
    return [word.encode("utf-8", "surrogatepass") for word in shingles(text)]


@dataclass(frozen=True)
class Match:
    """An earlier row that is nearly the same."""

    other: int
    similarity: float
    same_answer: bool


Matches: TypeAlias = dict[int, Match]
"""Number of a row → what it resembles."""


@dataclass(frozen=True)
class Identities:
    """What tells which rows may be compared: numpy arrays that run in parallel, rows in the order of the files."""

    file: Any
    input: Any
    group: Any
    """0: of no group."""
    setting: Any
    """The system prompt and the tools: under others the same words are another input."""

    def first_in_file(self) -> Any:
        """Whether the row is the first of its file with its input."""
        import numpy as np

        found = np.zeros(len(self.file), dtype=bool)
        for file in np.unique(self.file):
            rows = np.flatnonzero(self.file == file)
            found[rows[np.unique(self.input[rows], return_index=True)[1]]] = True
        return found

    def in_earlier_file(self) -> Any:
        """Whether the row's very input stands in an earlier file."""
        import numpy as np

        found = np.zeros(len(self.file), dtype=bool)
        for file in np.unique(self.file):
            rows = self.file == file
            found[rows] = np.isin(self.input[rows], self.input[self.file < file])
        return found

    def comparable(self, later: Any, earlier: Any, *, same_file: bool) -> Iterator[tuple[int, int]]:
        """Those of the pairs whose rows may be reported as nearly the same."""
        right = (self.file[later] == self.file[earlier]) == same_file
        right &= self.setting[later] == self.setting[earlier]
        right &= (self.group[later] == 0) | (self.group[later] != self.group[earlier])
        right &= self.input[later] != self.input[earlier]
        return zip(later[right].tolist(), earlier[right].tolist(), strict=True)


class Texts:
    """The shingles of the rows that are compared, 4 bytes each: a false match of two is less likely than 1 in a million."""

    def __init__(self, with_answers: bool, rows: Iterable[tuple[int, Example]]) -> None:
        self._hashes = array("I")
        self._inputs: dict[int, slice] = {}
        self._answers: dict[int, slice] = {}
        for row, example in rows:
            self._inputs[row] = self._keep(_words(compared_text(example)))
            if with_answers:
                answer = example.output_text[:ANSWER]
                words = _words(answer)
                short = [answer.strip().casefold().encode("utf-8", "surrogatepass")]
                self._answers[row] = self._keep(words if len(words) >= FEWEST else short)

    def _keep(self, words: list[bytes]) -> slice:
        start = len(self._hashes)
        self._hashes.extend({_hash(word) & 0xFFFFFFFF for word in words})
        return slice(start, len(self._hashes))

    def match(self, row: int, other: int) -> Match | None:
        """How the two are alike; None where their inputs are not."""
        similar = self._similarity(self._inputs, row, other)
        if similar < THRESHOLD:
            return None
        same = not self._answers or self._similarity(self._answers, row, other) >= THRESHOLD
        return Match(other, similar, same)

    def _similarity(self, places: dict[int, slice], row: int, other: int) -> float:
        one, two = places[row], places[other]
        sizes = sorted((one.stop - one.start, two.stop - two.start))
        if sizes[0] < THRESHOLD * sizes[1]:
            return 0.0
        return jaccard(set(self._hashes[one]), set(self._hashes[two]))
