"""How alike two texts are: the Jaccard similarity of their shingles.

    text → tokens → shingles → MinHash → who shares a band → true Jaccard

MinHash (Broder, On the resemblance and containment of documents, 1997) with bands finds who may be
alike among many texts without comparing each with each; what it proposes is compared exactly.
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from typing import Any, Generic, TypeVar

import xxhash

from nlp_skills.errors import MissingExtra

THRESHOLD = 0.8
"""From this similarity on two texts count as nearly the same."""
FEWEST = 3
"""A text with fewer shingles is too short to be told from a template: it is like no other."""
PERMUTATIONS = 128
SEED = 1
MISSED = 1e-4
"""The share of pairs exactly at the threshold that the bands may miss."""

# Scripts that are written without spaces: Thai to Myanmar, Khmer, kana, Han.
_UNSPACED = "\u0e00-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
# Marks that belong to the word before (combining accents, the vowel signs of Indic scripts) are no \w in Python.
_MARKS = "\u0300-\u036f\u0900-\u0dff\ufe0f"
# Punctuation says nothing; operators, currency signs and emoji do: "3 + 5" is not "3 - 5".
_PUNCTUATION = r""".,;:!?'"`()\[\]{}…‥·‘’“”„«»‹›¿¡–—。，、；：！？「」『』（）《》〈〉【】〔〕～・"""
_TOKEN = re.compile(
    rf"(?P<unspaced>[{_UNSPACED}])|(?:[^\W{_UNSPACED}]|[{_MARKS}])+|[^\w\s{_UNSPACED}{_MARKS}{_PUNCTUATION}]"
)
_IS_UNSPACED = re.compile(rf"[{_UNSPACED}]")

Key = TypeVar("Key")


def shingles(text: str) -> set[str]:
    """Three words in a row each, or four characters where most of the text is written without spaces.

    Compatible forms (NFKC) and cases are the same, and punctuation is left out.
    """
    tokens = [match[0] for match in _TOKEN.finditer(unicodedata.normalize("NFKC", text).casefold())]
    unspaced = sum(1 for token in tokens if len(token) == 1 and _IS_UNSPACED.match(token))
    if unspaced * 2 > len(tokens):
        return set(map("".join, zip(tokens, tokens[1:], tokens[2:], tokens[3:], strict=False)))
    return set(map(" ".join, zip(tokens, tokens[1:], tokens[2:], strict=False)))


def jaccard(one: set[str] | set[int], other: set[str] | set[int]) -> float:
    """The share of what stands in both among what stands in either: 0 to 1; two empty sets are like nothing."""
    both = len(one & other)
    return both / (len(one) + len(other) - both) if both else 0.0


def similarity(one: str, other: str) -> float:
    """The Jaccard similarity of two texts' shingles, 0 to 1."""
    return jaccard(shingles(one), shingles(other))


def bands(threshold: float) -> tuple[int, int]:
    """(number of bands, hashes in each): the widest bands that hardly miss a pair at the threshold.

    A pair of similarity s shares a band of r of b with probability 1 - (1 - s^r)^b (Leskovec,
    Rajaraman, Ullman, Mining of Massive Datasets, section 3.4).
    """
    for rows in range(16, 1, -1):
        count = PERMUTATIONS // rows
        if (1 - threshold**rows) ** count <= MISSED:
            return count, rows
    return PERMUTATIONS, 1


class NearDuplicates(Generic[Key]):
    """Texts that were kept, and which of them a new one resembles. Texts may come one by one.

        seen = NearDuplicates(0.8)
        if (key := seen.find(text)) is None:
            seen.add("page-17", text)

    Memory grows by some 3 kB with every text that is kept: meant for pages and generated rows. For
    a whole data set, where the sketches of a million rows have to fit, there is `sketches.Sketches`.
    """

    def __init__(self, threshold: float = THRESHOLD) -> None:
        """`threshold`: the least Jaccard similarity, above 0 and at most 1. Raises MissingExtra without rensa."""
        try:
            from rensa import RMinHash, RMinHashLSH  # pyright: ignore[reportAttributeAccessIssue]: no stubs
        except ImportError:
            raise MissingExtra("Finding near-duplicates", "data") from None
        self._threshold = threshold
        count, rows = bands(threshold)
        self._sketch: Any = RMinHash
        self._size = count * rows
        self._index: Any = RMinHashLSH(threshold, self._size, count)
        self._keys: list[Key] = []
        self._shingles: list[array[int]] = []
        self._last: tuple[str, set[int], Any] | None = None

    def __len__(self) -> int:
        """How many texts were added, those too short to be compared left out."""
        return len(self._keys)

    def find(self, text: str) -> Key | None:
        """The key of the first added text that is as similar as the threshold or more; None where none is.

        A text of fewer than three shingles resembles none.
        """
        hashes, sketch = self._read(text)
        if len(hashes) < FEWEST:
            return None
        for number in sorted(self._index.query(sketch)):
            if jaccard(hashes, set(self._shingles[number])) >= self._threshold:
                return self._keys[number]
        return None

    def add(self, key: Key, text: str) -> None:
        """Keep a text under a key, whether or not it resembles another. Right after `find` of the same text it is cheap."""
        hashes, sketch = self._read(text)
        if len(hashes) < FEWEST:
            return
        self._index.insert(len(self._keys), sketch)
        self._keys.append(key)
        self._shingles.append(array("Q", hashes))

    def _read(self, text: str) -> tuple[set[int], Any]:
        """The hashed shingles and the MinHash of a text; that of the last text is kept."""
        if self._last is None or self._last[0] != text:
            words = [word.encode("utf-8", "surrogatepass") for word in shingles(text)]
            hashes = set(map(xxhash.xxh3_64_intdigest, words))
            sketch = self._sketch(self._size, SEED)
            sketch.update(words)
            self._last = text, hashes, sketch
        return self._last[1], self._last[2]
