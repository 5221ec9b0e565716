"""A value as Go's template language says it."""

from __future__ import annotations

from typing import Any

from nlp_skills.deployment.go_template.go_words import argument, quoted
from nlp_skills.deployment.go_template.values import (
    UNDEFINED,
    All,
    Any_,
    Choice,
    Equal,
    Formula,
    Is,
    Items,
    Node,
    Not,
    NotTranslatable,
    Number,
    Out,
    Set,
    Text,
    Thing,
    When,
)


def as_go(value: Any) -> str:
    """One Go expression. Raises NotTranslatable where there is none."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, str):
        return quoted(value)
    if value is None or value is UNDEFINED:
        return '""'
    if isinstance(value, Number | Thing | Is):
        return value.go
    if isinstance(value, Items) and not value.backwards:
        return value.go
    if isinstance(value, Text) and all(
        isinstance(n, str) or (isinstance(n, Out) and not n.by) for n in value.nodes
    ):
        parts = [
            quoted(n) if isinstance(n, str) else argument(n.go)
            for n in value.nodes
            if isinstance(n, str | Out)
        ]
        return parts[0] if len(parts) == 1 else "print " + " ".join(parts)
    if isinstance(value, Not | All | Any_):
        return condition(value)
    raise NotTranslatable("it keeps a text from one turn to the next that Go cannot put together")


def condition(formula: Formula) -> str:
    """A formula as Go writes it."""
    if isinstance(formula, bool):
        return "true" if formula else "false"
    if isinstance(formula, Is):
        return formula.go
    if isinstance(formula, Not):
        if isinstance(formula.part, Equal):
            return "ne" + formula.part.go[2:]
        return f"not {argument(condition(formula.part))}"
    word = "and" if isinstance(formula, All) else "or"
    return f"{word} " + " ".join(argument(condition(part)) for part in formula.parts)


def assign(name: str, value: Any) -> tuple[Node, ...]:
    """The output that gives a variable its value."""
    if isinstance(value, Choice):
        return (When(value.condition, assign(name, value.then), assign(name, value.otherwise)),)
    if isinstance(value, Text) and any(isinstance(node, When) for node in value.nodes):
        place = next(i for i, node in enumerate(value.nodes) if isinstance(node, When))
        node = value.nodes[place]
        assert isinstance(node, When)
        before, after = value.nodes[:place], value.nodes[place + 1 :]
        then, otherwise = (assign(name, Text((*before, *b, *after))) for b in (node.then, node.otherwise))
        return (When(node.condition, then, otherwise),)
    if isinstance(value, Not | All | Any_):
        return (When(value, (Set(name, "true"),), (Set(name, "false"),)),)
    if isinstance(value, Is):  # a list or text that is not empty is not yet `true`
        return (When(value, (Set(name, "true"),), (Set(name, "false"),)),)
    return (Set(name, as_go(value)),)
