"""Lines that stand on many pages of one host: navigation, subscriptions, notices of copyright.

Taken away are those at the start and the end of a text, and long ones anywhere. A short line in the middle,
such as the heading "Ingredients", stays: it belongs to the text, on however many pages it stands.
"""

from __future__ import annotations

from collections import Counter, defaultdict

import xxhash

FEWEST_PAGES = 5
"""A host with fewer pages tells nothing."""
SHARE = 0.3
"""From this share of the pages of a host on a line is a repeated one."""
LONG = 40
"""Characters."""


class RepeatedLines:
    """First sees all texts, then takes their repeated lines away."""

    def __init__(self) -> None:
        self._pages: Counter[str] = Counter()
        self._lines: defaultdict[str, Counter[int]] = defaultdict(Counter)

    def see(self, host: str, text: str) -> None:
        """Take in the text of a page."""
        self._pages[host] += 1
        self._lines[host].update({_key(line) for line in text.splitlines() if line.strip()})

    def strip(self, host: str, text: str) -> str:
        """The text without its repeated lines."""
        pages = self._pages[host]
        if pages < FEWEST_PAGES:
            return text
        least = max(3, SHARE * pages)
        lines = text.splitlines()
        repeated = [self._lines[host][_key(line)] >= least or not line.strip() for line in lines]
        start = next((n for n, again in enumerate(repeated) if not again), len(lines))
        end = len(lines) - next((n for n, again in enumerate(reversed(repeated)) if not again), len(lines))
        kept = [
            line
            for number, line in enumerate(lines)
            if start <= number < end and not (repeated[number] and len(line) >= LONG)
        ]
        return "\n".join(kept)


def _key(line: str) -> int:
    return xxhash.xxh3_64_intdigest(" ".join(line.split()).casefold().encode("utf-8", "replace"))
