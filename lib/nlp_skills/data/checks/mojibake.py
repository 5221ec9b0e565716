"""DATA-MOJIBAKE: garbled characters teach a model to write garbled characters."""

from __future__ import annotations

from functools import lru_cache
from typing import ClassVar

from nlp_skills.data.checks.rows import Context, Rows, look_at_each
from nlp_skills.data.checks.tally import Tally
from nlp_skills.data.example import Example
from nlp_skills.data.excerpt import masked
from nlp_skills.data.mojibake import is_garbled, repair
from nlp_skills.data.report import Finding
from nlp_skills.data.sensitive import texts_of

AROUND = 20
"""Characters before and behind the garbled place that are shown with it."""


class Mojibake:
    """Tells rows that can be repaired from those where characters are lost or no encoding is known."""

    checks: ClassVar[tuple[str, ...]] = ("DATA-MOJIBAKE",)

    def __init__(self, _context: Context, /) -> None:
        self._missing: str | None = None
        self._repairable = Tally(
            "DATA-MOJIBAKE",
            "warning",
            "Garbled text that can be repaired: {rows}.",
            "Name the right encoding of the source in data_source.yaml (encoding: …) and run nlp-skills"
            " regenerate-data {task}, or have the rows repaired with: nlp-skills fix-data {task}",
        )
        self._lost = Tally(
            "DATA-MOJIBAKE",
            "warning",
            "Garbled text that no known encoding repairs, or whose characters are lost: at least {rows}.",
            "Read the source anew with its right encoding (encoding: … in data_source.yaml), or delete these rows",
        )

    def see(self, rows: Rows) -> None:
        """Look at every text of the next rows."""
        self._missing = self._missing or look_at_each(rows, self._look)

    def _look(self, file: str, line: int, example: Example) -> None:
        """The row counts once, as lost where any of its texts is."""
        garbled = [text for text in texts_of(example) if _is_garbled(text)]
        if not garbled:
            return
        lost = [text for text in garbled if is_garbled(repair(text))]
        (self._lost if lost else self._repairable).add(file, line, show((lost or garbled)[0]))

    def merge(self, later: Mojibake) -> None:
        """Take in what was found in later rows."""
        self._missing = self._missing or later._missing
        self._repairable.merge(later._repairable)
        self._lost.merge(later._lost)

    def findings(self) -> list[Finding]:
        """What can be repaired first."""
        return [] if self._missing else [*self._repairable.findings(), *self._lost.findings()]

    def not_run(self) -> dict[str, str]:
        """It needs ftfy."""
        return {"DATA-MOJIBAKE": self._missing} if self._missing else {}


_is_garbled = lru_cache(maxsize=64)(is_garbled)
"""A system prompt is the same in thousands of rows."""


def show(text: str) -> str:
    """`… the cafÃ© was → the café was`: the first garbled place, and what it should read where that can be told."""
    text = masked(text)  # before it is cut: of a number a part is left, which nothing would find
    repaired = repair(text)
    pairs = enumerate(zip(text, repaired, strict=False))
    lost = text.find("\ufffd")
    if lost < 0:
        lost = next((place for place, one in enumerate(text) if one > "\x7f"), 0)
    at = next((place for place, (one, other) in pairs if one != other), max(lost, 0))
    start = max(0, at - AROUND)
    shown = text[start : at + 2 * AROUND]
    if repaired == text:
        return shown
    return f"{shown} → {repaired[start : at + AROUND]}"
