"""How a check counts what it finds: all of it, and the first five rows to show."""

from __future__ import annotations

from bisect import insort
from dataclasses import dataclass, field

from nlp_skills.data.excerpt import excerpt
from nlp_skills.data.report import Finding, Level, RowReference
from nlp_skills.errors import counted

SHOWN = 5


@dataclass
class Tally:
    """One kind of fault. `message` may hold `{rows}`, which becomes "1 row" or "7 rows", and `fix` `{task}`, the task's name."""

    check: str
    level: Level
    message: str
    fix: str
    count: int = 0
    rows: list[RowReference] = field(default_factory=list)

    def add(self, file: str, line: int, text: str) -> None:
        """Count a row; the first few are kept to be shown."""
        self.count += 1
        if len(self.rows) < SHOWN:
            self.rows.append(RowReference(file=file, line=line, text=excerpt(text)))

    def merge(self, later: Tally) -> None:
        """Take in what was counted of later rows."""
        self.count += later.count
        self.rows = [*self.rows, *later.rows][:SHOWN]

    def findings(self) -> list[Finding]:
        """One finding, or none when nothing was counted."""
        if not self.count:
            return []
        message = self.message.replace("{rows}", counted(self.count, "row"))
        return [
            Finding(
                check=self.check,
                level=self.level,
                message=message,
                count=self.count,
                rows=self.rows,
                fix=self.fix,
            )
        ]


@dataclass
class Marked:
    """Rows by their number, in whatever order they come: how many, and the first few with a row that explains them."""

    count: int = 0
    first: list[tuple[int, int]] = field(default_factory=list)

    def add(self, row: int, other: int) -> None:
        """Count a row; `other` is the one that it is compared with."""
        self.count += 1
        if len(self.first) < SHOWN or row < self.first[-1][0]:
            insort(self.first, (row, other))
            del self.first[SHOWN:]
