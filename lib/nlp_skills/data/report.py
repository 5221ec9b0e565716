"""`data/validation.json`: what the checks found."""

from __future__ import annotations

from collections.abc import Collection
from typing import Literal, Self

from pydantic import Field

from nlp_skills.data.snapshot import shorten
from nlp_skills.errors import counted
from nlp_skills.records import Record

Level = Literal["error", "warning", "info"]
NOT_RUN = "not run: "
NOT_APPLICABLE = "does not apply: "
OTHERS = "(all others)"
"""In a distribution: the rows of the values that are too many to be listed."""
SAID = ("passed", "found")
"""The states of a check that has looked and can say what is there."""
DISTRIBUTED = {"languages": "DATA-LANG", "tokens": "LEN-CUT"}
"""How the name of a distribution begins → the check that counts it; the others are counted whatever is checked."""


class DoesNotApply(str):
    """Why there is nothing to check: no labels, no pairs, no limit that was set, too few rows.

    A family gives it as the reason of not_run; a plain text says that the check should have run and could not.
    """


def at_minute(when: str) -> str:
    """`2026-11-21T14:31:36Z` → `2026-11-21 14:31 UTC`."""
    return f"{when[:10]} {when[11:16]} UTC"


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
    deep: dict[str, str] = {}
    """Check → when it looked at every row (UTC, ISO 8601), where otherwise a sample is looked at.

    A later validation of the same data that looks at a sample keeps what was found then."""
    deep_with: str = ""
    """What the checks under `deep` were made with: type, language, thresholds."""
    findings: list[Finding] = []
    distributions: dict[str, dict[str, int]] = {}
    """By name (`labels train`, `characters train`, `languages train`, `sources train`): value or bucket → rows."""
    tokens: str = ""
    """What the checks of tokens were made with: base model, max_length, thresholds. Empty: they were left out."""
    gate: dict[str, str] = {}
    """The thresholds of task.yaml (`quality`) by check: what is asked, and what was found."""
    page: str = Field(default="", exclude=True)
    """The path of validation.html from where the user is; not kept in the file, which may be moved."""
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

    @property
    def verdict(self) -> str:
        """`Passed, 1 warning`, `Not passed: 2 errors, 0 warnings`, or that no error was found by what could run."""
        errors, warnings = (
            counted(sum(finding.level == level for finding in self.findings), level)
            for level in ("error", "warning")
        )
        if not self.passed:
            return f"Not passed: {errors}, {warnings}"
        if self.not_run:
            return f"No error found, but {counted(len(self.not_run), 'check')} did not run, {warnings}"
        return f"Passed, {warnings}"

    def brief(self) -> Self:
        """Of long distributions the most frequent values, and how many more there are."""
        short = {name: shorten(counts, "data/validation.json") for name, counts in self.distributions.items()}
        return self.model_copy(update={"distributions": short})

    @property
    def told_deep(self) -> dict[str, str]:
        """`deep` without the checks that had nothing to look at."""
        return {check: when for check, when in self.deep.items() if self.checks[check] in SAID}

    @property
    def looks(self) -> list[str]:
        """Sentences on how much was looked at, where that was not simply every row at this time."""
        told = []
        by_rows: dict[int, list[str]] = {}
        for check, rows in self.examined.items():
            by_rows.setdefault(rows, []).append(check)
        for rows, checks in by_rows.items():
            told.append(
                f"A sample of {rows:,} rows was looked at for: {', '.join(checks)}. With --deep it is every row."
            )
        by_time: dict[str, list[str]] = {}
        for check, when in self.told_deep.items():
            by_time.setdefault(when, []).append(check)
        for when, checks in by_time.items():
            told.append(f"Every row was looked at on {at_minute(when)} for: {', '.join(checks)}.")
        return told

    def about(self, checks: Collection[str]) -> Self:
        """The part of the report that these checks have said."""
        return self.model_copy(
            update={
                "checks": {check: state for check, state in self.checks.items() if check in checks},
                "examined": {check: rows for check, rows in self.examined.items() if check in checks},
                "deep": {check: when for check, when in self.deep.items() if check in checks},
                "findings": [finding for finding in self.findings if finding.check in checks],
                "distributions": {
                    name: counts
                    for name, counts in self.distributions.items()
                    if DISTRIBUTED.get(name.split(" ")[0]) in checks
                },
            }
        )
