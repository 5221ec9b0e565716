"""Questions about a value: is it true, equal, defined; what it is as text, as a Go expression."""

from __future__ import annotations

import json
from typing import Any

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
    argument,
    either,
    every,
    lifted,
    negate,
    quoted,
    some,
)

FORMULAS = (bool, Is, Not, All, Any_)


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
    if isinstance(second, Choice) or _is_known(first):
        return _equal_known(second, first) if not isinstance(second, Choice) else equal(second, first)
    return _equal_known(first, second)


def _is_known(value: Any) -> bool:
    return not isinstance(value, Text | Items | Number | Thing | Is | Not | All | Any_)


def _equal_known(value: Any, other: Any) -> Formula:
    """Equality of which the second is known, if one is."""
    if _is_known(value):
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
    if _is_known(other) and not (isinstance(value, Thing) and value.kind == "any"):
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


def as_text(value: Any) -> Text:
    """The value as Jinja writes it."""
    if isinstance(value, Text):
        return value
    if isinstance(value, Choice):
        then, otherwise = as_text(value.then), as_text(value.otherwise)
        return then if then == otherwise else Text((When(value.condition, then.nodes, otherwise.nodes),))
    if isinstance(value, Number):
        return Text((Out(value.go),))
    if isinstance(value, FORMULAS) and not isinstance(value, bool):
        return Text((When(value, ("True",), ("False",)),))
    if isinstance(value, Thing) and value.kind == "any":
        return Text((Out(value.go, "plain"),))
    if _is_known(value) and not isinstance(value, dict | list):
        return Text(() if value is UNDEFINED or value == "" else (str(value),))
    raise NotTranslatable("it writes a list or mapping as Python would")


def joined(first: Any, second: Any) -> Any:
    """`first + second` of two texts, `~` of any values."""
    nodes: list[Node] = list(as_text(first).nodes)
    for node in as_text(second).nodes:
        if isinstance(node, str) and nodes and isinstance(nodes[-1], str):
            nodes[-1] += node
        else:
            nodes.append(node)
    return plain(Text(tuple(nodes)))


def plain(text: Text) -> Any:
    """A text that is known as the string it is."""
    if all(isinstance(node, str) for node in text.nodes):
        return "".join(node for node in text.nodes if isinstance(node, str))
    return text


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


def to_json(value: Any, options: dict[str, Any], level: int = 0) -> Any:
    """What the tojson filter of transformers makes of the value."""
    indent = options.get("indent") or 0
    if set(options) - {"indent", "ensure_ascii"} or options.get("ensure_ascii"):
        raise NotTranslatable(f"it writes JSON with {', '.join(options)}")
    if isinstance(value, Choice):
        return lifted(lambda one: to_json(one, options, level), value)
    if _is_known(value):
        return json.dumps(value, ensure_ascii=False, indent=indent or None)
    if isinstance(value, Text):
        nodes = [
            json.dumps(n, ensure_ascii=False)[1:-1] if isinstance(n, str) else _escaped(n)
            for n in value.nodes
        ]
        return Text(('"', *nodes, '"'))
    kind = {"tool": "tool", "function": "function", "parameters": "parameters", "property": "property"}
    if isinstance(value, Items) and not value.mapping:
        return Text((Out(value.go, f"list_{value.kind if value.kind in kind else 'any'}_{indent}_{level}"),))
    if isinstance(value, Items) and value.kind == "property":
        return Text((Out(value.go, f"properties_{indent}_{level}"),))
    if isinstance(value, Thing) and value.kind == "called" and not indent:
        name, called = to_json(Text((Out(f"{value.go}.Name"),)), {}), Out(f"{value.go}.Arguments", "map_0_0")
        return Text(('{"name": ', *name.nodes, ', "arguments": ', called, "}"))
    if isinstance(value, Items | Thing):
        writer = "map" if isinstance(value, Items) else kind.get(value.kind, "any")
        return Text((Out(value.go, f"{writer}_{indent}_{level}"),))
    raise NotTranslatable("it writes a value of the request as JSON that Go does not have")


def _escaped(node: Node) -> Node:
    if isinstance(node, Out) and not node.by:
        return Out(node.go, "escaped")
    if isinstance(node, When):
        return When(node.condition, tuple(map(_escaped, node.then)), tuple(map(_escaped, node.otherwise)))
    raise NotTranslatable("it writes a text that it has changed as JSON")
