"""What the numbers say, in plain language: was it worth it, is it better, is it good enough.

Every answer is yes, no or cannot tell, with its reason; what was not measured is never a yes.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Literal, NamedTuple

from nlp_skills.evaluation.against_baselines import (
    Against,
    against_baselines,
    hardest_to_beat,
    is_higher_better,
)
from nlp_skills.evaluation.figures import show_change, show_interval, show_p, show_signed
from nlp_skills.evaluation.metrics import METRICS
from nlp_skills.evaluation.paired_answers import TOO_FEW
from nlp_skills.evaluation.results import EvalResult
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
    found = against_baselines(result, metric)
    if not found:
        own = show_interval(result.metrics[metric])
        return Statement(
            question,
            "cannot tell",
            f"Cannot tell whether {version} was worth it.",
            f"It reaches {metric_name(metric)} {own}, but nothing that needs no fine-tuning was measured beside it.",
        )
    if result.sane is not None and result.sane.verdict == "harness error":
        return Statement(
            question,
            "cannot tell",
            f"Cannot tell: {version} was not measured soundly.",
            f"Harness error, which says nothing about the model. {result.sane.reason}",
        )
    return Statement(question, *_against(version, metric, result, found))


def _against(
    version: str, metric: str, result: EvalResult, found: Sequence[Against]
) -> tuple[Answer, str, str]:
    """The answer against what is hardest to beat, its headline, and why."""
    rival = hardest_to_beat(found)
    gain, words, count = rival.gain, baseline_name(rival.baseline), result.count
    missing = _not_measured(metric, result, [one.baseline for one in found])
    own, other = (
        show_interval(scores[metric]) for scores in (result.metrics, result.baseline[rival.baseline].metrics)
    )
    numbers = f"{capitalize(metric_name(metric))}: {version} {own}, {words} {other}; the difference is {show_signed(gain)}, on {count:,} test rows."
    gap = f" Not measured: {', '.join(missing)}." if missing else ""
    tested = ""
    if rival.p_value is not None:
        tested = f" Paired test, corrected for {len(found)} baselines: {show_p(rival.p_value)}."
    unsure = f"Cannot tell whether {version} beats {words}."
    if count < TOO_FEW:
        return "cannot tell", unsure, f"{numbers} Fewer than {TOO_FEW} test rows decide nothing.{gap}"
    if rival.verdict == "better":
        scope = "everything that was measured and needs no" if missing else "everything that needs no"
        return "yes", f"{version} beats {scope} fine-tuning.", numbers + tested + gap
    if rival.verdict == "worse":
        return "no", f"{capitalize(words)} does better than {version}.", numbers + tested + gap
    if gain.value <= 0:
        sure = " Even so, the interval leaves room for a small gain." if gain.high > 0 else ""
        as_good = f"{capitalize(words)} does as well: you do not need to fine-tune."
        return "no", _AS_GOOD.get(rival.baseline, as_good), numbers + sure + gap
    may_be = tested or " The interval includes zero."
    return (
        "cannot tell",
        unsure,
        f"{numbers}{may_be} So the gain may be chance; until more test rows decide it, "
        f"the simpler one is the safer choice.{gap}",
    )


def _not_measured(metric: str, result: EvalResult, measured: Collection[str]) -> list[str]:
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
    unsure = "Cannot tell whether the target is reached."
    numbers = f"{capitalize(metric_name(metric))} is {show_interval(own)}."
    if result.count < TOO_FEW:
        few = f"{numbers} Fewer than {TOO_FEW} test rows decide nothing."
        return Statement(question, "cannot tell", unsure, few)
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
        unsure,
        f"{numbers} The value is {side} the target, and the interval has it on both sides.",
    )


def metric_name(metric: str) -> str:
    """`macro_f1` as people write it, and `latency_p95_ms`."""
    return METRICS[metric].words if metric in METRICS else _MEASURES.get(metric, metric.replace("_", " "))


def baseline_name(name: str) -> str:
    """A baseline of results.json in words."""
    return BASELINES.get(name, name.replace("_", " "))


def capitalize(text: str) -> str:
    """The first letter large, the others as they are."""
    return text[:1].upper() + text[1:]
