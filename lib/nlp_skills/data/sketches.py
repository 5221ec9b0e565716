"""Many texts in little memory, and which of them may be alike.

    texts → MinHash → 25 band keys of 4 bytes for a text → rows that share a key in some band

A row takes 100 bytes at the usual threshold, whatever its length; its text has to be read again to
be compared (`similarity.similarity`).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator, Sequence
from typing import Any

from nlp_skills.data.similarity import PERMUTATIONS, SEED, THRESHOLD, bands
from nlp_skills.errors import MissingExtra

WINDOW = 32
"""With how many of those that share a band a text is paired: bounds the work where thousands follow one template."""


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

    def classes(self) -> Any:
        """A number for each text, the same for texts that share all bands: a numpy array of uint64."""
        import numpy as np

        odd = np.arange(1, 2 * self._bands, 2, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
        return (self._table().astype(np.uint64) * odd).sum(axis=1)

    def candidates(self, among: Any) -> Iterator[tuple[Any, Any]]:
        """(later, earlier): arrays of the numbers of texts that may be alike, in batches; a pair may come again.

        `among`: a bool for each text, whether it is looked at. Texts that share a band are sorted by
        the two bands behind it, so that those that share more stand together, and each is paired with
        the WINDOW before it.
        """
        import numpy as np

        rows = np.flatnonzero(among)
        for order, keys in self.ordered(rows):
            own = rows[order]
            for distance in range(1, WINDOW + 1):
                same = keys[distance:] == keys[:-distance]
                if not same.any():
                    break
                one, other = own[distance:][same], own[:-distance][same]
                yield np.maximum(one, other), np.minimum(one, other)

    def ordered(self, rows: Any) -> Iterator[tuple[Any, Any]]:
        """For each band the places in `rows`, texts by their numbers, sorted by their keys, and these keys.

        Of equal keys those come together that share the two bands behind it as well.
        """
        import numpy as np

        keys = self._table()
        for band in range(self._bands):
            own, *next_two = (keys[rows, (band + n) % self._bands] for n in range(3))
            order = np.lexsort((rows, *reversed(next_two), own))
            yield order, own[order]

    def _table(self) -> Any:
        import numpy as np

        return np.frombuffer(self._keys, dtype=np.uint32).reshape(-1, self._bands)


def signatures(shingles: Sequence[Sequence[bytes]]) -> Any:
    """The lowest byte of every hash of each text's MinHash: a numpy array of texts by PERMUTATIONS.

    Li and König, b-Bit Minwise Hashing, 2010. Raises MissingExtra without rensa.
    """
    try:
        import numpy as np
        from rensa import RMinHash  # pyright: ignore[reportAttributeAccessIssue]: no stubs
    except ImportError:
        raise MissingExtra("Finding near-duplicates", "data") from None
    digests = RMinHash.digests_from_token_sets(shingles, PERMUTATIONS, SEED) if shingles else []
    return np.array(digests, dtype=np.uint32).astype(np.uint8).reshape(-1, PERMUTATIONS)


def least_agreement(threshold: float) -> int:
    """How many bytes of two signatures agree at least where the similarity is the threshold: four standard deviations below."""
    spread = math.sqrt(PERMUTATIONS * threshold * (1 - threshold))
    return math.floor(PERMUTATIONS * threshold - 4 * spread)
