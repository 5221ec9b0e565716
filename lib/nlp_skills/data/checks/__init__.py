"""What is looked for in the data: every check has a stable id, and one family of checks a file.

    STRUCTURE   sees every row as identities, labels and lengths, in the order of the files (`reading.py`)
    ROWS        sees one row after the other, on all cores, of large data a sample (`rows.py`)
    TOKENS      as ROWS, and needs the base model's tokenizer

A new family is one more name in one of the three. Several may answer for one check: what any of them
finds is found, and where one could not run the check did not run, whatever the others saw.
"""

from __future__ import annotations

from typing import ClassVar, Protocol, runtime_checkable

from nlp_skills.data.checks.age import Age
from nlp_skills.data.checks.amount import Amount
from nlp_skills.data.checks.balance import Balance
from nlp_skills.data.checks.drift import Drift
from nlp_skills.data.checks.duplicates import Duplicates
from nlp_skills.data.checks.labels import Labels
from nlp_skills.data.checks.language import Language
from nlp_skills.data.checks.leak import Leak
from nlp_skills.data.checks.lines import Lines
from nlp_skills.data.checks.mojibake import Mojibake
from nlp_skills.data.checks.near import NearRows
from nlp_skills.data.checks.outliers import Outliers
from nlp_skills.data.checks.preference import Preferences
from nlp_skills.data.checks.reading import Batch, Reader
from nlp_skills.data.checks.rows import Context, RowFamily
from nlp_skills.data.checks.sensitive import Personal, Secrets
from nlp_skills.data.checks.spans import Spans
from nlp_skills.data.checks.tokens import Tokens
from nlp_skills.data.checks.tool_calls import ToolCalls
from nlp_skills.data.report import Finding


class Family(Protocol):
    """Checks that look at the same thing in all rows. Made from (Context, Reader), anew for every validation."""

    checks: ClassVar[tuple[str, ...]]
    """The ids that it answers for."""

    def __init__(self, context: Context, reader: Reader, /) -> None: ...

    def see(self, batch: Batch) -> None:
        """Take in the next rows, in the order of train, valid, test."""

    def findings(self) -> list[Finding]:
        """What was found, after the last row; the reader's counts (labels, lengths, rows) are complete then."""
        ...

    def not_run(self) -> dict[str, str]:
        """The checks that could say nothing here, and why: a plain text, or DoesNotApply where nothing is missing."""
        ...


@runtime_checkable
class Distributed(Protocol):
    """A family of any kind that counts values as well."""

    def distributions(self) -> dict[str, dict[str, int]]:
        """`languages train`, `sources train` …: value → rows, the most frequent first."""
        ...


class _Answers(Protocol):
    checks: ClassVar[tuple[str, ...]]


STRUCTURE: tuple[type[Family], ...] = (
    Lines,
    Duplicates,
    Labels,
    Balance,
    Leak,
    Amount,
    Outliers,
    Drift,
    Age,
)
ROWS: tuple[type[RowFamily], ...] = (
    NearRows,
    Language,
    Mojibake,
    Personal,
    Secrets,
    Spans,
    ToolCalls,
    Preferences,
)
TOKENS: tuple[type[RowFamily], ...] = (Tokens,)

CHECKS: dict[str, tuple[type[_Answers], ...]] = {
    check: tuple(family for family in (*STRUCTURE, *ROWS, *TOKENS) if check in family.checks)
    for check in dict.fromkeys(check for family in (*STRUCTURE, *ROWS, *TOKENS) for check in family.checks)
}
"""Check id → the families that answer for it."""
