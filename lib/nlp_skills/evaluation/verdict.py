"""What the numbers say, in plain language: was it worth it, is it better, is it good enough.

Every answer is yes, no or cannot tell, with its reason; what was not measured is never a yes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal, NamedTuple

from nlp_skills.evaluation.compare import TOO_FEW
from nlp_skills.evaluation.results import EvalResult, Interval
from nlp_skills.task.comparison import Comparison
from nlp_skills.task.task import Task

BASELINES = {
    "majority": "the most frequent answer",
    "tfidf": "TF-IDF",
    "prompted_base": "the base model with a prompt",
}
"""What needs no fine-tuning, by its name in results.json, as words."""

METRIC_NAMES = {
    "macro_f1": "macro F1",
    "token_f1": "token F1",
    "exact_match": "exact match",
}

_AS_GOOD = {
    "majority": "Always giving the most frequent answer does as well: the model has learned nothing useful.",
    "tfidf": "TF-IDF does as well: you do not need a language model.",
    "prompted_base": "The base model with a prompt does as well: you do not need to fine-tune.",
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
    strongest = max(measured, key=lambda name: measured[name].value)
    gain = result.baseline[strongest].gain or difference(own, measured[strongest])
    return _against(version, metric, own, gain, strongest, measured, result.count)


def _against(
    version: str,
    metric: str,
    own: Interval,
    gain: Interval,
    strongest: str,
    measured: Mapping[str, Interval],
    count: int,
) -> Statement:
    question = "Is it better than what needs no fine-tuning?"
    rival, words = measured[strongest], baseline_name(strongest)
    missing = [baseline_name(name) for name in BASELINES if name not in measured]
    numbers = f"{capitalize(metric_name(metric))}: {version} {show_interval(own)}, {words} {show_interval(rival)}; the difference is {show_signed(gain)}, on {count:,} test rows."
    gap = f" Not measured: {', '.join(missing)}." if missing else ""
    if count < TOO_FEW:
        few = f" Fewer than {TOO_FEW} test rows decide nothing."
        return Statement(
            question, "cannot tell", f"Cannot tell whether {version} beats {words}.", numbers + few + gap
        )
    if gain.low > 0:
        scope = "everything that was measured and needs no" if missing else "everything that needs no"
        return Statement(question, "yes", f"{version} beats {scope} fine-tuning.", numbers + gap)
    if gain.high < 0:
        return Statement(question, "no", f"{capitalize(words)} does better than {version}.", numbers + gap)
    if own.value <= rival.value:
        sure = " Even so, the interval leaves room for a small gain." if gain.high > 0 else ""
        as_good = _AS_GOOD.get(strongest, f"{words} does as well: you do not need to fine-tune.")
        return Statement(question, "no", as_good, numbers + sure + gap)
    return Statement(
        question,
        "cannot tell",
        f"Cannot tell whether {version} beats {words}.",
        f"{numbers} The interval includes zero, so the gain may be chance; until more test rows decide it, "
        f"the simpler one is the safer choice.{gap}",
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
    if comparison.p_value is not None:
        reason += f" McNemar test: {show_p(comparison.p_value)}."
    return Statement(question, answer, headline, capitalize(reason))


def good_enough(version: str, task: Task, result: EvalResult | None) -> Statement | None:
    """Does the version reach the task's target? None where the task has no target."""
    if task.target is None:
        return None
    question = f"Does it reach the target of {task.target:g}?"
    metric = task.chosen_metric
    if result is None or metric not in result.metrics:
        return Statement(
            question,
            "cannot tell",
            "The target has not been tested.",
            f"{version} has not been evaluated yet.",
        )
    own = result.metrics[metric]
    numbers = f"{capitalize(metric_name(metric))} is {show_interval(own)}."
    if own.low >= task.target:
        return Statement(
            question, "yes", "The target is reached.", f"{numbers} The whole interval is at or above it."
        )
    if own.high < task.target:
        return Statement(
            question, "no", "The target is not reached.", f"{numbers} The whole interval is below it."
        )
    side = "at or above" if own.value >= task.target else "below"
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
    """`macro_f1` as people write it."""
    return METRIC_NAMES.get(metric, metric.replace("_", " "))


def baseline_name(name: str) -> str:
    """A baseline of results.json in words."""
    return BASELINES.get(name, name.replace("_", " "))


def capitalize(text: str) -> str:
    """The first letter large, the others as they are."""
    return text[:1].upper() + text[1:]


def show_interval(interval: Interval) -> str:
    """`0.871 (0.820 to 0.914)`."""
    return f"{interval.value:.3f} ({interval.low:.3f} to {interval.high:.3f})"


def show_signed(interval: Interval) -> str:
    """`+0.043 (95 % interval −0.002 to +0.088)`."""
    return f"{_signed(interval.value)} (95 % interval {_signed(interval.low)} to {_signed(interval.high)})"


def show_p(p: float) -> str:
    """`p = 0.012`, never `p = 0.000`."""
    return "p < 0.001" if p < 0.001 else f"p = {p:.3f}"


def _signed(value: float) -> str:
    text = f"{value:+.3f}"
    return "0.000" if float(text) == 0 else text.replace("-", "\N{MINUS SIGN}")
