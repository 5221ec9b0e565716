"""A metric: what every row contributes to it, and how the contributions of many rows make one number.

    predictions ── statistics ──> (rows, k) ── sum over rows ──> (k,) ── value ──> one number

Everything here is a sum over rows at heart (hits, counts of n-grams, true positives of each label), so
the bootstrap resamples the contributions and never looks at a text twice (resampling.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlp_skills.evaluation.results import Prediction

if TYPE_CHECKING:
    import numpy as np


@dataclass(frozen=True)
class Metric:
    """A number that predictions are judged by."""

    words: str
    """As people write it: macro F1."""
    statistics: Callable[[Sequence[Prediction]], Any]
    """What each row contributes: float64 of shape (rows, k), a numpy array or a SciPy sparse array."""
    value: Callable[[np.ndarray], np.ndarray]
    """From sums over rows, shape (..., k), to the number, shape (...)."""
    higher_is_better: bool = True
    applies: Callable[[Sequence[Prediction]], bool] = bool
    """Whether these predictions can be judged by it; without rows nothing can."""

    def measure(self, rows: Sequence[Prediction]) -> float:
        """The metric over all rows."""
        return float(self.value(self.statistics(rows).sum(axis=0)))


def ratio(sums: np.ndarray) -> np.ndarray:
    """The first sum over the second, from shape (..., 2); not a number where nothing was counted."""
    import numpy as np

    part, whole = sums[..., 0], sums[..., 1]
    return np.divide(part, whole, out=np.full(part.shape, np.nan), where=whole > 0)


def mean(
    words: str,
    one: Callable[[Prediction], float],
    *,
    higher_is_better: bool = True,
    applies: Callable[[Sequence[Prediction]], bool] = bool,
) -> Metric:
    """A metric that is the mean of one score a row."""

    def statistics(rows: Sequence[Prediction]) -> np.ndarray:
        import numpy as np

        return np.array([(one(row), 1.0) for row in rows], dtype=np.float64).reshape(-1, 2)

    return Metric(
        words,
        statistics,
        ratio,
        higher_is_better=higher_is_better,
        applies=applies,
    )
