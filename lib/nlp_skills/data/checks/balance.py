"""DATA-BALANCE and DATA-ORDER: how often each label occurs, and in which order.

A table that is sorted by label gives a head of one class to whoever reads from the top. The
number of runs (stretches of one label) tells: n rows with counts n_i, shuffled, have on average
1 + (n² - Σ n_i²) / n of them (Barton and David, Multiple runs, Biometrika 44, 1957).
"""

from __future__ import annotations

from collections import Counter
from operator import ne
from typing import ClassVar

from nlp_skills.data.checks.labels import split_of
from nlp_skills.data.checks.reading import Batch, Reader
from nlp_skills.data.checks.rows import Context
from nlp_skills.data.report import DoesNotApply, Finding
from nlp_skills.errors import counted

FEW = 10
"""Rows of a label in train below which it is hardly learnt."""
SKEW = 10
"""How many times the smallest label the largest may be."""
ORDERED = 50
"""Rows below which an order says nothing; from here on half the runs is beyond four standard deviations."""


class Balance:
    """Judges the labels by their counts, and the train file by its runs of equal labels."""

    checks: ClassVar[tuple[str, ...]] = ("DATA-BALANCE", "DATA-ORDER")

    def __init__(self, context: Context, reader: Reader) -> None:
        self._task = context.task
        self._labels = reader.labels
        self._train = ""
        self._runs = 0
        self._last: str | None = None

    def see(self, batch: Batch) -> None:
        """Count the runs in train."""
        if not self._task.type.has_labels or not batch.labels:
            return
        if split_of(batch.file) == "train":
            self._train = batch.file
            self._runs += sum(map(ne, batch.labels, [self._last, *batch.labels[:-1]]))
            self._last = batch.labels[-1]

    def findings(self) -> list[Finding]:
        """What is rare, missing, too frequent or sorted in train."""
        if not self._task.type.has_labels:
            return []
        counts = self._counts()
        return [*self._rare(counts), *self._skewed(counts), *self._ordered(counts)]

    def _rare(self, counts: Counter[str]) -> list[Finding]:
        found = []
        if not self._train:
            return []
        if absent := [label for label in self._task.labels if not counts[label]]:
            message = f"Labels of the task without a row in train: {_some(absent)}."
            fix = "Add rows with these labels, or take the labels out of task.yaml"
            found.append(_finding("DATA-BALANCE", message, 0, fix))
        if few := [label for label, count in counts.most_common() if count < FEW]:
            named = [f"{label} ({counts[label]})" for label in few]
            message = f"Labels with fewer than {FEW} rows in train: {_some(named)}."
            fix = f"Collect or generate rows until every label has {FEW} or more, or merge rare labels"
            found.append(_finding("DATA-BALANCE", message, sum(counts[label] for label in few), fix))
        return found

    def _skewed(self, counts: Counter[str]) -> list[Finding]:
        if len(counts) < 2:
            return []
        (large, most), *_, (small, fewest) = counts.most_common()
        if most <= SKEW * fewest:
            return []
        message = (
            f"The largest label in train, {large} ({most:,} rows), is more than {SKEW} times "
            f"the smallest, {small} ({fewest:,})."
        )
        fix = "Collect or generate rows of the small labels, and judge by macro_f1 rather than accuracy"
        return [_finding("DATA-BALANCE", message, most, fix)]

    def _ordered(self, counts: Counter[str]) -> list[Finding]:
        rows = sum(counts.values())
        if rows < ORDERED or len(counts) < 2:
            return []
        expected = 1 + (rows * rows - sum(count * count for count in counts.values())) / rows
        if self._runs >= expected / 2:
            return []
        message = (
            f"{self._train} is ordered by label: the label changes {counted(self._runs - 1, 'time')}, "
            f"where about {expected - 1:,.0f} changes are expected in shuffled rows."
        )
        fix = "Shuffle and divide the rows anew with: nlp-skills regenerate-data {task}"
        return [_finding("DATA-ORDER", message, rows, fix)]

    def _counts(self) -> Counter[str]:
        """Label → rows in train."""
        counts = self._labels.get(self._train, {})
        return Counter({label: count for label, count in counts.items() if label is not None})

    def not_run(self) -> dict[str, str]:
        """There have to be labels; what is rare, missing or sorted is looked for in train."""
        if not self._task.type.has_labels:
            reason = f"a task of type {self._task.type.value} has no labels"
        elif not self._train:
            reason = "train has no row that could be read"
        elif (rows := self._counts().total()) < ORDERED:
            return {"DATA-ORDER": DoesNotApply(f"{rows} labelled rows in train are too few to tell an order")}
        else:
            return {}
        return dict.fromkeys(("DATA-BALANCE", "DATA-ORDER"), DoesNotApply(reason))


def _finding(check: str, message: str, count: int, fix: str) -> Finding:
    return Finding(check=check, level="warning", message=message, count=count, fix=fix)


def _some(names: list[str]) -> str:
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more
