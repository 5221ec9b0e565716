"""What holds at a place of a template, and what names stand for there besides values."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from nlp_skills.deployment.go_template.formulas import learned
from nlp_skills.deployment.go_template.values import Formula, Is, Items


@dataclass(frozen=True)
class Space:
    """A namespace(); what it holds is in the state."""

    number: int


class Function:
    """A function that transformers gives to the template."""


@dataclass(frozen=True)
class Loop:
    """The `loop` of a range over something of the request."""

    over: Items
    index: str


@dataclass(frozen=True)
class Macro:
    """A macro of the template."""

    node: Any


@dataclass
class State:
    """What holds at a place of the template."""

    names: dict[str, Any]
    kept: dict[tuple[int, str], Any] = field(default_factory=dict)
    """What namespaces hold."""
    facts: dict[Is, bool] = field(default_factory=dict)

    def branch(self, condition: Formula, holds: bool) -> State:
        """The same, where the condition holds, or does not."""
        return State(dict(self.names), dict(self.kept), {**self.facts, **dict(learned(condition, holds))})
