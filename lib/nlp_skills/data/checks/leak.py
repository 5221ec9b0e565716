"""SPLIT-LEAK: what stands in train must not stand in valid or test, or the result says nothing.

The same row, the same input, the same text about another entity, or two rows of the same group (a document, a
headline, a conversation).
"""

from __future__ import annotations

from typing import ClassVar

import xxhash

from nlp_skills.data.checks.reading import Batch, Reader
from nlp_skills.data.checks.repeats import Repeat, Repeats
from nlp_skills.data.checks.rows import Context
from nlp_skills.data.checks.tally import Marked, Tally
from nlp_skills.data.report import DoesNotApply, Finding

_FIX = (
    "Divide the rows anew, which keeps these together on one side, with: nlp-skills regenerate-data {task}"
    " (where data_source.yaml gives a source a fixed `side:`, take it out first)"
)


class Leak:
    """Looks for rows of an earlier file of the split in a later one."""

    checks: ClassVar[tuple[str, ...]] = ("SPLIT-LEAK",)

    def __init__(self, _context: Context, reader: Reader) -> None:
        self._reader = reader
        self._files: set[str] = set()
        self._groups = Repeats(reader.spill)
        self._texts = Repeats(reader.spill)
        self._leaked: set[int] = set()
        self._inputs = Marked()
        self._same_text = Marked()
        self._shared = Marked()
        reader.on_repeat.append(self._compare)

    def see(self, batch: Batch) -> None:
        """Note the groups, and the texts of rows about entities."""
        if not batch.inputs:
            return
        self._files.add(batch.file)
        if batch.texts:
            places, texts = zip(*batch.texts, strict=True)
            self._texts.add([batch.start + place for place in places], texts, [0] * len(texts))
        if batch.groups.count(None) < len(batch):
            grouped = [(place, group) for place, group in enumerate(batch.groups) if group is not None]
            keys = [xxhash.xxh3_128_digest(group.encode()) for _, group in grouped]
            self._groups.add([batch.start + place for place, _ in grouped], keys, [0] * len(keys))

    def _compare(self, repeat: Repeat) -> None:
        if self._is_elsewhere(repeat):
            self._leaked.add(repeat.row)
            self._inputs.add(repeat.row, repeat.first)

    def _is_elsewhere(self, repeat: Repeat) -> bool:
        return repeat.first < self._reader.places.file_start(repeat.row)

    def findings(self) -> list[Finding]:
        """One finding for shared inputs, one for shared texts, one for shared groups."""
        for repeat in self._texts.found():
            if self._is_elsewhere(repeat) and repeat.row not in self._leaked:
                self._leaked.add(repeat.row)
                self._same_text.add(repeat.row, repeat.first)
        for repeat in self._groups.found():
            if self._is_elsewhere(repeat) and repeat.row not in self._leaked:
                self._shared.add(repeat.row, repeat.first)
        inputs = Tally("SPLIT-LEAK", "error", "The same input as on another side of the split: {rows}.", _FIX)
        texts = Tally(
            "SPLIT-LEAK",
            "error",
            "The same text as on another side of the split, about another entity: {rows}.",
            _FIX,
        )
        shared = Tally(
            "SPLIT-LEAK",
            "error",
            "Of a group that also stands on another side of the split: {rows}.",
            _FIX,
        )
        reader, places = self._reader, self._reader.places
        for row, other in self._inputs.first:
            inputs.add(*places.find(row), f"as {places.name(other)}: {reader.text(row)}")
        for row, other in self._same_text.first:
            texts.add(*places.find(row), f"as {places.name(other)}: {reader.text(row)}")
        for row, other in self._shared.first:
            group = reader.example(row).meta.group
            shared.add(*places.find(row), f"group {group!r} as {places.name(other)}: {reader.text(row)}")
        inputs.count, shared.count = self._inputs.count, self._shared.count
        texts.count = self._same_text.count
        return [*inputs.findings(), *texts.findings(), *shared.findings()]

    def not_run(self) -> dict[str, str]:
        """There have to be two sides."""
        if len(self._files) > 1:
            return {}
        only = ", ".join(sorted(self._files)) or "no file"
        return {"SPLIT-LEAK": DoesNotApply(f"only {only} has rows, so there is nothing to compare it with")}
