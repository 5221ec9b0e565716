"""What a fix has done: how many rows it changed and dropped, and the first five of them."""

from __future__ import annotations

from dataclasses import dataclass, field

from nlp_skills.data.checks.tally import SHOWN, clip
from nlp_skills.records import Record


class FixedRow(Record):
    """A row that was changed or dropped: file relative to the task folder, 1-based line before the fix."""

    file: str
    line: int
    before: str
    """Clipped; personal data and secrets are masked."""
    after: str | None
    """None: the row was dropped."""


class FixCount(Record):
    """What one check's fix did to the rows."""

    changed: int = 0
    dropped: int = 0
    rows: list[FixedRow] = []
    """The first five."""


@dataclass
class Log:
    """Counts what is done, by check."""

    counts: dict[str, list[int]] = field(default_factory=dict)
    """Check → rows changed, rows dropped."""
    shown: dict[str, list[FixedRow]] = field(default_factory=dict)

    def add(self, check: str, file: str, line: int, before: str, after: str | None) -> None:
        """A row was changed, or dropped where nothing comes after."""
        self.counts.setdefault(check, [0, 0])[after is None] += 1
        rows = self.shown.setdefault(check, [])
        if len(rows) < SHOWN:
            rows.append(
                FixedRow(
                    file=file,
                    line=line,
                    before=clip(before),
                    after=None if after is None else clip(after),
                )
            )

    def result(self, checks: list[str]) -> dict[str, FixCount]:
        """One count for each check, also where it did nothing."""
        result = {}
        for check in checks:
            changed, dropped = self.counts.get(check, (0, 0))
            result[check] = FixCount(changed=changed, dropped=dropped, rows=self.shown.get(check, []))
        return result
