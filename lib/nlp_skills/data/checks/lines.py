"""DATA-JSON, DATA-SCHEMA, DATA-EMPTY, DATA-ROLES: lines that cannot be read, and rows that lack what a row needs."""

from __future__ import annotations

from typing import ClassVar

from nlp_skills.data.checks import faults
from nlp_skills.data.checks.reading import Batch, Reader
from nlp_skills.data.checks.rows import Context
from nlp_skills.data.checks.tally import Tally
from nlp_skills.data.report import Finding, Level

_AGAIN = "or make the file again with: nlp-skills regenerate-data {task}"

KINDS: dict[str, tuple[str, Level, str, str]] = {
    faults.BROKEN: (
        "DATA-JSON",
        "error",
        "Not valid JSON: {rows}.",
        f"Write one JSON object a line: correct or delete these lines, {_AGAIN}",
    ),
    faults.DUPLICATE_KEY: (
        "DATA-JSON",
        "error",
        "The same key twice, of which only the last value would be read: {rows}.",
        f"Delete the value that is not meant, {_AGAIN}",
    ),
    faults.NOT_A_NUMBER: (
        "DATA-JSON",
        "error",
        "NaN or Infinity, which JSON does not have: {rows}.",
        f"Put null or a number in its place, {_AGAIN}",
    ),
    faults.ENCODING: (
        "DATA-JSON",
        "error",
        "Not UTF-8: {rows}.",
        "Save the file as UTF-8, or name the source's encoding in data_source.yaml and regenerate the data",
    ),
    faults.BOM: (
        "DATA-JSON",
        "error",
        "A byte order mark at the start: {rows}.",
        f"Save the file as UTF-8 without BOM, {_AGAIN}",
    ),
    faults.SURROGATE: (
        "DATA-JSON",
        "error",
        "Half a character (a lone surrogate such as \\ud83d): {rows}.",
        f"Restore or delete the character: a text was cut in the middle of an emoji, {_AGAIN}",
    ),
    faults.TOO_LONG: (
        "DATA-JSON",
        "warning",
        "Longer than 1 MiB, more than any model reads: {rows}.",
        "Split these texts into parts, or drop the rows: training would cut them",
    ),
    faults.UNREAD: (
        "DATA-JSON",
        "error",
        "So long that it was not read: {rows}.",
        "Write one JSON object a line: the file looks like one JSON value without line ends",
    ),
    faults.TOO_DEEP: (
        "DATA-JSON",
        "error",
        "Nested too deeply to be read: {rows}.",
        f"Delete these lines or flatten what they hold, {_AGAIN}",
    ),
    faults.MISSING: (
        "DATA-SCHEMA",
        "error",
        "A missing field: {rows}.",
        f"Add the field to these lines, {_AGAIN}",
    ),
    faults.UNKNOWN: (
        "DATA-SCHEMA",
        "error",
        "A field that is not known: {rows}.",
        f"Rename the field if it is misspelt, else delete it, {_AGAIN}",
    ),
    faults.WRONG_TYPE: (
        "DATA-SCHEMA",
        "error",
        "A value of the wrong type: {rows}.",
        f"Give the value the type that the reason names, {_AGAIN}",
    ),
    faults.INCOMPLETE: (
        "DATA-SCHEMA",
        "error",
        "No question with an answer: {rows}.",
        f"Give every row messages, or prompt, chosen and rejected, {_AGAIN}",
    ),
    faults.UNANSWERED: (
        "DATA-ROLES",
        "error",
        "No answer at the end: {rows}.",
        f"End every conversation with the assistant's answer, {_AGAIN}",
    ),
    faults.ORDER: (
        "DATA-ROLES",
        "warning",
        "Turns in an order that many chat templates refuse: {rows}.",
        "Put system first, let user and assistant take turns, and tool results follow their calls, at the source",
    ),
    faults.BLANK_ANSWER: (
        "DATA-EMPTY",
        "error",
        "A blank answer, from which the model would learn to say nothing: {rows}.",
        f"Complete or delete these rows at their source, {_AGAIN}",
    ),
    faults.BLANK_TURN: (
        "DATA-EMPTY",
        "warning",
        "A blank turn before the answer: {rows}.",
        f"Complete or delete these rows at their source, {_AGAIN}",
    ),
}
"""Kind of fault → check, level, message, fix."""


class Lines:
    """Counts the faults that reading has found."""

    checks: ClassVar[tuple[str, ...]] = ("DATA-JSON", "DATA-SCHEMA", "DATA-EMPTY", "DATA-ROLES")

    def __init__(self, _context: Context, _reader: Reader) -> None:
        self._tallies = {kind: Tally(*row) for kind, row in KINDS.items()}

    def see(self, batch: Batch) -> None:
        """Count the rows with a fault; two faults of one kind in a row are one."""
        rows: dict[tuple[str, int], str] = {}
        for kind, line, reason in batch.faults:
            rows.setdefault((kind, line), reason)
        for (kind, line), reason in rows.items():
            self._tallies[kind].add(batch.file, line, reason)

    def findings(self) -> list[Finding]:
        """One finding for every kind of fault that was met."""
        return [finding for tally in self._tallies.values() for finding in tally.findings()]

    def not_run(self) -> dict[str, str]:
        """These always run."""
        return {}
