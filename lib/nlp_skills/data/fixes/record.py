"""What a fix has done: how many rows it changed and dropped, and the first five of them."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field

from nlp_skills.data.checks.tally import SHOWN, excerpt
from nlp_skills.data.credentials import find_secrets
from nlp_skills.data.example import Example
from nlp_skills.data.personal import find_personal
from nlp_skills.data.sensitive import apart, mask, texts_of
from nlp_skills.errors import MissingExtra
from nlp_skills.records import Record

BEFORE = 40
"""Characters before a difference that are shown with it."""


class FixedRow(Record):
    """A row that was changed or dropped: file relative to the task folder, 1-based line before the fix."""

    file: str
    line: int
    before: str
    """Clipped; personal data and secrets are masked."""
    after: str | None
    """None: the row was dropped."""
    masked: bool = False
    """Of a row that was dropped: personal data or keys in it were masked before, which can make rows equal."""


class FixCount(Record):
    """What one check's fix did to the rows."""

    changed: int = 0
    dropped: int = 0
    masked: int = 0
    """Of the dropped rows those in which personal data or keys were masked before: that can make rows equal."""
    rows: list[FixedRow] = []
    """The first five."""


@dataclass
class Log:
    """Counts what is done, by check."""

    counts: dict[str, list[int]] = field(default_factory=dict)
    """Check → rows changed, rows dropped."""
    masked: dict[str, int] = field(default_factory=dict)
    """Check → rows dropped that had been masked."""
    shown: dict[str, list[FixedRow]] = field(default_factory=dict)

    def add(
        self, check: str, file: str, line: int, before: str, after: str | None, *, masked: bool = False
    ) -> None:
        """A row was changed, or dropped where nothing comes after."""
        self.counts.setdefault(check, [0, 0])[after is None] += 1
        if masked:
            self.masked[check] = self.masked.get(check, 0) + 1
        rows = self.shown.setdefault(check, [])
        if len(rows) < SHOWN:
            rows.append(
                FixedRow(
                    file=file,
                    line=line,
                    before=excerpt(before),
                    after=None if after is None else excerpt(after),
                    masked=masked,
                )
            )

    def wants(self, check: str) -> bool:
        """Whether another row would be shown."""
        return len(self.shown.get(check, [])) < SHOWN

    def merge(self, later: Log) -> None:
        """Take in what was done to later rows."""
        for check, (changed, dropped) in later.counts.items():
            counts = self.counts.setdefault(check, [0, 0])
            counts[0] += changed
            counts[1] += dropped
        for check, rows in later.shown.items():
            self.shown[check] = [*self.shown.get(check, []), *rows][:SHOWN]

    def result(self, checks: list[str]) -> dict[str, FixCount]:
        """One count for each check, also where it did nothing."""
        result = {}
        for check in checks:
            changed, dropped = self.counts.get(check, (0, 0))
            result[check] = FixCount(
                changed=changed,
                dropped=dropped,
                masked=self.masked.get(check, 0),
                rows=self.shown.get(check, []),
            )
        return result


def shown(text: str) -> str:
    """A text as it may be shown: secrets masked, and personal data where what finds them is installed."""
    spans = find_secrets(text)
    with suppress(MissingExtra):
        spans = apart([*spans, *find_personal(text)])
    return mask(text, spans)


def difference(before: Example, after: Example) -> tuple[str, str]:
    """The first text that differs, masked, from shortly before the difference on."""
    labels = before.meta.label or "", after.meta.label or ""
    pairs = [*zip(texts_of(before), texts_of(after), strict=True), labels]
    old, new = map(shown, next(((one, other) for one, other in pairs if one != other), labels))
    at = next((n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b), 0)
    start = max(0, at - BEFORE)
    return old[start:], new[start:]
