"""Tests against chance: how often something as large would come by chance alone.

Looks make many tests at once (a pair of labels, a term, a label each); each divides its level by how many it has
made (Bonferroni), so that a clean run names nothing once in a hundred runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np

LEVEL = 0.01


def more_in_one(hits: int, rows: int, other_hits: int, other_rows: int) -> float:
    """Fisher's exact test, one-sided: the probability that the first group has as many hits, were both alike."""
    from scipy.stats import fisher_exact

    table = [[hits, rows - hits], [other_hits, other_rows - other_hits]]
    found: Any = fisher_exact(table, alternative="greater")
    return float(found.pvalue)


def more_than_expected(seen: int, expected: float) -> float:
    """The probability of `seen` or more where `expected` are the mean (Poisson)."""
    from scipy.stats import poisson

    return float(poisson.sf(seen - 1, max(expected, 1e-9)))


def higher(values: Sequence[float], others: Sequence[float]) -> tuple[float, float]:
    """Mann and Whitney's U (1947): the share of pairs in which a value is above one of the others, and the two-sided p."""
    from scipy.stats import mannwhitneyu

    found = mannwhitneyu(values, others, alternative="two-sided")
    return float(found.statistic) / (len(values) * len(others)), float(found.pvalue)


def overlaps_by_chance(shared: np.ndarray, groups: np.ndarray, marked: int, rows: int) -> np.ndarray:
    """The probability of `shared` or more marked rows in groups of these sizes, drawn from `rows` (hypergeometric)."""
    from scipy.stats import hypergeom

    return hypergeom.sf(shared - 1, rows, marked, groups)


def show_p(p: float) -> str:
    """`p = 0.004`, `p < 0.0001`."""
    return "p < 0.0001" if p < 1e-4 else f"p = {p:.2g}"
