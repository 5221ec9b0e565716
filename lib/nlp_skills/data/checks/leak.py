"""SPLIT-LEAK: what stands in train must not stand in valid or test, or the result says nothing.

The same row, the same input, or two rows of the same group (a document, a headline, a conversation).
"""

from __future__ import annotations

from typing import ClassVar

from nlp_skills.data.checks.reading import Batch, Reader
from nlp_skills.data.checks.rows import Context
from nlp_skills.data.checks.tally import Tally
from nlp_skills.data.report import Finding

_FIX = (
    "Divide the rows anew, which keeps these together on one side, with: nlp-skills regenerate-data {task}"
    " (where data_source.yaml gives a source a fixed `side:`, take it out first)"
)


class Leak:
    """Looks for rows of an earlier file of the split in a later one."""

    checks: ClassVar[tuple[str, ...]] = ("SPLIT-LEAK",)

    def __init__(self, _context: Context, reader: Reader) -> None:
        self._places = reader.places
        self._files: set[str] = set()
        self._groups: dict[str, int] = {}
        self._inputs = Tally(
            "SPLIT-LEAK", "error", "The same input as on another side of the split: {rows}.", _FIX
        )
        self._shared = Tally(
            "SPLIT-LEAK",
            "error",
            "Of a group that also stands on another side of the split: {rows}.",
            _FIX,
        )

    def see(self, batch: Batch) -> None:
        """Compare the inputs and groups of a batch with those of the files before."""
        if batch.lines:
            self._files.add(batch.file)
        leaked = set()
        for index, first in batch.repeats:
            if first < batch.file_start:
                leaked.add(index)
                self._add(self._inputs, batch, index, f"as {self._places.name(first)}")
        if not any(batch.groups):
            return
        groups = self._groups
        for index, group in enumerate(batch.groups):
            if group is not None:
                first = groups.setdefault(group, batch.start + index)
                if first < batch.file_start and index not in leaked:
                    self._add(self._shared, batch, index, f"group {group!r} as {self._places.name(first)}")

    def _add(self, tally: Tally, batch: Batch, index: int, reason: str) -> None:
        tally.add(batch.file, batch.lines[index], f"{reason}: {batch.text(index)}")

    def findings(self) -> list[Finding]:
        """One finding for shared inputs, one for shared groups."""
        return [*self._inputs.findings(), *self._shared.findings()]

    def not_run(self) -> dict[str, str]:
        """There have to be two sides."""
        if len(self._files) > 1:
            return {}
        only = ", ".join(sorted(self._files)) or "no file"
        return {"SPLIT-LEAK": f"only {only} has rows, so there is nothing to compare it with"}
