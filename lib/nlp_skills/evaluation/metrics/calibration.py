"""Whether a label's probability means what it says: of all answers given with 0.8, 80 % should be right.

confidence   0 ──|──|── … ──|──|── 1     15 bins of equal width (Guo et al. 2017, arXiv:1706.04599)
in each bin  |share that is right - mean confidence|, weighted by its rows
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nlp_skills.evaluation.metrics.metric import Metric, mean
from nlp_skills.evaluation.results import Prediction

if TYPE_CHECKING:
    import numpy as np

BINS = 15


def has_scores(rows: Sequence[Prediction]) -> bool:
    """Whether every row has its labels' probabilities."""
    return bool(rows) and all(row.scores for row in rows)


def _binned(rows: Sequence[Prediction]) -> np.ndarray:
    """Rows, right answers and confidence of each bin side by side, shape (rows, 3 * BINS)."""
    import numpy as np

    table = np.zeros((len(rows), 3, BINS))
    for row, contribution in zip(rows, table, strict=True):
        confidence = max((row.scores or {}).values())
        place = bin_of(confidence)
        contribution[:, place] = 1.0, float(row.predicted == row.expected), confidence
    return table.reshape(len(rows), -1)


def bin_of(confidence: float) -> int:
    """The number of a confidence's bin; each bin holds its upper edge, the first one 0 too."""
    return min(BINS - 1, max(0, math.ceil(confidence * BINS) - 1))


def reliability(rows: Sequence[Prediction]) -> list[tuple[int, float, float]]:
    """Of each bin, from low to high: its rows, the share that is right, the mean confidence (0 where it is empty)."""
    import numpy as np

    count, right, confidence = np.split(_binned(rows).sum(axis=0), 3)
    filled = np.where(count == 0, 1.0, count)
    return [
        (int(n), float(r), float(c))
        for n, r, c in zip(count, right / filled, confidence / filled, strict=True)
    ]


def _calibration_error(sums: np.ndarray) -> np.ndarray:
    import numpy as np

    count, right, confidence = np.split(sums, 3, axis=-1)
    return np.abs(right - confidence).sum(axis=-1) / count.sum(axis=-1)


def _brier(row: Prediction) -> float:
    """Half the squared distance between the probabilities and the truth: 0 to 1 (Brier 1950)."""
    scores = row.scores or {}
    distance = sum((p - (label == row.expected)) ** 2 for label, p in scores.items())
    return (distance + (row.expected not in scores)) / 2


CALIBRATION: dict[str, Metric] = {
    "expected_calibration_error": Metric(
        "expected calibration error",
        _binned,
        _calibration_error,
        higher_is_better=False,
        applies=has_scores,
    ),
    "brier_score": mean("Brier score", _brier, higher_is_better=False, applies=has_scores),
}
