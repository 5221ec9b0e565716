"""What the numbers say, in plain language: was it worth it, is it better, is it good enough.

Every answer is yes, no or cannot tell, with its reason; what was not measured is never a yes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

from nlp_skills.evaluation.compare import TOO_FEW
from nlp_skills.evaluation.figures import show_change, show_interval, show_p, show_signed
from nlp_skills.evaluation.metrics import METRICS
from nlp_skills.evaluation.results import EvalResult, Interval
from nlp_skills.evaluation.significance import SIGNIFICANT
from nlp_skills.evaluation.slices import show_slice, weak_slices, worse_slices
from nlp_skills.task.comparison import Comparison

BASELINES = {
    "majority": "the most frequent answer",
    "tfidf": "TF-IDF",
    "prompted_base": "the base model with a prompt",
    "few_shot": "the base model with solved rows",
    "endpoint": "the endpoint",
    "longer_answer": "always the longer answer",
}
"""What needs no fine-tuning, by its name in results.json, as words."""

ALWAYS = ("majority", "tfidf", "prompted_base")
"""Baselines that are missed where they were not measured; the others where results.json says that they were left out."""

ONE_BASELINE = ("bits_per_byte", "perplexity", "preference_accuracy")
"""Metrics that only a language model can be judged by."""

_AS_GOOD = {
    "majority": "Always giving the most frequent answer does as well: the model has learned nothing useful.",
    "tfidf": "TF-IDF does as well: you do not need a language model.",
    "prompted_base": "The base model with a prompt does as well: you do not need to fine-tune.",
    "few_shot": "The base model with solved rows does as well: you do not need to fine-tune.",
    "endpoint": "The endpoint does as well: weigh its price and where your data goes.",
}

_MEASURES = {
    "latency_p50_ms": "median latency in ms",
    "latency_p95_ms": "p95 latency in ms",
    "latency_p99_ms": "p99 latency in ms",
    "memory_gb": "memory in GB",
    "memory_mb": "memory in MB",
    "train_seconds": "training time in s",
    "usd": "cost in USD",
}

Answer = Literal["yes", "no", "cannot tell"]


class Statement(NamedTuple):
    """One question, its answer, and why."""

    question: str
    answer: Answer
    headline: str
    reason: str


def worth_it(version: str, metric: str, result: EvalResult | None) -> Statement:
    """Does the version beat everything that needs no fine-tuning?"""
    question = "Is it better than what needs no fine-tuning?"
    if result is None or metric not in result.metrics:
        return Statement(
            question,
            "cannot tell",
            f"{version} has not been evaluated yet.",
            "Without a test nobody knows whether it is any good.",
        )
    own = result.metrics[metric]
    measured = {name: s.metrics[metric] for name, s in result.baseline.items() if metric in s.metrics}
    if not measured:
        return Statement(
            question,
            "cannot tell",
            f"Cannot tell whether {version} was worth it.",
            f"It reaches {metric_name(metric)} {show_interval(own)}, but nothing that needs no fine-tuning was measured beside it.",
        )
    if result.sane is not None and result.sane.verdict == "harness error":
        return Statement(
            question,
            "cannot tell",
            f"Cannot tell: {version} was not measured soundly.",
            f"Harness error, which says nothing about the model. {result.sane.reason}",
        )
    strongest = strongest_baseline(metric, result) or next(iter(measured))
    return _against(version, metric, result, strongest, measured)


def strongest_baseline(metric: str, result: EvalResult) -> str | None:
    """The name of the baseline that does best on the metric; None where none was measured."""
    sign = 1 if is_higher_better(metric) else -1
    measured = {n: sign * s.metrics[metric].value for n, s in result.baseline.items() if metric in s.metrics}
    return max(measured, key=lambda name: measured[name]) if measured else None


def is_higher_better(metric: str) -> bool:
    """Whether more of it is better."""
    return metric not in METRICS or METRICS[metric].higher_is_better


def _against(
    version: str, metric: str, result: EvalResult, strongest: str, measured: Mapping[str, Interval]
) -> Statement:
    question = "Is it better than what needs no fine-tuning?"
    own, rival, words = result.metrics[metric], measured[strongest], baseline_name(strongest)
    score, count = result.baseline[strongest], result.count
    higher = is_higher_better(metric)
    gain = score.gain or (difference(own, rival) if higher else difference(rival, own))
    missing = _not_measured(metric, result, measured)
    numbers = f"{capitalize(metric_name(metric))}: {version} {show_interval(own)}, {words} {show_interval(rival)}; the difference is {show_signed(gain)}, on {count:,} test rows."
    gap = f" Not measured: {', '.join(missing)}." if missing else ""
    p = score.p_value
    tested = f" Paired test, corrected for {len(measured)} baselines: {show_p(p)}." if p is not None else ""
    is_real = gain.low > 0 or gain.high < 0 if p is None else p < SIGNIFICANT
    if count < TOO_FEW:
        few = f" Fewer than {TOO_FEW} test rows decide nothing."
        return Statement(
            question, "cannot tell", f"Cannot tell whether {version} beats {words}.", numbers + few + gap
        )
    if is_real and gain.value > 0:
        scope = "everything that was measured and needs no" if missing else "everything that needs no"
        return Statement(question, "yes", f"{version} beats {scope} fine-tuning.", numbers + tested + gap)
    if is_real and gain.value < 0:
        return Statement(
            question, "no", f"{capitalize(words)} does better than {version}.", numbers + tested + gap
        )
    if gain.value <= 0:
        sure = " Even so, the interval leaves room for a small gain." if gain.high > 0 else ""
        as_good = _AS_GOOD.get(strongest, f"{capitalize(words)} does as well: you do not need to fine-tune.")
        return Statement(question, "no", as_good, numbers + sure + gap)
    may_be = tested or " The interval includes zero."
    return Statement(
        question,
        "cannot tell",
        f"Cannot tell whether {version} beats {words}.",
        f"{numbers}{may_be} So the gain may be chance; until more test rows decide it, "
        f"the simpler one is the safer choice.{gap}",
    )


def _not_measured(metric: str, result: EvalResult, measured: Mapping[str, Interval]) -> list[str]:
    always = ("prompted_base",) if metric in ONE_BASELINE else ALWAYS
    asked = [name for name in BASELINES if name in always or name in result.not_measured]
    return [baseline_name(name) for name in asked if name not in measured]


def keeps_knowledge(version: str, result: EvalResult | None) -> Statement | None:
    """Does it still know what the base model knew? None where that was not asked."""
    if result is None or result.forgetting is None:
        return None
    headlines: dict[str, tuple[Answer, str]] = {
        "kept": ("yes", f"{version} has kept what the base model knew."),
        "forgotten": ("no", f"{version} has forgotten what the base model knew."),
        "cannot tell": ("cannot tell", f"Cannot tell what {version} has forgotten."),
    }
    answer, headline = headlines[result.forgetting.verdict]
    return Statement("Has it kept its general knowledge?", answer, headline, result.forgetting.reason)


def good_everywhere(version: str, result: EvalResult | None) -> Statement | None:
    """Which kinds of rows it is weak on, or worse on than the prompted base model; None where none stands out.

    That none stands out is no proof that there is none: so there is no yes.
    """
    if result is None or result.slice_metric is None:
        return None
    higher = is_higher_better(result.slice_metric)
    worse = worse_slices(result.slices, higher_is_better=higher)
    weak = weak_slices(result.slices, higher_is_better=higher)
    if not worse and not weak:
        return None
    parts = []
    if worse:
        named = ", ".join(f"{s.name} ({show_change(s.gain.value, '.2f')})" for s in worse if s.gain)
        parts.append(f"Worse than the base model with a prompt: {named}.")
    if weak:
        named = ", ".join(show_slice(s.name, s.score) for s in weak)
        parts.append(f"Clearly below the other rows in {metric_name(result.slice_metric)}: {named}.")
    kinds = ", ".join(s.name for s in (worse or weak)[:3])
    return Statement(
        "Is it good on every kind of rows?",
        "no",
        f"{version} is weak on {kinds}.",
        f"{' '.join(parts)} Of {len(result.slices)} kinds of rows that were looked at; corrected for their number.",
    )


def better_than_parent(
    version: str, parent: str | None, metric: str, comparison: Comparison | str | None
) -> Statement | None:
    """Is the version better than the one it was made from? None for a first version.

    A string in the place of the comparison says why there is none.
    """
    if parent is None:
        return None
    question = f"Is it better than {parent}?"
    if comparison is None or isinstance(comparison, str):
        reason = comparison or f"{parent} and {version} have not both been evaluated."
        return Statement(question, "cannot tell", f"{version} was not compared with {parent}.", reason)
    headlines: dict[str, tuple[Answer, str]] = {
        "better": ("yes", f"{version} is better than {parent}."),
        "worse": ("no", f"{version} is worse than {parent}."),
        "cannot tell": ("cannot tell", f"Cannot tell whether {version} is better than {parent}."),
    }
    answer, headline = headlines[comparison.verdict]
    reason = comparison.reason.replace(metric, metric_name(metric))
    if comparison.p_value is not None and comparison.p_metric is None:
        reason += f" McNemar test: {show_p(comparison.p_value)}."
    return Statement(question, answer, headline, capitalize(reason))


def good_enough(
    version: str, metric: str, target: float | None, result: EvalResult | None
) -> Statement | None:
    """Does the version reach the target? None where the task has none."""
    if target is None:
        return None
    question = f"Does it reach the target of {target:g}?"
    if result is None or metric not in result.metrics:
        why = "has not been evaluated yet" if result is None else f"was not judged by {metric_name(metric)}"
        return Statement(question, "cannot tell", "The target has not been tested.", f"{version} {why}.")
    own, higher = result.metrics[metric], is_higher_better(metric)
    numbers = f"{capitalize(metric_name(metric))} is {show_interval(own)}."
    kept, missed = ("at or above", "below") if higher else ("at or below", "above")
    if own.low >= target if higher else own.high <= target:
        return Statement(
            question, "yes", "The target is reached.", f"{numbers} The whole interval is {kept} it."
        )
    if own.high < target if higher else own.low > target:
        return Statement(
            question, "no", "The target is not reached.", f"{numbers} The whole interval is {missed} it."
        )
    side = kept if (own.value >= target if higher else own.value <= target) else missed
    return Statement(
        question,
        "cannot tell",
        "Cannot tell whether the target is reached.",
        f"{numbers} The value is {side} the target, and the interval has it on both sides.",
    )


def difference(a: Interval, b: Interval) -> Interval:
    """`a - b` with a 95 % interval from the two intervals alone (MOVER: Zou and Donner 2008, Stat. Med. 27:1693).

    It takes the two as independent. Both were tested on the same rows, where they tend to be wrong
    together, so the interval is rather too wide than too narrow.
    """
    gain = a.value - b.value
    below = math.hypot(a.value - a.low, b.high - b.value)
    above = math.hypot(a.high - a.value, b.value - b.low)
    return Interval(value=gain, low=gain - below, high=gain + above)


def metric_name(metric: str) -> str:
    """`macro_f1` as people write it, and `latency_p95_ms`."""
    return METRICS[metric].words if metric in METRICS else _MEASURES.get(metric, metric.replace("_", " "))


def baseline_name(name: str) -> str:
    """A baseline of results.json in words."""
    return BASELINES.get(name, name.replace("_", " "))


def capitalize(text: str) -> str:
    """The first letter large, the others as they are."""
    return text[:1].upper() + text[1:]
