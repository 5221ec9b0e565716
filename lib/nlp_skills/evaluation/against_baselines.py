"""A model beside each thing that needs no fine-tuning: better, worse, or cannot tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple

from nlp_skills.evaluation.metrics import METRICS
from nlp_skills.evaluation.paired_answers import TOO_FEW
from nlp_skills.evaluation.results import EvalResult, Interval
from nlp_skills.evaluation.significance import SIGNIFICANT

BesideBaseline = Literal["better", "worse", "cannot tell"]


class Against(NamedTuple):
    """The model against one baseline."""

    baseline: str
    """Its name in results.json."""
    verdict: BesideBaseline
    gain: Interval
    """How much better the model is, in the metric's unit, with a 95 % interval; above 0 is better whatever the metric."""
    p_value: float | None
    """Of the paired test, corrected for the number of baselines; None where the metric was not the one that decided
    when the model was tested."""


def against_baselines(result: EvalResult, metric: str) -> list[Against]:
    """Each baseline for which the metric was measured, in the order of results.json."""
    own = result.metrics.get(metric)
    found = []
    for name, score in result.baseline.items():
        rival = score.metrics.get(metric)
        if own is None or rival is None:
            continue
        gain, p_value = score.gain, score.p_value
        if gain is None or result.metric not in (None, metric):  # gain and p-value are of another metric
            higher, p_value = is_higher_better(metric), None
            gain = unpaired_difference(own, rival) if higher else unpaired_difference(rival, own)
        found.append(Against(name, _verdict(gain, p_value, result.count), gain, p_value))
    return found


def hardest_to_beat(found: Sequence[Against]) -> Against:
    """The strongest baseline; where that is beaten and another one is not, the strongest of those that are not."""
    return min(found, key=lambda one: (one.verdict == "better", one.gain.value))


def is_higher_better(metric: str) -> bool:
    """Whether more of it is better."""
    return metric not in METRICS or METRICS[metric].higher_is_better


def unpaired_difference(a: Interval, b: Interval) -> Interval:
    """`a - b` with a 95 % interval from the two intervals alone (MOVER: Zou and Donner 2008, Stat. Med. 27:1693).

    It takes the two as independent. Both were tested on the same rows, where they tend to be wrong
    together, so the interval is rather too wide than too narrow.
    """
    gain = a.value - b.value
    below = math.hypot(a.value - a.low, b.high - b.value)
    above = math.hypot(a.high - a.value, b.value - b.low)
    return Interval(value=gain, low=gain - below, high=gain + above)


def _verdict(gain: Interval, p_value: float | None, rows: int) -> BesideBaseline:
    """As compare_versions decides: by the test where there is one, by the interval elsewhere, on rows enough."""
    is_real = gain.low > 0 or gain.high < 0 if p_value is None else p_value < SIGNIFICANT
    if rows < TOO_FEW or not is_real or gain.value == 0:
        return "cannot tell"
    return "better" if gain.value > 0 else "worse"
