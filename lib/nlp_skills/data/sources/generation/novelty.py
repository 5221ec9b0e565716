"""Which generated rows are new: unlike each other, unlike the rows there are, and never like the test split.

    generated rows ──index──▶ ◀── every existing row, one after the other, in constant memory

Equal is equal up to cases, compatible forms (NFKC) and white space; near is the Jaccard similarity of
shingles. The index holds only the rarest shingles of each text: two sets with a similarity of t share
one of their first |s| - ⌈t·|s|⌉ + 1 in any fixed order (Bayardo, Ma, Srikant, Scaling up all pairs
similarity search, WWW 2007), so what is found is exact and complete.
"""

from __future__ import annotations

import math
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec
import xxhash

from nlp_skills.data.example import Example, read_examples
from nlp_skills.data.similarity import FEWEST, THRESHOLD, jaccard, shingles
from nlp_skills.data.sources.source import DataSource, DataSources
from nlp_skills.errors import NotValid
from nlp_skills.task.task import Task


def compared(example: Example) -> str:
    """The text by which rows are compared: what the model is given, or all there is."""
    return example.input_text if example.input_text.strip() else example.output_text


class Neighbours:
    """Texts by number, and which of them another text is equal or similar to."""

    def __init__(self, texts: Sequence[str], threshold: float) -> None:
        """`threshold`: the least similarity that is looked for, above 0 and at most 1."""
        self._threshold = threshold
        self._equal: dict[str, list[int]] = defaultdict(list)
        self._sets = [_hashed(text) for text in texts]
        self._frequency = Counter(word for words in self._sets for word in words)
        self._index: dict[int, list[int]] = defaultdict(list)
        for number, text in enumerate(texts):
            self._equal[_plain(text)].append(number)
            for word in self._rarest(self._sets[number]):
                self._index[word].append(number)

    def of(self, text: str) -> dict[int, float]:
        """Number → similarity, of all that are equal (1.0) or reach the threshold."""
        words = _hashed(text)
        probe = words if len(words) >= FEWEST else ()
        found = {number for word in probe for number in self._index.get(word, ())}
        near = {number: jaccard(words, self._sets[number]) for number in found}
        equal = dict.fromkeys(self._equal.get(_plain(text), ()), 1.0)
        return {number: value for number, value in near.items() if value >= self._threshold} | equal

    def _rarest(self, words: set[int]) -> list[int]:
        if len(words) < FEWEST:
            return []
        kept = len(words) - math.ceil(self._threshold * len(words)) + 1
        return sorted(words, key=lambda word: (self._frequency[word], word))[:kept]


def _hashed(text: str) -> set[int]:
    return {xxhash.xxh3_64_intdigest(word.encode()) for word in shingles(text)}


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def copies(texts: Sequence[str], task: Path, source: str, threshold: float) -> dict[int, str]:
    """Number of a text → "copies_test" or "near_duplicate", for those that resemble an existing row.

    Near the valid or test split counts from THRESHOLD on, however high the source's own threshold is.
    """
    if not texts:
        return {}
    index = Neighbours(texts, min(threshold, THRESHOLD))
    verdicts: dict[int, str] = {}
    for held_out, text in _existing(task, source):
        for number, similarity in index.of(text).items():
            if held_out:
                verdicts[number] = "copies_test"
            elif similarity >= threshold:
                verdicts.setdefault(number, "near_duplicate")
    return verdicts


def _existing(task: Path, source: str) -> Iterator[tuple[bool, str]]:
    """(whether it is held out, its text) of every row that this source has not written.

    The splits there are, and the raw rows of the other sources: those that this regeneration has read
    already, else those of the last one. What is read for the first time after this source is not known yet.
    """
    for split in ("valid", "test"):
        file = task / "data" / f"{split}.jsonl"
        if file.is_file():
            yield from (
                (True, compared(example)) for example in read_examples(file) if example.meta.source != source
            )
    definition = Task.load(task / "task.yaml")
    path = task / "data_source.yaml"
    for other in DataSources.load(path).sources if path.is_file() else ():
        if other.name != source:
            held_out = other.side in ("valid", "test")
            yield from ((held_out, text) for text in _raw_texts(task, other, definition))


def _raw_texts(task: Path, source: DataSource, definition: Task) -> Iterator[str]:
    """Rows that cannot be used are passed over: they come into no split either."""
    from nlp_skills.data.format import to_example  # these know the sources, and so this module
    from nlp_skills.data.layout import detect_layout

    staged = task / "data" / ".next" / "raw" / f"{source.name}.jsonl"
    raw = staged if staged.is_file() else task / "data" / "raw" / staged.name
    if not raw.is_file():
        return
    layout = detect_layout(_sample(raw), source.columns, definition.type)
    with raw.open("rb") as stream:
        for line, text in enumerate(stream, start=1):
            try:
                row = msgspec.json.decode(text)
                example = to_example(row, layout, task=definition, source=source.name, line=line)
            except NotValid:
                continue
            yield compared(example)


def _sample(raw: Path) -> list[dict[str, object]]:
    from nlp_skills.data.sampled_table import SAMPLE

    half = SAMPLE // 2
    with raw.open("rb") as stream:
        step = max(1, sum(1 for _ in stream) // half)
        stream.seek(0)
        return [
            msgspec.json.decode(text)
            for line, text in enumerate(stream, start=1)
            if line <= half or line % step == 0
        ]
