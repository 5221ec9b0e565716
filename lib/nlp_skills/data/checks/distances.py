"""How far apart two distributions are, and whether chance alone could have done it; plain Python.

A distribution is counted: kind or value → rows.
"""

from __future__ import annotations

import math
from collections.abc import Mapping


def stability(old: Mapping[str, int], new: Mapping[str, int]) -> float:
    """The population stability index of two sets of counts; 0: the same shares.

    Half a row is added to each kind that one of them lacks, so that the logarithm is finite.
    """
    kinds = sorted({*old, *new})
    p = _smoothed([old.get(kind, 0) for kind in kinds])
    q = _smoothed([new.get(kind, 0) for kind in kinds])
    return sum((b - a) * math.log(b / a) for a, b in zip(p, q, strict=True))


def _smoothed(counts: list[int]) -> list[float]:
    raised = [count or 0.5 for count in counts]
    return [count / sum(raised) for count in raised]


def chi_squared(old: Mapping[str, int], new: Mapping[str, int]) -> float:
    """The probability that two samples of one population differ as much: Pearson's χ² test of homogeneity.

    Kinds of which fewer than five rows are expected in either are counted together (Cochran, The χ² Test of
    Goodness of Fit, Annals of Mathematical Statistics 23, 1952). 1 where that leaves a single kind.
    """
    totals = sum(old.values()), sum(new.values())
    if not all(totals):
        return 1.0
    table, rare = [], [0, 0]
    smaller = min(totals) / sum(totals)
    for kind in sorted({*old, *new}):
        pair = [old.get(kind, 0), new.get(kind, 0)]
        if sum(pair) * smaller >= 5:
            table.append(pair)
        else:
            rare = [rare[0] + pair[0], rare[1] + pair[1]]
    if sum(rare) * smaller >= 5 or (sum(rare) and not table):
        table.append(rare)
    elif sum(rare):
        table[-1] = [table[-1][0] + rare[0], table[-1][1] + rare[1]]
    if len(table) < 2:
        return 1.0
    statistic = 0.0
    for pair in table:
        for seen, total in zip(pair, totals, strict=True):
            expected = sum(pair) * total / sum(totals)
            statistic += (seen - expected) ** 2 / expected
    return chi_squared_tail(statistic, len(table) - 1)


def chi_squared_tail(statistic: float, freedom: int) -> float:
    """P(χ² ≥ statistic): the regularised upper incomplete gamma function Q(freedom / 2, statistic / 2).

    By its series below a + 1 and by Lentz's continued fraction above (Press et al., Numerical Recipes,
    3rd edition, section 6.2).
    """
    a, x = freedom / 2, statistic / 2
    if x <= 0:
        return 1.0
    front = math.exp(a * math.log(x) - x - math.lgamma(a))
    return 1.0 - front * _series(a, x) if x < a + 1 else front * _fraction(a, x)


def _series(a: float, x: float) -> float:
    term = total = 1 / a
    while abs(term) > abs(total) * 1e-15:
        a += 1
        term *= x / a
        total += term
    return total


def _fraction(a: float, x: float) -> float:
    tiny = 1e-300
    b = x + 1 - a
    c, d = 1 / tiny, 1 / b
    value = d
    for i in range(1, 10_000):
        factor = -i * (i - a)
        b += 2
        d = 1 / (factor * d + b or tiny)
        c = b + factor / c or tiny
        value *= d * c
        if abs(d * c - 1) < 1e-15:
            break
    return value


def kolmogorov_smirnov(old: Mapping[int, int], new: Mapping[int, int]) -> float:
    """The probability that two samples of one population lie as far apart, from counted values.

    2 Σ (-1)^(k-1) e^(-2 k² λ²) with λ = D √(nm / (n + m)), D the greatest distance of the two distribution
    functions (Smirnov, Table for Estimating the Goodness of Fit, Annals of Mathematical Statistics 19, 1948).
    """
    n, m = sum(old.values()), sum(new.values())
    if not n or not m:
        return 1.0
    below_old = below_new = 0
    distance = 0.0
    for value in sorted({*old, *new}):
        below_old += old.get(value, 0)
        below_new += new.get(value, 0)
        distance = max(distance, abs(below_old / n - below_new / m))
    reach = distance * math.sqrt(n * m / (n + m))
    if reach < 0.2:  # where the series no longer converges it is 1 to twelve digits
        return 1.0
    terms = ((-1) ** (k - 1) * math.exp(-2 * k * k * reach * reach) for k in range(1, 101))
    return min(1.0, max(0.0, 2 * sum(terms)))
