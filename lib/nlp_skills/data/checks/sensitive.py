"""DATA-PII and DATA-SECRET: what a model must not learn, because it would tell it to anybody.

Reports never show what was found, only its kind and its first characters.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import ClassVar

from nlp_skills.data.checks.rows import Context, Rows, look_at_each
from nlp_skills.data.checks.tally import Tally
from nlp_skills.data.credentials import find_secrets
from nlp_skills.data.example import Example
from nlp_skills.data.excerpt import find_sensitive
from nlp_skills.data.personal import find_personal
from nlp_skills.data.report import Finding, Level
from nlp_skills.data.sensitive import Span, hint, mask, texts_of

BEFORE = 40
"""Characters before a place that are shown with it."""


class _Places:
    """One tally for each kind of place that `find` finds in the texts of a row."""

    check: ClassVar[str]
    level: ClassVar[Level]
    fix: ClassVar[str]
    find: ClassVar[Callable[[str], list[Span]]]

    def __init__(self, _context: Context, /) -> None:
        self._tallies: dict[str, Tally] = {}
        self._missing: str | None = None

    def see(self, rows: Rows) -> None:
        """Look at the next rows, whatever turn it stands in."""
        self._missing = self._missing or look_at_each(rows, self._look)

    def _look(self, file: str, line: int, example: Example) -> None:
        told = set()
        for text in texts_of(example):
            for span in self._find(text):
                if span.kind not in told:
                    told.add(span.kind)
                    self._tally(span.kind).add(file, line, show_place(text, span))

    def _find(self, text: str) -> list[Span]:
        return type(self).find(text)

    def _tally(self, kind: str) -> Tally:
        if kind not in self._tallies:
            message = f"{kind[:1].upper()}{kind[1:]}: {{rows}}."
            self._tallies[kind] = Tally(self.check, self.level, message, self.fix)
        return self._tallies[kind]

    def merge(self, later: _Places) -> None:
        """Take in what was found in later rows."""
        self._missing = self._missing or later._missing
        for kind, tally in later._tallies.items():
            self._tally(kind).merge(tally)

    def findings(self) -> list[Finding]:
        """One for each kind, the most frequent first."""
        if self._missing:
            return []
        tallies = sorted(self._tallies.items(), key=lambda item: (-item[1].count, item[0]))
        return [finding for _, tally in tallies for finding in tally.findings()]

    def not_run(self) -> dict[str, str]:
        """What a missing extra leaves undone."""
        return {self.check: self._missing} if self._missing else {}


class Personal(_Places):
    """DATA-PII: addresses and numbers of persons."""

    checks: ClassVar[tuple[str, ...]] = ("DATA-PII",)
    check = "DATA-PII"
    level = "warning"
    fix = "Remove or mask them at their source, or have them masked with: nlp-skills fix-data {task}"
    # A system prompt is the same in thousands of rows.
    find = staticmethod(lru_cache(maxsize=64)(find_personal))


class Secrets(_Places):
    """DATA-SECRET: keys and passwords."""

    checks: ClassVar[tuple[str, ...]] = ("DATA-SECRET",)
    check = "DATA-SECRET"
    level = "error"
    fix = (
        "Revoke them where they were issued, and remove them at their source or have them masked with:"
        " nlp-skills fix-data {task}"
    )
    find = staticmethod(lru_cache(maxsize=64)(find_secrets))


def show_place(text: str, span: Span) -> str:
    """`AKIA… in: my key is [AWS access key], please`: the place in its masked surroundings."""
    spans = find_sensitive(text)
    start = max(0, span.start - BEFORE)
    inside = [other for other in spans if other.start < start < other.end]
    start = inside[0].start if inside else start
    shown = mask(text, [other for other in spans if other.start >= start])[start:]
    return f"{hint(text, span)} in: {shown}"
