"""DATA-DRIFT: labels or lengths that are spread otherwise than in the data before, or in train than in test.

How far apart two distributions are tells the population stability index

    PSI = Σ (q - p) ln(q / p)        over labels, or over buckets of lengths

below 0.1 next to nothing, from 0.25 on a different population (Siddiqi, Credit Risk Scorecards, 2006). Whether
chance alone could have done it tells Pearson's χ² test for labels and buckets, and for lengths that are known
exactly the two-sample test of Kolmogorov and Smirnov. Both have to speak: with many rows the smallest
difference is no chance, and with few rows the PSI is large by chance.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import ClassVar, TypeVar

from nlp_skills.data.checks.distances import chi_squared, kolmogorov_smirnov, stability
from nlp_skills.data.checks.labels import split_of
from nlp_skills.data.checks.reading import Batch, Reader
from nlp_skills.data.checks.rows import Context
from nlp_skills.data.report import DoesNotApply, Finding
from nlp_skills.data.snapshot import DataSnapshot, in_buckets

SHIFTED = 0.1
DIFFERENT = 0.25
CHANCE = 0.001
"""What a test has to be below: many tasks are checked again and again."""

Kind = TypeVar("Kind", bound="str | int | None")


class Drift:
    """Compares the distributions of the snapshot with those before, and train with test."""

    checks: ClassVar[tuple[str, ...]] = ("DATA-DRIFT",)

    def __init__(self, context: Context, reader: Reader) -> None:
        self._context = context
        self._reader = reader

    def see(self, batch: Batch) -> None:
        """The reader counts."""

    def findings(self) -> list[Finding]:
        """Against the snapshot before, then test against train."""
        return [*self._since_before(), *self._between_sides()]

    def _since_before(self) -> list[Finding]:
        before, now = self._context.before, self._context.snapshot
        if before is None or now is None:
            return []
        fix = (
            "Look at what the sources gave this time (added, removed and changed rows stand in"
            " data/data_snapshot.json); measure the model again before it is used on such data"
        )
        pairs = {"labels": (_labels(before), _labels(now)), "lengths": (_lengths(before), _lengths(now))}
        return [
            finding
            for what, (old, new) in pairs.items()
            for finding in _compare(
                f"The {what} are spread otherwise than in the data before",
                old,
                new,
                fix,
                chi_squared(old, new),
            )
        ]

    def _between_sides(self) -> list[Finding]:
        labels, lengths = self._sides(self._reader.labels), self._sides(self._reader.lengths)
        fix = (
            "Divide the rows anew with: nlp-skills regenerate-data {task} (where data_source.yaml gives a source a"
            " fixed `side:`, this is how the sources differ: decide whether the test is the one that you mean)"
        )
        found: list[Finding] = []
        if len(labels) == 2 and self._context.task.type.has_labels:
            train, test = (_named(side) for side in labels)
            text = "The labels are spread otherwise in test than in train"
            found += _compare(text, train, test, fix, chi_squared(train, test))
        if len(lengths) == 2:
            train, test = lengths
            chance = kolmogorov_smirnov(train, test)
            text = "The lengths are spread otherwise in test than in train"
            found += _compare(text, in_buckets(train), in_buckets(test), fix, chance)
        return found

    @staticmethod
    def _sides(counts: Mapping[str, Counter[Kind]]) -> list[Counter[Kind]]:
        """Of train and test, where both have rows."""
        by_split = {split_of(file): found for file, found in counts.items()}
        return [by_split[side] for side in ("train", "test") if by_split.get(side)]

    def not_run(self) -> dict[str, str]:
        """There has to be something to compare with."""
        if len(self._sides(self._reader.lengths)) == 2 or (self._context.before and self._context.snapshot):
            return {}
        reason = "there is neither a snapshot before nor a train and a test split with rows"
        return {"DATA-DRIFT": DoesNotApply(reason)}


def _labels(snapshot: DataSnapshot) -> dict[str, int]:
    return _sum(split.label_counts for split in snapshot.splits.values())


def _lengths(snapshot: DataSnapshot) -> dict[str, int]:
    return _sum(split.lengths for split in snapshot.splits.values())


def _sum(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: Counter[str] = Counter()
    for part in parts:
        total.update(part)
    return dict(total)


def _named(labels: Mapping[str | None, int]) -> dict[str, int]:
    return {label: count for label, count in labels.items() if label is not None}


def _compare(
    what: str, old: Mapping[str, int], new: Mapping[str, int], fix: str, chance: float
) -> list[Finding]:
    """A warning for a different population, a remark for a shifted one, nothing for what chance would give."""
    if not old or not new:
        return []
    index = stability(old, new)
    if index < SHIFTED or chance >= CHANCE:
        return []
    message = f"{what} (PSI {index:.2f}): {_greatest_change(old, new)}."
    level = "warning" if index >= DIFFERENT else "info"
    return [Finding(check="DATA-DRIFT", level=level, message=message, count=sum(new.values()), fix=fix)]


def _greatest_change(old: Mapping[str, int], new: Mapping[str, int]) -> str:
    """`up 31 % → 62 %` for the three kinds whose share has changed most."""
    before, after = _shares(old), _shares(new)
    kinds = sorted({*old, *new}, key=lambda kind: (-abs(after.get(kind, 0) - before.get(kind, 0)), kind))
    return ", ".join(f"{kind} {before.get(kind, 0):.0%} → {after.get(kind, 0):.0%}" for kind in kinds[:3])


def _shares(counts: Mapping[str, int]) -> dict[str, float]:
    total = sum(counts.values())
    return {kind: count / total for kind, count in counts.items()}
