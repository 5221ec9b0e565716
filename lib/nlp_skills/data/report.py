"""`data/validation.json`: what the checks found."""

from __future__ import annotations

from typing import Literal

from nlp_skills.records import Record

Level = Literal["error", "warning", "info"]
NOT_RUN = "not run: "
NOT_APPLICABLE = "does not apply: "


class DoesNotApply(str):
    """Why there is nothing to check: no labels, no pairs, no limit that was set, too few rows.

    A family gives it as the reason of not_run; a plain text says that the check should have run and could not.
    """


class RowReference(Record):
    """A row that shows the problem: file relative to the task folder, 1-based line."""

    file: str
    line: int
    text: str = ""
    """The start of the row or the reason, at most 160 characters."""


class Finding(Record):
    """One check's complaint about one kind of fault."""

    check: str
    """A stable id of the catalogue: DATA-DUP, SPLIT-LEAK …"""
    level: Level
    message: str
    count: int
    """How many rows are affected."""
    rows: list[RowReference] = []
    """Up to five of them."""
    fix: str
    """One sentence: what to do."""


class ValidationReport(Record):
    """An error stops the next step, a warning is shown and recorded."""

    data_sha256: str
    """Over the hashes of the files that were read."""
    files: dict[str, int]
    """Rows by file, relative to the task folder."""
    checks: dict[str, str]
    """Every check by id: passed, found, off in task.yaml, "not run: <reason>" or "does not apply: <reason>".

    What could not run (a missing extra, no tokenizer, left out) is never a pass; what does not apply to
    these data (no labels, no pairs, no limit set, too few rows) is none either, and nothing is missing."""
    examined: dict[str, int] = {}
    """Check → rows that it looked at, where that was a seeded sample and not every row."""
    findings: list[Finding] = []
    distributions: dict[str, dict[str, int]] = {}
    """By name (`labels train`, `characters train`, `languages train`, `sources train`): value or bucket → rows."""
    tokens: str = ""
    """What the checks of tokens were made with: base model, max_length, thresholds. Empty: they were left out."""
    gate: dict[str, str] = {}
    """The thresholds of task.yaml (`quality`) by check: what is asked, and what was found."""
    passed: bool
    """True when no finding is an error, after the thresholds of task.yaml have been applied.

    It is what the next step asks. It does not say that every check ran: that is `not_run`."""

    @property
    def not_run(self) -> dict[str, str]:
        """Check → why it could not run."""
        return {
            check: state.removeprefix(NOT_RUN)
            for check, state in self.checks.items()
            if state.startswith(NOT_RUN)
        }
