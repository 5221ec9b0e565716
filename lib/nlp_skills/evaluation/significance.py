"""How sure we are: percentile bootstrap over rows (Efron & Tibshirani 1993) and McNemar's exact test.

Resampling draws row numbers from a seeded generator, so equal predictions give equal intervals,
and two models that are compared are resampled with the same rows (paired).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from nlp_skills.evaluation.metrics import METRICS
from nlp_skills.evaluation.results import Interval, Prediction

if TYPE_CHECKING:
    import numpy as np

RESAMPLES = 2000
LEVEL = 0.95
DRAWN_AT_ONCE = 2_000_000


def interval(name: str, rows: Sequence[Prediction], seed: int = 13) -> Interval:
    """A metric with its 95 % interval."""
    low, high = _percentiles(_resampled(name, [rows], seed)[0])
    return Interval(value=METRICS[name].measure(rows), low=low, high=high)


def difference(name: str, a: Sequence[Prediction], b: Sequence[Prediction], seed: int = 13) -> Interval:
    """`b - a` of a metric on the same rows, with the 95 % interval of the paired bootstrap."""
    values_a, values_b = _resampled(name, [a, b], seed)
    low, high = _percentiles(values_b - values_a)
    return Interval(value=METRICS[name].measure(b) - METRICS[name].measure(a), low=low, high=high)


def mcnemar(fixed: int, broken: int) -> float:
    """Two-sided exact p-value that as many were fixed as broken by chance (binomial, p = 1/2)."""
    from scipy.stats import binomtest

    total = fixed + broken
    return float(binomtest(fixed, total, 0.5).pvalue) if total else 1.0


def _percentiles(values: np.ndarray) -> tuple[float, float]:
    import numpy as np

    tail = (1 - LEVEL) / 2 * 100
    low, high = np.percentile(values, [tail, 100 - tail])
    return float(low), float(high)


def _resampled(name: str, models: Sequence[Sequence[Prediction]], seed: int) -> list[np.ndarray]:
    """The metric on RESAMPLES samples of the rows, one array of shape (RESAMPLES,) a model.

    Raises ValueError where the models did not answer the same number of rows.
    """
    import numpy as np

    metric, count = METRICS[name], len(models[0])
    if any(len(rows) != count for rows in models):
        raise ValueError(f"{name}: the models answered {[len(rows) for rows in models]} rows")
    statistics = [metric.statistics(rows) for rows in models]
    parts = [[metric.value(drawn @ s) for s in statistics] for drawn in _samples(count, seed)]
    return [np.concatenate(values) for values in zip(*parts, strict=True)]


def _samples(count: int, seed: int) -> Iterator[np.ndarray]:
    """How often each sample draws each row: float64 of shape (samples, count), at most 16 MB at a time."""
    import numpy as np

    generator = np.random.default_rng(seed)
    at_once = max(1, DRAWN_AT_ONCE // count)
    for start in range(0, RESAMPLES, at_once):
        size = min(at_once, RESAMPLES - start)
        drawn = generator.integers(0, count, size=(size, count), dtype=np.int32).astype(np.int64)
        drawn += np.arange(size)[:, None] * count
        yield np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count).astype(np.float64)
