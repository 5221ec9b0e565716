"""Which of the pairs that may be alike are alike, and may be reported as such: the exact half of `near.py`."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import Any, TypeAlias

import xxhash

from nlp_skills.data.example import Example
from nlp_skills.data.similarity import FEWEST, THRESHOLD, jaccard, shingles
from nlp_skills.data.sketches import least_agreement, signatures

ANSWER = 2_000
"""Characters of an answer that are compared."""
CHUNK = 100_000
"""Pairs that are compared at a time: bounds the memory."""
AT_ONCE = 1_000
"""Rows whose signatures are made at a time."""
KEPT = 20_000
"""Rows whose shingles are kept as a set."""
_hash = xxhash.xxh3_64_intdigest


@dataclass(frozen=True)
class Match:
    """An earlier row that is nearly the same."""

    other: int
    similarity: float
    same_answer: bool


Matches: TypeAlias = dict[int, Match]
"""Number of a row → what it resembles."""


def compared_text(example: Example) -> str:
    """What two rows are compared by: what the user says; the answer where nothing is asked."""
    return example.input_text or example.output_text


def encoded_shingles(text: str) -> list[bytes]:
    """The shingles of a text as bytes; half a character, which is no UTF-8, as it is."""
    return [word.encode("utf-8", "surrogatepass") for word in shingles(text)]


@dataclass(frozen=True)
class Identities:
    """What tells which rows may be compared: numpy arrays that run in parallel, rows in the order of the files."""

    file: Any
    input: Any
    group: Any
    """0: of no group."""
    setting: Any
    """The system prompt and the tools: under others the same words are another input."""
    copy: Any
    """All but the words of the input: the setting, the group, and an answer that is free text."""

    def first_copies(self, classes: Any) -> Any:
        """For each row the first row of its file that has all but the spelling of its input in common with it."""
        import numpy as np

        odd = np.uint64(0x9E3779B97F4A7C15)
        keys = (classes ^ self.copy) * odd + self.file.astype(np.uint64)
        _, first, which = np.unique(keys, return_index=True, return_inverse=True)
        return first[which]

    def first_in_file(self) -> Any:
        """Whether the row is the first of its file with its very input."""
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

    def comparable(self, later: Any, earlier: Any) -> Any:
        """Whether the rows of each pair may be reported as nearly the same."""
        right = self.setting[later] == self.setting[earlier]
        right &= (self.group[later] == 0) | (self.group[later] != self.group[earlier])
        return right & (self.input[later] != self.input[earlier])


class Texts:
    """The shingles of the rows that are compared, 4 bytes each, and a byte of each hash of their MinHash.

    With 4 bytes a false match of two rows is less likely than one in a million.
    """

    def __init__(self, wanted: Any, rows: Iterable[tuple[int, Example]], *, with_answers: bool) -> None:
        """`wanted`: a bool for each row; `rows`: number and example of those that are wanted, in order."""
        import numpy as np

        self._place = np.cumsum(wanted) - 1
        self._inputs, self._input_ends = array("I"), array("Q", [0])
        self._answers, self._answer_ends = array("I"), array("Q", [0])
        self._with_answers = with_answers
        pages, page = [], []
        for _, example in rows:
            page.append(encoded_shingles(compared_text(example)))
            _append(page[-1], self._inputs, self._input_ends)
            if with_answers:
                _append(_answer(example), self._answers, self._answer_ends)
            if len(page) == AT_ONCE:
                pages.append(signatures(page))
                page = []
        self._signatures: Any = np.concatenate([*pages, signatures(page)])
        self._least = least_agreement(THRESHOLD)
        # Where many rows follow one template, each is compared with many.
        self._input = lru_cache(KEPT)(partial(_between, self._inputs, self._input_ends))

    def likely(self, later: Any, earlier: Any) -> Any:
        """Whether the rows of each pair can be alike, as their MinHashes tell: spares comparing most that are not."""
        one, other = (self._signatures[self._place[rows]] for rows in (later, earlier))
        return (one == other).sum(axis=1) >= self._least

    def _similarity(self, one: int, other: int) -> float:
        """Of the inputs, 0 where their sizes alone rule it out."""
        ends = self._input_ends
        sizes = sorted((ends[one + 1] - ends[one], ends[other + 1] - ends[other]))
        if sizes[0] < THRESHOLD * sizes[1]:
            return 0.0
        return jaccard(self._input(one), self._input(other))

    def match(self, row: int, other: int) -> Match | None:
        """How the two are alike; None where their inputs are not."""
        places = int(self._place[row]), int(self._place[other])
        similar = self._similarity(*places)
        if similar < THRESHOLD:
            return None
        if not self._with_answers:
            return Match(other, similar, True)
        one, two = (_between(self._answers, self._answer_ends, place) for place in places)
        same = jaccard(one, two) >= THRESHOLD
        return Match(other, similar, same)


def _answer(example: Example) -> list[bytes]:
    answer = example.output_text[:ANSWER]
    words = encoded_shingles(answer)
    return words if len(words) >= FEWEST else [answer.strip().casefold().encode("utf-8", "surrogatepass")]


def _append(words: list[bytes], hashes: array[int], ends: array[int]) -> None:
    hashes.extend({_hash(word) & 0xFFFFFFFF for word in words})
    ends.append(len(hashes))


def _between(hashes: array[int], ends: array[int], place: int) -> set[int]:
    return set(hashes[ends[place] : ends[place + 1]])


class Found:
    """What was found so far: each row with the first row that it was found to resemble."""

    def __init__(self, identities: Identities, texts: Texts) -> None:
        self.near: Matches = {}
        """Of the same file."""
        self.leaks: Matches = {}
        """Of an earlier file."""
        self._passages: Matches = {}
        self._identities = identities
        self._texts = texts
        self._near_open = identities.first_in_file()
        self._leak_open = ~identities.in_earlier_file()

    @property
    def passages(self) -> Matches:
        """Of an earlier file, where only the input is nearly the same, and the answer is not."""
        return {row: match for row, match in self._passages.items() if row not in self.leaks}

    def compare(self, later: Any, earlier: Any) -> None:
        """Take in pairs: numpy arrays of the numbers of rows, the later ones first."""
        for start in range(0, len(later), CHUNK):
            self._compare(later[start : start + CHUNK], earlier[start : start + CHUNK])

    def _compare(self, later: Any, earlier: Any) -> None:
        import numpy as np

        file = self._identities.file
        apart = file[later] != file[earlier]
        asked = np.where(apart, self._leak_open[later], self._near_open[later])
        asked &= self._identities.comparable(later, earlier)
        later, earlier, apart = later[asked], earlier[asked], apart[asked]
        likely = self._texts.likely(later, earlier)
        pairs = zip(later[likely].tolist(), earlier[likely].tolist(), apart[likely].tolist(), strict=True)
        for row, other, leak in pairs:
            if (self._leak_open if leak else self._near_open)[row]:
                self._note(row, leak, self._texts.match(row, other))

    def _note(self, row: int, leak: bool, match: Match | None) -> None:
        if match is None:
            return
        if leak and not match.same_answer:
            self._passages.setdefault(row, match)
        elif match.same_answer:
            (self.leaks if leak else self.near)[row] = match
            (self._leak_open if leak else self._near_open)[row] = False

    def follow(self, copies: list[int], first: Any) -> None:
        """Compare each copy with the row of another file that the row it is a copy of resembles."""
        import numpy as np

        for known in (self.leaks, self._passages):
            pairs = [(row, known[f].other) for row in copies if (f := int(first[row])) in known]
            if pairs:
                self.compare(*np.array(pairs).T)
