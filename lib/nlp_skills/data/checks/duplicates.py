"""DATA-DUP and DATA-CONFLICT: the same row twice, and the same input with another answer.

Exact duplicates only, and within one file: a row that stands on two sides of the split is a leak.
"""

from __future__ import annotations

from array import array
from typing import ClassVar

from nlp_skills.data.checks.reading import Batch, Reader
from nlp_skills.data.checks.rows import Context
from nlp_skills.data.checks.tally import Tally
from nlp_skills.data.report import Finding
from nlp_skills.task.task import TaskType


class Duplicates:
    """Compares the answers of rows that have the same input."""

    checks: ClassVar[tuple[str, ...]] = ("DATA-DUP", "DATA-CONFLICT")

    def __init__(self, context: Context, reader: Reader) -> None:
        self._places = reader.places
        self._answers = array("q")
        self._variants: dict[tuple[int, int], int] = {}
        """(first row with the input, another answer) → the first row with that answer."""
        self._judged: dict[bytes, tuple[int, bool]] = {}
        self._by_judgement = context.task.type is TaskType.PREFERENCE
        self._duplicates = Tally(
            "DATA-DUP",
            "warning",
            "Exact duplicates of an earlier row of the same file: {rows}.",
            "Keep one of each: set deduplicate: true in data_source.yaml and run nlp-skills regenerate-data {task}",
        )
        self._conflicts = Tally(
            "DATA-CONFLICT",
            "warning",
            "Another answer than an earlier row with the same input: {rows}.",
            "Decide which answer is right and correct or delete the other rows at their source",
        )

    def see(self, batch: Batch) -> None:
        """Look at the rows whose input was seen before."""
        self._answers.extend(batch.answers)
        for index, first in batch.repeats:
            row, answer = batch.start + index, batch.answers[index]
            if self._answers[first] == answer:
                same = first
            else:
                same = self._variants.setdefault((first, answer), row)
                if not self._by_judgement:
                    self._add(
                        self._conflicts, batch, index, f"another answer than {self._places.name(first)}"
                    )
            if same != row and same >= batch.file_start:
                self._add(self._duplicates, batch, index, f"as {self._places.name(same)}")
        for index, judged, judgement in batch.judgements:
            first, before = self._judged.setdefault(judged, (batch.start + index, judgement))
            if before != judgement:
                place = self._places.name(first)
                self._add(self._conflicts, batch, index, f"the opposite judgement of {place}")

    def _add(self, tally: Tally, batch: Batch, index: int, reason: str) -> None:
        tally.add(batch.file, batch.lines[index], f"{reason}: {batch.text(index)}")

    def findings(self) -> list[Finding]:
        """At most one finding for each of the two checks."""
        return [*self._duplicates.findings(), *self._conflicts.findings()]

    def not_run(self) -> dict[str, str]:
        """These two always run."""
        return {}
