"""How sure we are: percentile bootstrap over rows (Efron & Tibshirani 1993) and McNemar's exact test.

Resampling draws row numbers from a seeded generator, so equal predictions give equal intervals,
and two models that are compared are resampled with the same rows (paired).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from nlp_skills.evaluation.metrics import METRICS, row_scores
from nlp_skills.evaluation.results import Interval

if TYPE_CHECKING:
    import numpy as np

RESAMPLES = 2000
LEVEL = 0.95
DRAWN_AT_ONCE = 4_000_000


def interval(name: str, expected: Sequence[str], predicted: Sequence[str], seed: int = 13) -> Interval:
    """A metric with its 95 % interval."""
    values = _resampled(name, expected, [predicted], seed)[0]
    low, high = _percentiles(values)
    return Interval(value=METRICS[name](expected, predicted), low=low, high=high)


def difference(
    name: str, expected: Sequence[str], a: Sequence[str], b: Sequence[str], seed: int = 13
) -> tuple[float, float, float]:
    """`b - a` of a metric with the 95 % interval of the paired bootstrap: (difference, low, high)."""
    values_a, values_b = _resampled(name, expected, [a, b], seed)
    low, high = _percentiles(values_b - values_a)
    return METRICS[name](expected, b) - METRICS[name](expected, a), low, high


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


def _resampled(
    name: str, expected: Sequence[str], predictions: Sequence[Sequence[str]], seed: int
) -> list[np.ndarray]:
    """The metric on RESAMPLES samples of the rows, one array of shape (RESAMPLES,) a model."""
    import numpy as np

    if name != "macro_f1":
        scores = [row_scores(name, expected, predicted) for predicted in predictions]
        chunks = [[s[rows].mean(axis=1) for s in scores] for rows in _samples(len(expected), seed)]
        return [np.concatenate(parts) for parts in zip(*chunks, strict=True)]
    labels = sorted({*expected, *(p for predicted in predictions for p in predicted)})
    number = {label: i for i, label in enumerate(labels)}
    truth = np.array([number[e] for e in expected])
    answers = [np.array([number[p] for p in predicted]) for predicted in predictions]
    chunks = [
        [_macro_f1(truth, answer, rows, len(labels)) for answer in answers]
        for rows in _samples(len(expected), seed)
    ]
    return [np.concatenate(parts) for parts in zip(*chunks, strict=True)]


def _samples(count: int, seed: int) -> Iterator[np.ndarray]:
    """Row numbers of RESAMPLES samples, shape (samples, count) at a time: memory stays below 100 MB."""
    import numpy as np

    generator = np.random.default_rng(seed)
    at_once = max(1, DRAWN_AT_ONCE // count)
    for start in range(0, RESAMPLES, at_once):
        size = (min(at_once, RESAMPLES - start), count)
        yield generator.integers(0, count, size=size, dtype=np.int32)


def _macro_f1(truth: np.ndarray, predicted: np.ndarray, rows: np.ndarray, labels: int) -> np.ndarray:
    """Macro F1 of each sample. A label that is absent from a sample, in truth and prediction, does not count."""
    import numpy as np

    values = np.empty(len(rows))
    for i, sample in enumerate(rows):
        table = np.bincount(truth[sample] * labels + predicted[sample], minlength=labels * labels)
        table = table.reshape(labels, labels)
        both = table.sum(axis=0) + table.sum(axis=1)
        occurs = both > 0
        values[i] = (2 * table.diagonal()[occurs] / both[occurs]).mean()
    return values
