"""DATA-DUP and DATA-CONFLICT: the same row twice, and the same input with another answer.

Exact duplicates only, and within one file: a row that stands on two sides of the split is a leak.
"""

from __future__ import annotations

from typing import ClassVar

from nlp_skills.data.checks.reading import Batch, Reader
from nlp_skills.data.checks.repeats import Repeat, Repeats
from nlp_skills.data.checks.rows import Context
from nlp_skills.data.checks.tally import Marked, Tally
from nlp_skills.data.report import Finding
from nlp_skills.task.task import TaskType


class Duplicates:
    """Compares the answers of rows that have the same input."""

    checks: ClassVar[tuple[str, ...]] = ("DATA-DUP", "DATA-CONFLICT")

    def __init__(self, context: Context, reader: Reader) -> None:
        self._reader = reader
        self._by_judgement = context.task.type is TaskType.PREFERENCE
        self._judged = Repeats(reader.spill)
        self._duplicates = Marked()
        self._conflicts = Marked()
        self._opposites = Marked()
        reader.on_repeat.append(self._compare)

    def see(self, batch: Batch) -> None:
        """Note what is judged, and how."""
        if batch.judgements:
            places, judged, judgements = zip(*batch.judgements, strict=True)
            self._judged.add([batch.start + place for place in places], judged, judgements)

    def _compare(self, repeat: Repeat) -> None:
        if repeat.same != repeat.first and not self._by_judgement:
            self._conflicts.add(repeat.row, repeat.first)
        if repeat.same != repeat.row and repeat.same >= self._reader.places.file_start(repeat.row):
            self._duplicates.add(repeat.row, repeat.same)

    def findings(self) -> list[Finding]:
        """At most one finding for each of the two checks."""
        for repeat in self._judged.found():
            if repeat.same != repeat.first:
                self._opposites.add(repeat.row, repeat.first)
        duplicates = Tally(
            "DATA-DUP",
            "warning",
            "Exact duplicates of an earlier row of the same file: {rows}.",
            "Keep one of each: set deduplicate: true in data_source.yaml and run nlp-skills regenerate-data {task}",
        )
        conflicts = Tally(
            "DATA-CONFLICT",
            "warning",
            "Another answer than an earlier row with the same input: {rows}.",
            "Decide which answer is right and correct or delete the other rows at their source; or drop all rows of such"
            " an input, the right one too, for nothing says which it is, with: nlp-skills fix-data {task} --checks"
            " DATA-CONFLICT",
        )
        self._show(duplicates, self._duplicates, "as")
        self._show(conflicts, self._conflicts, "another answer than")
        self._show(conflicts, self._opposites, "the opposite judgement of")
        return [*duplicates.findings(), *conflicts.findings()]

    def _show(self, tally: Tally, marked: Marked, relation: str) -> None:
        places = self._reader.places
        for row, other in marked.first:
            tally.add(*places.find(row), f"{relation} {places.name(other)}: {self._reader.text(row)}")
        tally.count += marked.count - len(marked.first)

    def not_run(self) -> dict[str, str]:
        """These two always run."""
        return {}
