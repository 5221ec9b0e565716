"""Which rows have texts that are alike, in time that grows with the rows, however many follow one template.

    texts → sketches → who shares a band → signatures say who may be alike → true Jaccard of their shingles

Beside the 100 bytes of its sketch a row takes 16 bytes, and one that shares a band with another some 250
more; shingles are kept up to a number, and made again from the text where they are not.
"""

from __future__ import annotations

from array import array
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import xxhash

from nlp_skills.data.identity import numbers
from nlp_skills.data.similarity import FEWEST, jaccard, shingles
from nlp_skills.data.sketches import WINDOW, Sketches, least_agreement, signatures

COMPARED = 32
"""With how many earlier rows at most a row is compared; many more pairs are ruled out by signatures alone."""
BLOCK = 2_000
"""Neighbours in one band that are looked at together, fewer where texts are long: their shingles are held."""
HELD = 4_000_000
"""Hashes of shingles that are kept at a time, 8 bytes each."""
_BATCH = 500
_hash = xxhash.xxh3_64_intdigest


def similar_rows(
    among: Iterable[int],
    threshold: float,
    text_of: Callable[[int], str],
    known: Callable[[Any, Any], Any],
) -> Iterator[tuple[int, int]]:
    """Pairs (row, a row that comes before it in `among`) whose texts are as similar as the threshold.

    Equal texts are paired with the first of them and not looked at further. Of the others each is seen with
    the WINDOW before it in each band, a pair once, and compared with COMPARED at most: of more than these,
    that are neither known nor ruled out, some may be missed. `known` says of two numpy arrays of rows which
    pairs need not be compared (any more). Raises MissingExtra without the data extra.
    """
    sketches = Sketches(threshold)
    rows, first = _read(among, text_of, sketches)
    if not rows:
        return
    import numpy as np

    row_of, near = np.frombuffer(rows, dtype=np.uint32), sketches.shared()
    copies = np.flatnonzero(near & (first != np.arange(len(first))))
    yield from zip(row_of[copies].tolist(), row_of[first[copies]].tolist(), strict=True)
    near[copies] = False
    texts = _Texts(row_of[near], threshold, text_of)
    for later, earlier in _candidates(sketches, np.flatnonzero(near), texts, known):
        for pair in zip(later.tolist(), earlier.tolist(), strict=True):
            if texts.alike(*pair):
                yield texts.rows[pair[0]], texts.rows[pair[1]]


def _read(among: Iterable[int], text_of: Callable[[int], str], sketches: Sketches) -> tuple[array[int], Any]:
    """Sketch the texts that are long enough: their rows, and for each the number of the first with its text."""
    import numpy as np

    rows, hashes = numbers(), numbers("Q")
    batch: list[list[bytes]] = []
    for row in among:
        text = text_of(row)
        words = _encoded(text)
        if len(words) < FEWEST:
            continue
        rows.append(row)
        hashes.append(_hash(text.encode("utf-8", "surrogatepass")))
        batch.append(words)
        if len(batch) == _BATCH:
            sketches.add(batch)
            batch = []
    sketches.add(batch)
    values = np.frombuffer(hashes, dtype=np.uint64) if hashes else np.empty(0, dtype=np.uint64)
    _, first, which = np.unique(values, return_index=True, return_inverse=True)
    return rows, first[which]


def _encoded(text: str) -> list[bytes]:
    return [word.encode("utf-8", "surrogatepass") for word in shingles(text)]


