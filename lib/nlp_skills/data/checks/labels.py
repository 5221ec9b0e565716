"""DATA-LABEL: labels that the task does not know, rows without one, answers that are another, and several spellings.

The answer is what is trained, the label (`meta.label`) what is counted and measured: they have to be the same.

Spellings are the same when they differ in case, in white space, hyphens and underscores between words,
in invisible characters at their ends, or in forms that Unicode calls compatible (NFKC).
"""

from __future__ import annotations

import re
import unicodedata
from array import array
from collections import Counter
from typing import ClassVar

from nlp_skills.data.checks.blank import INVISIBLE
from nlp_skills.data.checks.identities import digest_64
from nlp_skills.data.checks.reading import Batch, Reader
from nlp_skills.data.checks.rows import Context
from nlp_skills.data.checks.tally import SHOWN, Tally
from nlp_skills.data.excerpt import masked
from nlp_skills.data.report import DoesNotApply, Finding, Level
from nlp_skills.errors import clip, did_you_mean

LISTED = 20
"""Findings of one kind; the labels after them are counted together."""
SAID = 40
"""Characters of an answer that are shown."""
_BETWEEN = re.compile(r"(?<=[^\W_])[\s_\-\u2010-\u2015]+(?=[^\W_])")


def spelling_key(label: str) -> str:
    """What the spellings of one label have in common."""
    text = unicodedata.normalize("NFKC", label).strip(INVISIBLE).casefold()
    return _BETWEEN.sub(" ", text)


def split_of(file: str) -> str:
    """`data/train.jsonl` → train."""
    return file.rsplit("/", 1)[-1].removesuffix(".jsonl")


class Labels:
    """Keeps the first rows of every label that may have to be shown."""

    checks: ClassVar[tuple[str, ...]] = ("DATA-LABEL",)

    def __init__(self, context: Context, reader: Reader) -> None:
        self._task = context.task
        self._reader = reader
        self._known = list(context.task.labels)
        keys = Counter(map(spelling_key, self._known))
        self._settled: set[str | None] = {label for label in self._known if keys[spelling_key(label)] == 1}
        """Labels of which no more rows are wanted."""
        self._rows: dict[str | None, list[int]] = {}
        self._said: dict[str | None, int] = {}
        """Label → identity of the answer that gives it."""
        self._other = 0
        """Rows whose answer is not their label."""
        self._others: list[int] = []
        """The first of them."""

    def see(self, batch: Batch) -> None:
        """Note the rows of labels that are not known, or known in two spellings."""
        if not self._task.type.has_labels:
            return
        self._compare(batch)
        wanted = batch.label_counts.keys() - self._settled
        if not wanted:
            return
        for place, label in enumerate(batch.labels):
            if label in wanted:
                rows = self._rows.setdefault(label, [])
                if len(rows) < SHOWN:
                    rows.append(batch.start + place)
        self._settled |= {label for label in wanted if len(self._rows[label]) == SHOWN}

    def _compare(self, batch: Batch) -> None:
        """Note the rows whose answer is another text than their label; those without a label are found as such."""
        for label in batch.label_counts.keys() - self._said.keys():
            self._said[label] = digest_64((label or "").encode("utf-8", "surrogatepass"))
        told = array("Q", map(self._said.__getitem__, batch.labels))
        if told == batch.answers:
            return
        pairs = enumerate(zip(batch.labels, told, batch.answers, strict=True))
        others = [place for place, (label, one, other) in pairs if label is not None and one != other]
        self._other += len(others)
        self._others += [batch.start + place for place in others[: SHOWN - len(self._others)]]

    def findings(self) -> list[Finding]:
        """Rows without a label, labels that are not known, then spellings of one label."""
        if not self._task.type.has_labels:
            return []
        counts: Counter[str | None] = sum(self._reader.labels.values(), Counter())
        missing = self._finding(
            "error",
            "No label: {rows}.",
            "Give these rows a label at their source, or name the label column in data_source.yaml (columns)",
            [None],
            counts,
        )
        return [*missing, *self._unknown(counts), *self._contradictions(), *self._spellings(counts)]

    def _contradictions(self) -> list[Finding]:
        """Rows whose answer is not their label."""
        tally = Tally(
            "DATA-LABEL",
            "error",
            "The answer, which is what is trained, is not the row's label (meta.label): {rows}.",
            "Give answer and label the same text at their source, or regenerate edited rows:"
            " nlp-skills regenerate-data {task}",
        )
        for row in self._others:
            example = self._reader.example(row)
            said, label = clip(masked(example.output_text), SAID), example.meta.label
            unknown = (
                ", no label of the task" if self._known and example.output_text not in self._known else ""
            )
            text = f"answer {said!r}{unknown}; label {label!r}: {example.input_text}"
            tally.add(*self._reader.places.find(row), text)
        tally.count = self._other
        return tally.findings()

    def _unknown(self, counts: Counter[str | None]) -> list[Finding]:
        """Each with the label that may be meant; the answer is compared with the task's labels to the letter."""
        if not self._known:
            return []
        by_key = {spelling_key(label): label for label in reversed(self._known)}
        strange = [label for label in counts if label is not None and label not in set(self._known)]
        found: list[Finding] = []
        for label in strange[:LISTED]:
            same = by_key.get(spelling_key(label))
            near = f' (a spelling of "{same}")' if same else did_you_mean(label, self._known)
            found += self._finding(
                "error",
                f"The label {label!r}, which the task does not know{near}: {{rows}}.",
                "Correct the label at its source, or add it to labels in task.yaml",
                [label],
                counts,
            )
        if rest := strange[LISTED:]:
            found += self._finding(
                "error",
                f"{len(rest):,} more labels that the task does not know: {{rows}}.",
                "Correct the labels at their source, or add them to labels in task.yaml",
                rest,
                counts,
            )
        return found

    def _spellings(self, counts: Counter[str | None]) -> list[Finding]:
        """Of each label the rows in other spellings than the most frequent one."""
        known = set(self._known) if self._known else None
        groups: dict[str, list[str]] = {}
        for label, _ in counts.most_common():
            if label is not None and (known is None or label in known):
                groups.setdefault(spelling_key(label), []).append(label)
        several = [group for group in groups.values() if len(group) > 1]
        found: list[Finding] = []
        for main, *others in several[:LISTED]:
            written = ", ".join(map(repr, others[:SHOWN]))
            found += self._finding(
                "warning",
                f"The label {main!r} is also written {written}: {{rows}}.",
                "Write the label in one way at its source, and list the task's labels in task.yaml (labels)",
                others,
                counts,
            )
        return found

    def _finding(
        self,
        level: Level,
        message: str,
        fix: str,
        labels: list[str] | list[None],
        counts: Counter[str | None],
    ) -> list[Finding]:
        tally = Tally("DATA-LABEL", level, message, fix)
        for row in sorted(row for label in labels for row in self._rows.get(label, []))[:SHOWN]:
            tally.add(*self._reader.places.find(row), self._reader.text(row))
        tally.count = sum(counts[label] for label in labels)
        return tally.findings()

    def not_run(self) -> dict[str, str]:
        """There have to be labels."""
        if not self._task.type.has_labels:
            return {"DATA-LABEL": DoesNotApply(f"a task of type {self._task.type.value} has no labels")}
        if not any(counts for counts in self._reader.labels.values()):
            return {"DATA-LABEL": DoesNotApply("no row could be read")}
        return {}
