"""Two models in the same suites, row by row: McNemar's test for right and wrong, permutation of signs otherwise."""

from __future__ import annotations

from collections.abc import Sequence

from nlp_skills.errors import NotValid
from nlp_skills.evaluation.benchmarks.record import Sample, SuiteChange, SuiteScore
from nlp_skills.evaluation.resampling import RESAMPLES, SWAPS
from nlp_skills.evaluation.results import Interval
from nlp_skills.evaluation.significance import LEVEL, bonett_price, holm, mcnemar


def changes(
    before: Sequence[Sample], after: Sequence[Sample], scores: Sequence[SuiteScore], seed: int
) -> list[SuiteChange]:
    """Every metric that both models have on every row. Raises NotValid where the rows are not the same."""
    found = []
    for score in scores:
        of_a, of_b = _values(before, score), _values(after, score)
        if not of_b:  # a metric over the whole suite, or a group
            continue
        if of_a.keys() != of_b.keys():
            raise NotValid(
                f"{score.suite} was asked of other rows before: its data have changed since. Measure the other model again,"
                " then compare."
            )
        found.append(_change(score, [of_a[doc] for doc in of_b], list(of_b.values()), seed))
    corrected = holm([one.p_value for one in found])
    return [one.with_changes(p_value=p) for one, p in zip(found, corrected, strict=True)]


def _values(samples: Sequence[Sample], score: SuiteScore) -> dict[tuple[int, str], float]:
    return {
        (row.doc, row.prompt): row.metrics[score.metric]
        for row in samples
        if row.suite == score.suite and row.filter == score.filter and score.metric in row.metrics
    }


def _change(score: SuiteScore, a: list[float], b: list[float], seed: int) -> SuiteChange:
    if {*a, *b} <= {0.0, 1.0}:
        fixed = sum(x < y for x, y in zip(a, b, strict=True))
        broken = sum(x > y for x, y in zip(a, b, strict=True))
        change, p = bonett_price(fixed, broken, len(a)), mcnemar(fixed, broken)
    else:
        change, p = _mean_change(a, b, seed)
    return SuiteChange(
        suite=score.suite,
        metric=score.metric,
        filter=score.filter,
        count=len(a),
        before=sum(a) / len(a),
        after=sum(b) / len(b),
        change=change,
        p_value=p,
    )


def _mean_change(a: list[float], b: list[float], seed: int) -> tuple[Interval, float]:
    """The mean difference with its bootstrap interval (BCa), and the p-value of signs drawn at random."""
    import numpy as np
    from scipy.stats import bootstrap

    gaps = np.array(b) - np.array(a)
    mean = float(gaps.mean())
    if np.ptp(gaps) == 0:
        return Interval(value=mean, low=mean, high=mean), 1.0 if mean == 0 else 2.0 ** (1 - len(gaps))
    rng = np.random.default_rng(seed)
    ends = bootstrap(
        (gaps,), np.mean, n_resamples=RESAMPLES, confidence_level=LEVEL, rng=rng
    ).confidence_interval
    drawn = np.array([abs((gaps * rng.choice((-1, 1), len(gaps))).mean()) for _ in range(SWAPS)])
    p = (1 + int((drawn >= abs(mean) - 1e-12).sum())) / (1 + SWAPS)
    return Interval(value=mean, low=float(ends.low), high=float(ends.high)), p
