"""What is looked for in the data: every check has a stable id, and one family of checks a file.

All families look at the same pass over the files (`reading.py`); a new check is a row of CHECKS.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from nlp_skills.data.checks.duplicates import Duplicates
from nlp_skills.data.checks.labels import Labels
from nlp_skills.data.checks.leak import Leak
from nlp_skills.data.checks.lines import Lines
from nlp_skills.data.checks.reading import Batch, Reader
from nlp_skills.data.report import Finding


class Family(Protocol):
    """Checks that look at the same thing; made anew for every validation."""

    def see(self, batch: Batch) -> None:
        """Take in the next rows, in the order of train, valid, test."""

    def findings(self) -> list[Finding]:
        """What was found, after the last row."""
        ...

    def not_run(self) -> dict[str, str]:
        """The checks that could say nothing here, and why."""
        ...


CHECKS: dict[str, Callable[[Reader], Family]] = {
    "DATA-JSON": Lines,
    "DATA-SCHEMA": Lines,
    "DATA-DUP": Duplicates,
    "DATA-CONFLICT": Duplicates,
    "DATA-BALANCE": Labels,
    "DATA-ORDER": Labels,
    "SPLIT-LEAK": Leak,
}
"""Check id → the family that runs it."""
