"""Rows whose label is contradicted with confidence: confident learning.

Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels" (JAIR 70,
arXiv:1911.00068): a row with label i counts as a j where its probability of j is at least what rows that are
labelled j have on average; the rows off the diagonal of that table are probably labelled wrongly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nlp_skills.evaluation.diagnosis.out_of_fold import Opinion

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Contradicted:
    """The confident table of some rows."""

    joint: np.ndarray
    """Rows by label as given and as the classifier is confident of: int, shape (labels, labels)."""
    rows: np.ndarray
    """Numbers of the rows off the diagonal, the surest first."""
    meant: np.ndarray
    """The label that each of these probably has."""

    def into(self, label: int) -> int:
        """Rows that are surely of this label and have another."""
        return int(self.joint[:, label].sum() - self.joint[label, label])

    def among(self, label: int) -> int:
        """Rows that have this label and are surely of another."""
        return int(self.joint[label].sum() - self.joint[label, label])


def thresholds(opinion: Opinion) -> np.ndarray:
    """For each label the mean probability of it over the rows that have it; 2 (never reached) where none has."""
    import numpy as np

    own = [opinion.given == k for k in range(len(opinion.labels))]
    return np.array(
        [opinion.probabilities[rows, k].mean() if rows.any() else 2.0 for k, rows in enumerate(own)]
    )


def contradicted(opinion: Opinion, limits: np.ndarray) -> Contradicted:
    """The table at these thresholds (shape (labels,))."""
    import numpy as np

    confident = np.where(opinion.probabilities >= limits, opinion.probabilities, -1.0)
    meant, is_sure = confident.argmax(axis=1), confident.max(axis=1) >= 0
    joint = np.zeros((len(opinion.labels),) * 2, dtype=np.int64)
    np.add.at(joint, (opinion.given[is_sure], meant[is_sure]), 1)
    rows = np.flatnonzero(is_sure & (meant != opinion.given))
    every = np.arange(len(opinion.given))
    margin = opinion.probabilities[every, meant] - opinion.probabilities[every, opinion.given]
    rows = rows[np.argsort(-margin[rows], kind="stable")]
    return Contradicted(joint, rows, meant[rows])
