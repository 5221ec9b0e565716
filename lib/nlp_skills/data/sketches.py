"""Many texts in little memory, and which of them may be alike.

    texts → MinHash → 25 band keys of 4 bytes for a text → rows that share a key in some band

A row takes 100 bytes at the usual threshold, whatever its length; its text has to be read again to
be compared (`similarity.similarity`).
"""

from __future__ import annotations

from array import array
from collections.abc import Iterator, Sequence
from typing import Any

from nlp_skills.data.similarity import SEED, THRESHOLD, bands
from nlp_skills.errors import MissingExtra

WINDOW = 64
"""In how many rows before it, of those that share a band, a row looks for one like it: bounds the work where
thousands of rows follow one template."""


class Sketches:
    """The sketches of texts by their number, 0, 1, 2 … Plain values: can be pickled and joined."""

    def __init__(self, threshold: float = THRESHOLD) -> None:
        """`threshold`: the Jaccard similarity that candidates shall hardly be missed from. Raises MissingExtra without rensa."""
        try:
            import numpy as np
            from rensa import RMinHash  # pyright: ignore[reportAttributeAccessIssue]: no stubs
        except ImportError:
            raise MissingExtra("Finding near-duplicates", "data") from None
        self._digest: Any = RMinHash.digests_from_token_sets
        self._bands, self._rows = bands(threshold)
        mixer = np.random.default_rng(SEED)
        self._mix: Any = mixer.integers(1, 2**63, size=self._rows, dtype=np.uint64) | np.uint64(1)
        self._keys = array("I")

    def __len__(self) -> int:
        return len(self._keys) // self._bands

    def add(self, shingles: Sequence[Sequence[bytes]]) -> None:
        """The next texts, each by its shingles, of which there is at least one. Some hundreds at a time are quick."""
        import numpy as np

        if not shingles:
            return
        size = self._bands * self._rows
        digests = self._digest(shingles, size, SEED)
        hashes = np.array(digests, dtype=np.uint64).reshape(-1, self._bands, self._rows)
        self._keys.frombytes(
            (((hashes * self._mix).sum(axis=2)) >> np.uint64(32)).astype(np.uint32).tobytes()
        )

    def extend(self, later: Sketches) -> None:
        """The texts of another one, made with the same threshold, behind these."""
        self._keys.extend(later._keys)

    def shared(self) -> Any:
        """Whether a text shares a band with any other: a numpy array of bool."""
        import numpy as np

        keys = self._table()
        found = np.zeros(len(keys), dtype=bool)
        for band in range(self._bands):
            order = np.argsort(keys[:, band], kind="stable")
            same = np.diff(keys[order, band]) == 0
            found[order[1:][same]] = True
            found[order[:-1][same]] = True
        return found

    def candidates(self, among: Any, side: Any | None = None) -> Iterator[tuple[Any, Any]]:
        """(later, earlier): arrays of the numbers of texts that may be alike, each pair once, in batches.

        `among`: a bool for each text, whether it is looked at. With `side`, a number for each text
        that never falls, the pairs are those of different sides, else all pairs. For each text only
        the nearest WINDOW before it in a band are proposed (with `side`: the last of earlier sides).
        """
        import numpy as np

        keys = self._table()
        rows = np.flatnonzero(among)
        for band in range(self._bands):
            column = keys[rows, band]
            order = np.argsort(column, kind="stable")
            for later, earlier in _in_runs(rows[order], column[order], side):
                fresh = ~(keys[later, :band] == keys[earlier, :band]).any(axis=1)
                if fresh.any():
                    yield later[fresh], earlier[fresh]

    def _table(self) -> Any:
        import numpy as np

        return np.frombuffer(self._keys, dtype=np.uint32).reshape(-1, self._bands)


def _in_runs(rows: Any, keys: Any, side: Any | None) -> Iterator[tuple[Any, Any]]:
    """Pairs of rows with an equal key, the closest first. Both arrays are sorted by key, then by row."""
    import numpy as np

    place = np.arange(len(rows))
    end = place  # for each row, the place behind the last that it may be compared with
    new = np.ones(len(rows), dtype=bool)
    new[1:] = keys[1:] != keys[:-1]
    start = np.maximum.accumulate(np.where(new, place, 0))
    if side is not None and len(rows):
        sides = side[rows]
        new[1:] |= sides[1:] != sides[:-1]
        end = np.maximum.accumulate(np.where(new, place, 0))
    left = place
    for distance in range(1, WINDOW + 1):
        left = left[end[left] - distance >= start[left]]
        if not len(left):
            return
        yield rows[left], rows[end[left] - distance]
