"""A model beside each thing that needs no fine-tuning: better, worse, or cannot tell."""

from __future__ import annotations

from typing import Literal, NamedTuple

from nlp_skills.evaluation.compare import TOO_FEW
from nlp_skills.evaluation.results import EvalResult, Interval
from nlp_skills.evaluation.significance import SIGNIFICANT
from nlp_skills.evaluation.verdict import difference, is_higher_better

BesideBaseline = Literal["better", "worse", "cannot tell"]


class Against(NamedTuple):
    """The model against one baseline."""

    baseline: str
    """Its name in results.json."""
    verdict: BesideBaseline
    gain: Interval
    """How much better the model is, in the metric's unit, with a 95 % interval; above 0 is better whatever the metric."""
    p_value: float | None
    """Of the paired test, corrected for the number of baselines; None in older results."""


def against_baselines(result: EvalResult, metric: str) -> list[Against]:
    """Each baseline for which the metric was measured, in the order of results.json."""
    own = result.metrics.get(metric)
    found = []
    for name, score in result.baseline.items():
        rival = score.metrics.get(metric)
        if own is None or rival is None:
            continue
        apart = difference(own, rival) if is_higher_better(metric) else difference(rival, own)
        gain = score.gain or apart
        found.append(Against(name, _verdict(gain, score.p_value, result.count), gain, score.p_value))
    return found


def _verdict(gain: Interval, p_value: float | None, rows: int) -> BesideBaseline:
    """As compare_versions decides: by the test where there is one, by the interval elsewhere, on rows enough."""
    is_real = gain.low > 0 or gain.high < 0 if p_value is None else p_value < SIGNIFICANT
    if rows < TOO_FEW or not is_real or gain.value == 0:
        return "cannot tell"
    return "better" if gain.value > 0 else "worse"