def _candidates(
    sketches: Sketches, near: Any, texts: _Texts, known: Callable[[Any, Any], Any]
) -> Iterator[tuple[Any, Any]]:
    """(later, earlier): arrays of places in `near` of texts that have to be compared, a pair once.

    For each band `seen` holds where each text stands in its order. Texts of different keys are put further
    apart than WINDOW, so two that are no further apart were a pair of this band.
    """
    import numpy as np

    row_of = np.array(texts.rows, dtype=np.uint32)
    seen: list[Any] = []
    for order, keys in sketches.ordered(near):
        apart = np.concatenate([[0], np.cumsum(keys[1:] != keys[:-1])])
        places = np.arange(len(order), dtype=np.int64) + WINDOW * apart
        for one, other in _neighbours(order, places, texts.block):
            later, earlier = np.maximum(one, other), np.minimum(one, other)
            for kept in (
                lambda a, b: ~known(row_of[a], row_of[b]),
                texts.likely,
                lambda a, b: ~_met(seen, a, b),
            ):
                chosen = kept(later, earlier)
                later, earlier = later[chosen], earlier[chosen]
            yield later, earlier
        place_of = np.empty(len(order), dtype=np.uint32)
        place_of[order] = places
        seen.append(place_of)


def _neighbours(order: Any, places: Any, block: int) -> Iterator[tuple[Any, Any]]:
    """Pairs of texts at most WINDOW apart that share a key: block after block, the nearest of each block first."""
    for start in range(0, len(order), block):
        end = start + block
        for distance in range(1, WINDOW + 1):
            ahead = places[start + distance : end + distance]
            same = ahead - places[start : start + len(ahead)] == distance
            if not same.any():
                break
            ones = order[start + distance : end + distance]
            yield ones[same], order[start : start + len(ahead)][same]


def _met(seen: list[Any], later: Any, earlier: Any) -> Any:
    """Whether the two were a pair in an earlier band: what kept them from being joined then does so now."""
    import numpy as np

    met = np.zeros(len(later), dtype=bool)
    for place in seen if len(later) else ():
        met |= np.abs(place[later].astype(np.int64) - place[earlier]) <= WINDOW
    return met


class _Texts:
    """The texts that share a band with another, by their place among these."""

    def __init__(self, rows: Any, threshold: float, text_of: Callable[[int], str]) -> None:
        """Reads each once, for its signature."""
        import numpy as np

        self.rows: list[int] = rows.tolist()
        self._threshold, self._text_of = threshold, text_of
        self._least = least_agreement(threshold)
        self._compared = bytearray(len(self.rows))
        self._kept: OrderedDict[int, array[int]] = OrderedDict()
        self._held = 0
        pages, total = [], 0
        for start in range(0, len(self.rows), _BATCH):
            words = [_encoded(text_of(row)) for row in self.rows[start : start + _BATCH]]
            pages.append(signatures(words))
            total += sum(map(len, words))
            for place, own in enumerate(words, start):
                if self._held < HELD:
                    self._keep(place, own)
        self._signatures: Any = np.concatenate([*pages, signatures([])])
        self.block = max(WINDOW, min(BLOCK, HELD * len(self.rows) // (2 * max(1, total))))
        """How many of these are looked at together, so that the shingles of all are held."""

    def likely(self, later: Any, earlier: Any) -> Any:
        """Whether the signatures of each pair leave it open that they are alike, and the later one is still compared."""
        import numpy as np

        one, other = self._signatures[later], self._signatures[earlier]
        agree = (one == other).sum(axis=1) >= self._least
        return agree & (np.frombuffer(self._compared, dtype=np.uint8)[later] < COMPARED)

    def alike(self, later: int, earlier: int) -> bool:
        """Compare the two, unless the later one was compared with as many as it may be."""
        if self._compared[later] >= COMPARED:
            return False
        self._compared[later] += 1
        one, other = self._shingles(later), self._shingles(earlier)
        if min(len(one), len(other)) < self._threshold * max(len(one), len(other)):
            return False
        return jaccard(set(one), set(other)) >= self._threshold

    def _shingles(self, place: int) -> array[int]:
        if place not in self._kept:
            return self._keep(place, _encoded(self._text_of(self.rows[place])))
        self._kept.move_to_end(place)
        return self._kept[place]

    def _keep(self, place: int, words: list[bytes]) -> array[int]:
        hashes = self._kept[place] = array("Q", map(_hash, words))
        self._held += len(hashes)
        while self._held > HELD and len(self._kept) > 1:
            self._held -= len(self._kept.popitem(last=False)[1])
        return hashes
