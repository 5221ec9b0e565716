"""How many answers are under way: so many and no more, and who comes too late learns when to come again."""

from __future__ import annotations

import math
import time
from collections import deque

RECENT = 32
"""Answers whose duration says how soon a place becomes free."""


class Places:
    """Counts on the event loop, so there is nothing to lock."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.taken = 0
        self._seconds: deque[float] = deque(maxlen=RECENT)

    def take(self) -> Place | None:
        """A place, or None where all are taken."""
        if self.taken >= self.most:
            return None
        self.taken += 1
        return Place(self)

    @property
    def retry_after(self) -> int:
        """Seconds until a place is likely to be free: the mean duration of the last answers, shared by the places."""
        mean = sum(self._seconds) / len(self._seconds) if self._seconds else 1.0
        return max(1, min(60, math.ceil(mean / self.most)))

    def leave(self, seconds: float) -> None:
        """A place that was taken is free again."""
        self.taken -= 1
        self._seconds.append(seconds)


class Place:
    """One answer's place; given back once, whoever does it first."""

    def __init__(self, places: Places) -> None:
        self._places: Places | None = places
        self.since = time.monotonic()

    def leave(self) -> None:
        """Give it back."""
        if self._places is not None:
            self._places.leave(time.monotonic() - self.since)
            self._places = None
