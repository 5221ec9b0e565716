"""Checks that look at one row after the other, whatever the others hold.

    Rows (a part of one file) → family.see → … → family.merge(what other processes saw) → findings

They run on all cores: every process makes its own family from the Context and sees its part of the
rows; what they saw is merged in the order of the files. So a family holds plain picklable values.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Protocol, Self

from nlp_skills.data.example import Example
from nlp_skills.data.report import Finding
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.data.sources.source import DataSources
from nlp_skills.data.tokens import MAX_LENGTH
from nlp_skills.errors import MissingExtra
from nlp_skills.task.task import Task


@dataclass(frozen=True)
class Context:
    """What a check may know beside the rows."""

    task: Task
    files: Mapping[str, Path]
    """The name in the report (`data/train.jsonl`) → the file."""
    today: str = ""
    """Now, in UTC, ISO 8601."""
    sources: DataSources | None = None
    snapshot: DataSnapshot | None = None
    """Of the data that are checked, where they were made from sources."""
    before: DataSnapshot | None = None
    """Of the data before these."""
    max_length: int = MAX_LENGTH
    """Tokens a row may have in the training that comes next."""
    tools_in_prompt: bool = False
    """Whether that training writes tools and calls as text, for templates that show none."""
    enable_thinking: bool | None = None
    """What that training gives to chat templates with a thinking mode."""


@dataclass(frozen=True)
class Rows:
    """Some rows of one file; the lists run in parallel."""

    file: str
    lines: Sequence[int]
    """1-based line in the file."""
    examples: Sequence[Example]


def look_at_each(rows: Rows, look: Callable[[str, int, Example], None]) -> str | None:
    """Give file, line and example of each row to `look`, up to the first that needs an extra which is not installed.

    None, or why the rows could not be looked at.
    """
    try:
        for line, example in zip(rows.lines, rows.examples, strict=True):
            look(rows.file, line, example)
    except MissingExtra as error:
        return str(error)
    return None


class RowFamily(Protocol):
    """Checks that look at the same thing in each row. Made from a Context."""

    checks: ClassVar[tuple[str, ...]]
    """The ids that it answers for."""

    def __init__(self, context: Context, /) -> None: ...

    def see(self, rows: Rows) -> None:
        """Take in the next rows."""
        ...

    def merge(self, later: Self) -> None:
        """Take in what another process has seen of later rows."""
        ...

    def findings(self) -> list[Finding]:
        """What was found, after the last row."""
        ...

    def not_run(self) -> dict[str, str]:
        """The checks that could say nothing, and why: "needs the data extra …", or DoesNotApply("no row is …")."""
        ...
