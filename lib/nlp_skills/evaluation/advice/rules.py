"""The rules of `advise`: data in rules.yaml, and the one function that applies them.

A rule speaks only when all its facts are known, so every point has its evidence.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib.resources import files
from typing import Any, Literal, TypeAlias

import yaml
from pydantic import Field

from nlp_skills.records import Record

Verdict = Literal[
    "prompt",
    "retrieval",
    "simple classifier",
    "sft",
    "preference",
    "rl",
    "collect more data first",
    "cannot tell",
]
Value: TypeAlias = float | int | str


class Evidence(Record):
    """A figure and the file that it stands in."""

    figure: str
    value: Value
    file: str
    """Relative to the task folder."""


class Point(Record):
    """What one rule says, and from what."""

    rule: str
    verdict: Verdict
    says: str
    evidence: list[Evidence] = Field(min_length=1)


class Rule(Record):
    """One entry of rules.yaml."""

    id: str
    verdict: Verdict
    when: dict[str, dict[str, Any]] = Field(min_length=1)
    """Fact → one comparison, with a value or with the name of another fact."""
    says: str


COMPARISONS: dict[str, Callable[[Any, Any], bool]] = {
    "below": lambda value, limit: value < limit,
    "above": lambda value, limit: value > limit,
    "at_least": lambda value, limit: value >= limit,
    "at_most": lambda value, limit: value <= limit,
    "is": lambda value, wanted: value == wanted,
    "one_of": lambda value, wanted: value in wanted,
    "is_set": lambda value, wanted: bool(value) == wanted,
}
"""What a rule can ask of a fact."""

WITH_FACTS = ("below", "above", "at_least", "at_most")
"""Comparisons whose limit may be another fact, by name."""

Facts: TypeAlias = Mapping[str, Evidence]


def load_rules() -> list[Rule]:
    """The rules in the order in which they decide."""
    text = files("nlp_skills.evaluation.advice").joinpath("rules.yaml").read_text(encoding="utf-8")
    return [Rule.parse(rule, "advice/rules.yaml") for rule in yaml.safe_load(text)]


def apply_rules(rules: Sequence[Rule], facts: Facts) -> list[Point]:
    """What the rules say about these facts, in their order; rules whose facts are not known are silent."""
    return [point for rule in rules if (point := _speak(rule, facts)) is not None]


def facts_of(rule: Rule) -> list[str]:
    """The facts that a rule needs, those it compares with included."""
    limits = [
        limit
        for asked in rule.when.values()
        for comparison, limit in asked.items()
        if comparison in WITH_FACTS and isinstance(limit, str)
    ]
    return list(dict.fromkeys([*rule.when, *limits]))


def _speak(rule: Rule, facts: Facts) -> Point | None:
    needed = facts_of(rule)
    if any(name not in facts for name in needed):
        return None
    for name, asked in rule.when.items():
        for comparison, limit in asked.items():
            known = comparison in WITH_FACTS and isinstance(limit, str)
            against = facts[limit].value if known else limit
            if not COMPARISONS[comparison](facts[name].value, against):
                return None
    evidence = [facts[name] for name in needed]
    shown = {name: show(facts[name].value, name) for name in needed}
    return Point(rule=rule.id, verdict=rule.verdict, says=rule.says.format(**shown), evidence=evidence)


def show(value: Value, name: str) -> str:
    """A figure as a sentence has it: shares in percent."""
    if name.endswith("_share") and not isinstance(value, str):
        return f"{value * 100:.0f} %"
    return f"{value:.3g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value
