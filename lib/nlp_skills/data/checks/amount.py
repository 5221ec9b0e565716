"""DATA-FEW: too few rows to learn from, or to tell a better model from a worse one.

What a training needs at least: OpenAI's guide to fine-tuning sees clear improvements from 50 rows on;
DPO needs 30 pairs; of labels each wants its rows: with 8 a label ordinary fine-tuning stays far behind
(Tunstall et al., Efficient Few-Shot Learning Without Prompts, arXiv 2209.11055), so 20 are asked for on
average. A single rare label is DATA-BALANCE's business.

What a test has to have: an accuracy p measured on n rows is known up to half the width of its 95 % interval,

    h = z / (1 + z²/n) · √(p (1 - p) / n + z² / 4n²)        z = 1.96

(Wilson, Probable Inference, Journal of the American Statistical Association 22, 1927). Above h = 0.1 even
an improvement by ten points cannot be told from chance.
"""

from __future__ import annotations

import math
from typing import ClassVar

from nlp_skills.data.checks.labels import split_of
from nlp_skills.data.checks.reading import Batch, Reader
from nlp_skills.data.checks.rows import Context
from nlp_skills.data.report import Finding
from nlp_skills.errors import counted
from nlp_skills.task.task import TaskType

ROWS = 50
"""Rows to learn from, at least."""
A_LABEL = 20
"""Rows a label to learn it from, on average."""
PAIRS = 30
"""Pairs to learn a preference from, at least."""
WIDEST = 0.1
"""Half the width of the interval beyond which a test does not decide."""
USUAL = 0.8
"""The accuracy that is assumed where the task names no target."""
_Z = 1.96


class Amount:
    """Counts the rows of train and test."""

    checks: ClassVar[tuple[str, ...]] = ("DATA-FEW",)

    def __init__(self, context: Context, reader: Reader) -> None:
        self._task = context.task
        self._reader = reader

    def see(self, batch: Batch) -> None:
        """The reader counts."""

    def findings(self) -> list[Finding]:
        """One finding for train, one for test. A file that is not there is not judged."""
        rows = {split_of(file): count for file, count in self._reader.rows.items()}
        return [
            *(self._train(rows["train"]) if "train" in rows else []),
            *(self._test(rows["test"]) if "test" in rows else []),
        ]

    def _train(self, rows: int) -> list[Finding]:
        labels = len(self._task.labels) if self._task.type.has_labels else 0
        least, noun = max(ROWS, A_LABEL * labels), "row"
        if self._task.type is TaskType.PREFERENCE:
            least, noun = PAIRS, "pair"
        if rows >= least:
            return []
        kind = f"a task of type {self._task.type.value}" + (f" with {labels} labels" if labels else "")
        message = f"Train has {counted(rows, noun)}; {kind} needs {least:,} or more to learn from."
        fix = "Collect or generate more rows, or try prompting the base model with examples instead"
        return [Finding(check="DATA-FEW", level="warning", message=message, count=rows, fix=fix)]

    def _test(self, rows: int) -> list[Finding]:
        expected = min(max(self._task.target or USUAL, 0.5), 0.95)
        known = half_width(expected, rows)
        if known <= WIDEST:
            return []
        message = (
            f"Test has {counted(rows, 'row')}: a result near {expected:g} is known up to ± {100 * known:.0f} points, so"
            f" two models that are {100 * WIDEST:.0f} points apart may change places by chance."
        )
        fix = (
            f"Put {enough_rows(expected)} or more rows into the test split (split: {{test: {enough_rows(expected)}}} in"
            " data_source.yaml), and collect more rows where train gets too small"
        )
        return [Finding(check="DATA-FEW", level="warning", message=message, count=rows, fix=fix)]

    def not_run(self) -> dict[str, str]:
        """It always runs."""
        return {}


def half_width(share: float, rows: int) -> float:
    """Half the width of Wilson's 95 % interval of a share that was measured on so many rows, 0 to 0.5."""
    if rows == 0:
        return 0.5
    square = _Z * _Z / rows
    return _Z / (1 + square) * math.sqrt(share * (1 - share) / rows + square / (4 * rows))


def enough_rows(share: float) -> int:
    """The fewest rows on which half the width is WIDEST or less, rounded up to tens."""
    rows = 10
    while half_width(share, rows) > WIDEST:
        rows += 10
    return rows
