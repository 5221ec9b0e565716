"""Resampling: the bootstrap over rows, and permutations, of any metric (its rows contribute sums: metrics/metric.py).

BCa: Efron 1987, JASA 82:171. Permutation of two models' answers: Noreen 1989; Yeh 2000 (COLING).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from nlp_skills.evaluation.metrics.metric import Metric

if TYPE_CHECKING:
    import numpy as np

RESAMPLES = 2000
"""Samples of the rows for an interval; an odd thousandth of its ends is chance."""
SWAPS = 9999
"""Permutations for a test: the smallest p-value is 1 / 20,000, small enough for Holm's method over 500 slices."""
Z = 1.959963984540054
"""The normal distribution's 97.5 % quantile."""
DRAWN_AT_ONCE = 2_000_000


def bca(metric: Metric, parts: Sequence[Any], seed: int) -> tuple[float, float]:
    """Ends of the bias-corrected and accelerated interval of the first part's metric, less the second's if there is one."""
    import numpy as np
    from scipy.special import ndtr, ndtri

    count = parts[0].shape[0]
    totals = [part.sum(axis=0) for part in parts]
    found = _less([metric.value(total) for total in totals])
    drawn = np.concatenate([_less([metric.value(s @ p) for p in parts]) for s in _samples(count, seed)])
    left_out = _left_out(metric, parts, totals)
    drawn, left_out = drawn[np.isfinite(drawn)], left_out[np.isfinite(left_out)]
    if not drawn.size or drawn.min() == drawn.max():
        return float(found), float(found)
    below = ((drawn < found).sum() + 0.5 * (drawn == found).sum()) / drawn.size
    bias = ndtri(np.clip(below, 0.5 / drawn.size, 1 - 0.5 / drawn.size))
    away = left_out.mean() - left_out
    spread = (away**2).sum()
    acceleration = (away**3).sum() / (6 * spread**1.5) if spread else 0.0
    ends = bias + np.array([-Z, Z])
    room = 1 - acceleration * ends
    places = np.where(room > 0, ndtr(bias + ends / np.where(room > 0, room, 1)), ends > 0)
    low, high = np.quantile(drawn, places)
    return float(min(low, found)), float(max(high, found))


def _less(values: Sequence[Any]) -> Any:
    return values[0] if len(values) == 1 else values[0] - values[1]


def _left_out(metric: Metric, parts: Sequence[Any], totals: Sequence[Any]) -> np.ndarray:
    """The figure without each row in turn (jackknife): shape (rows,)."""
    import numpy as np

    count, width = parts[0].shape
    at_once = max(1, DRAWN_AT_ONCE // width)
    found = []
    for start in range(0, count, at_once):
        rows = [part[start : start + at_once] for part in parts]
        dense = [row if isinstance(row, np.ndarray) else row.toarray() for row in rows]
        with np.errstate(invalid="ignore", divide="ignore"):
            found.append(_less([metric.value(t - row) for t, row in zip(totals, dense, strict=True)]))
    return np.concatenate(found)


def swapped(metric: Metric, a: Any, b: Any, seed: int) -> float:
    """The permutation test of two models: in every row a fair coin decides which answer is whose."""
    import numpy as np

    generator = np.random.default_rng(seed)
    sum_a, sum_b, gained = a.sum(axis=0), b.sum(axis=0), b - a
    at_once = max(1, DRAWN_AT_ONCE // a.shape[0])
    gaps = []
    for start in range(0, SWAPS, at_once):
        coins = generator.integers(0, 2, size=(min(at_once, SWAPS - start), a.shape[0])).astype(np.float64)
        moved = coins @ gained
        gaps.append(np.abs(metric.value(sum_b - moved) - metric.value(sum_a + moved)))
    own = abs(float(metric.value(sum_b) - metric.value(sum_a)))
    return _share_as_far(np.concatenate(gaps), own)


def regrouped(metric: Metric, statistics: Any, inside: np.ndarray, seed: int) -> float:
    """The permutation test of two groups of rows: who belongs to which is drawn by chance."""
    import numpy as np

    whole, own = statistics.sum(axis=0), statistics[inside].sum(axis=0)
    gaps = [
        np.abs(metric.value(sums) - metric.value(whole - sums))
        for sums in (drawn @ statistics for drawn in _groups(int(inside.sum()), len(inside), seed))
    ]
    return _share_as_far(np.concatenate(gaps), abs(float(metric.value(own) - metric.value(whole - own))))


def _share_as_far(gaps: np.ndarray, own: float) -> float:
    """How often chance went further, and half of how often as far (mid-p); what was seen counts too: never 0."""
    further, as_far = (gaps > own + 1e-12).sum(), (abs(gaps - own) <= 1e-12).sum()
    return float((further + (as_far + 1) / 2) / (1 + gaps.size)) if own > 1e-12 else 1.0


def _groups(size: int, count: int, seed: int) -> Iterator[np.ndarray]:
    """Groups of `size` of `count` rows, drawn by chance: 1 for who is in, float64 of shape (groups, count)."""
    import numpy as np

    generator = np.random.default_rng(seed)
    at_once = max(1, DRAWN_AT_ONCE // count)
    for start in range(0, RESAMPLES, at_once):
        keys = generator.random((min(at_once, RESAMPLES - start), count))
        drawn = np.zeros(keys.shape)
        np.put_along_axis(drawn, keys.argpartition(size, axis=1)[:, :size], 1.0, axis=1)
        yield drawn


def _samples(count: int, seed: int) -> Iterator[np.ndarray]:
    """How often each sample draws each row: float64 of shape (samples, count), at most 16 MB at a time."""
    if count * RESAMPLES <= DRAWN_AT_ONCE:
        yield _all_samples(count, seed)
        return
    yield from _drawn(count, seed)


@lru_cache(maxsize=4)
def _all_samples(count: int, seed: int) -> np.ndarray:
    """Of sets so small that one array holds them: metrics, baselines and slices ask for the same ones again."""
    import numpy as np

    return np.concatenate(list(_drawn(count, seed)))


def _drawn(count: int, seed: int) -> Iterator[np.ndarray]:
    import numpy as np

    generator = np.random.default_rng(seed)
    at_once = max(1, DRAWN_AT_ONCE // count)
    for start in range(0, RESAMPLES, at_once):
        size = min(at_once, RESAMPLES - start)
        drawn = generator.integers(0, count, size=(size, count), dtype=np.int32).astype(np.int64)
        drawn += np.arange(size)[:, None] * count
        yield np.bincount(drawn.ravel(), minlength=size * count).reshape(size, count).astype(np.float64)
