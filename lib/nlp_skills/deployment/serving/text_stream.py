"""Token by token to text, up to a stop text.

What may still become another character (half of one in UTF-8) or a stop text is held back until it is certain.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class TextStream:
    """The text of one answer while it is said."""

    def __init__(self, tokenizer: Any) -> None:
        self._decode = tokenizer.decode
        self._ids: list[int] = []
        self._before = 0
        self._shown = 0
        """ids[before:shown] is text that has been given out; what comes next is decoded together with it."""

    def add(self, token: int) -> str:
        """What the token adds; nothing while a character is not whole."""
        self._ids.append(token)
        return self._new(final=False)

    def end(self) -> str:
        """What was held back."""
        return self._new(final=True)

    def _new(self, *, final: bool) -> str:
        known = self._text(self._before, self._shown)
        now = self._text(self._before, len(self._ids))
        if len(now) <= len(known) or (now.endswith("\ufffd") and not final):
            return ""
        self._before, self._shown = self._shown, len(self._ids)
        return now[len(known) :]

    def _text(self, start: int, end: int) -> str:
        return self._decode(self._ids[start:end], skip_special_tokens=True)


class StopTexts:
    """A text up to the first of some stop texts, as it comes."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = stops
        self._held = ""
        self.met = False

    def add(self, text: str) -> str:
        """What is certain to stand before a stop text; after one nothing more."""
        if self.met:
            return ""
        self._held += text
        places = [place for stop in self._stops if (place := self._held.find(stop)) >= 0]
        if places:
            self.met = True
            return self._held[: min(places)]
        size = max((_begun(self._held, stop) for stop in self._stops), default=0)
        certain, self._held = self._held[: len(self._held) - size], self._held[len(self._held) - size :]
        return certain

    def end(self) -> str:
        """What was held back and became no stop text."""
        return "" if self.met else self._held


def _begun(text: str, stop: str) -> int:
    """How many characters at the end of the text are the beginning of a stop text."""
    most = min(len(stop) - 1, len(text))
    return next((size for size in range(most, 0, -1) if text.endswith(stop[:size])), 0)
