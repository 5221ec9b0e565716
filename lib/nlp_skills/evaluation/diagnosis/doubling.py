"""What more rows would bring, from three points of a learning curve whose rows double.

Learning curves follow a power law, error(n) = a + b n^-c (Hestness et al. 2017, "Deep Learning Scaling is
Predictable, Empirically", arXiv:1712.00409). Over doublings its gains are a geometric series with the ratio
2^-c: two of them give the law without a search, and the next gain with it.

    25 % ── gain 1 ── 50 % ── gain 2 ── 100 % ── gain 2 · (gain 2 / gain 1) ── 200 %
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Literal

from nlp_skills.evaluation.figures import show_change, show_signed
from nlp_skills.evaluation.results import Interval
from nlp_skills.records import Record

Verdict = Literal["more rows help", "more rows do not help", "cannot tell"]

WORTH_IT = 0.01
"""A gain that is worth twice the rows."""


class Forecast(Record):
    """What the curve says."""

    verdict: Verdict
    reason: str
    gain: Interval
    """Of the last doubling, 50 % to 100 % of the rows; paired over the validation rows."""
    at_double: float | None = None
    """The value that twice the rows are expected to bring; None where the points follow no such law."""
    limit: float | None = None
    """The value that no number of such rows would pass; None where the curve does not bend yet."""


def forecast_doubling(values: Sequence[float], gain: Interval, *, higher_is_better: bool = True) -> Forecast:
    """From the values at 25, 50 and 100 % and the interval of the last doubling's gain (positive: better)."""
    sign = 1.0 if higher_is_better else -1.0
    first, second = (sign * (b - a) for a, b in pairwise(values))
    at_double = limit = None
    if first > 0 and second > 0:
        # A ratio of one or more has not bent yet: the next gain is no larger than the last one.
        ratio = min(1.0, second / first)
        at_double = values[-1] + sign * second * ratio
        limit = values[-1] + sign * second * ratio / (1 - ratio) if ratio < 1 else None
    verdict, reason = _verdict(gain)
    return Forecast(
        verdict=verdict,
        reason=reason,
        gain=gain,
        at_double=None if at_double is None else round(_possible(at_double), 4),
        limit=None if limit is None else round(_possible(limit), 4),
    )


def _possible(value: float) -> float:
    """Metrics are shares; a loss is not below 0."""
    return min(1.0, max(0.0, value)) if value <= 1.5 else value


def _verdict(gain: Interval) -> tuple[Verdict, str]:
    told = f"The last doubling of the rows brought {show_signed(gain)}"
    if gain.low > 0:
        return "more rows help", f"{told}: the whole interval lies above zero."
    if gain.high < WORTH_IT:
        return (
            "more rows do not help",
            f"{told}: at most {show_change(gain.high)}, which is not worth twice the rows.",
        )
    return "cannot tell", f"{told}: chance may explain it; more validation rows would tell."
