"""Whether a value is true, what it equals, of which kind it is."""

from __future__ import annotations

from typing import Any

from nlp_skills.deployment.go_template.formulas import either, every, negate, some
from nlp_skills.deployment.go_template.go_values import as_go
from nlp_skills.deployment.go_template.go_words import argument, quoted
from nlp_skills.deployment.go_template.values import (
    FORMULAS,
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
    Text,
    Thing,
    When,
)


def truth(value: Any) -> Formula:
    """Whether Jinja takes the value as true."""
    if isinstance(value, Choice):
        return either(value.condition, truth(value.then), truth(value.otherwise))
    if isinstance(value, FORMULAS):
        return value
    if isinstance(value, Text):
        said = any(isinstance(node, str) and node for node in value.nodes)
        return said or some(*(_writes(node) for node in value.nodes))
    if isinstance(value, Items | Number):
        return Is(value.go)
    if isinstance(value, Thing):
        return Is(value.go) if value.kind == "any" else True
    return False if value is UNDEFINED else bool(value)


def _writes(node: Node) -> Formula:
    """Whether a piece of output is not empty."""
    if isinstance(node, str):
        return bool(node)
    if isinstance(node, Out):
        return Is(node.go) if not node.by or "strip" in node.by or node.by == "trim" else True
    if isinstance(node, When):
        return either(
            node.condition,
            some(*map(_writes, node.then)),
            some(*map(_writes, node.otherwise)),
        )
    raise NotTranslatable("it asks whether a text made in a loop is empty")


def equal(first: Any, second: Any) -> Formula:
    """Whether two values are equal."""
    if isinstance(first, Choice):
        return either(first.condition, equal(first.then, second), equal(first.otherwise, second))
    if isinstance(second, Choice) or is_known(first):
        return _equal_known(second, first) if not isinstance(second, Choice) else equal(second, first)
    return _equal_known(first, second)


def is_known(value: Any) -> bool:
    return not isinstance(value, Text | Items | Number | Thing | Is | Not | All | Any_)


def _equal_known(value: Any, other: Any) -> Formula:
    """Equality of which the second is known, if one is."""
    if is_known(value):
        return value is other or (value is not UNDEFINED and other is not UNDEFINED and value == other)
    if isinstance(value, FORMULAS) and isinstance(other, FORMULAS):
        return either(value, other, negate(other))
    if isinstance(value, Text) and isinstance(other, str):
        return _text_is(value, other)
    if isinstance(value, Number) and isinstance(other, int) and not isinstance(other, bool):
        return Is(f"eq {argument(value.go)} {other}") if other >= 0 else False
    if isinstance(value, Number) and isinstance(other, Number):
        return Is(f"eq {argument(value.go)} {argument(other.go)}")
    if isinstance(value, Text) and isinstance(other, Text):
        return Is(f"eq {argument(as_go(value))} {argument(as_go(other))}")
    if isinstance(value, Thing) and isinstance(other, Thing) and value.kind == other.kind == "message":
        return every(
            *(
                Is(f"eq {argument(value.go)}.{name} {argument(other.go)}.{name}")
                for name in ("Role", "Content")
            )
        )
    if is_known(other) and not (isinstance(value, Thing) and value.kind == "any"):
        return False  # a list, a number or a text is never none, false or of another type
    raise NotTranslatable("it compares two values of the request")


def _text_is(value: Text, other: str) -> Formula:
    if not value.nodes:
        return other == ""
    (node, *rest) = value.nodes
    if isinstance(node, str) and other.startswith(node):
        return _text_is(Text(tuple(rest)), other[len(node) :])
    if isinstance(node, str):
        return False
    if isinstance(node, When):
        then, otherwise = (Text((*branch, *rest)) for branch in (node.then, node.otherwise))
        return either(node.condition, _text_is(then, other), _text_is(otherwise, other))
    if isinstance(node, Out) and not rest and (not node.by or not other):
        return Equal(f"eq {argument(node.go)} {quoted(other)}", node.go, other) if other else Not(Is(node.go))
    raise NotTranslatable(f"it compares a text that it has put together with {other!r}")


def any_is(name: str, go: str) -> Formula:
    kind = f'printf "%T" {argument(go)}'
    text = Is(f'eq ({kind}) "string"')
    mapping = Is(f'eq (printf "%.3s" ({kind})) "map"')
    sequence = Is(f'eq (printf "%.2s" ({kind})) "[]"')
    number = Is(f'eq ({kind}) "float64"')
    if name in ("iterable", "sequence"):
        return some(text, mapping, sequence)
    found = {
        "string": text,
        "mapping": mapping,
        "number": number,
        "integer": number,
        "none": Is(f'eq ({kind}) "<nil>"'),
    }
    if name == "boolean":
        return Is(f'eq ({kind}) "bool"')
    if name not in found:
        raise NotTranslatable(f"it asks whether an argument is {name}")
    return found[name]


def kind_is(name: str, of: Any) -> Formula:
    text, mapping = (
        isinstance(of, Text | str),
        isinstance(of, Thing | dict) or (isinstance(of, Items) and of.mapping),
    )
    listed = isinstance(of, Items | list | tuple) and not mapping
    number = isinstance(of, Number) or (isinstance(of, int | float) and not isinstance(of, bool))
    answers = {
        "none": of is None,
        "string": text,
        "mapping": mapping,
        "sequence": text or listed or mapping,
        "iterable": text or listed or mapping,
        "boolean": isinstance(of, FORMULAS),
        "number": number,
        "integer": number and not isinstance(of, float),
        "float": isinstance(of, float),
    }
    if name not in answers:
        raise NotTranslatable(f"it asks whether a value is {name}")
    return answers[name]
