"""Strings of a template: put together, stripped, compared with what is asked of them."""

from __future__ import annotations

from typing import Any

from nlp_skills.deployment.go_template.formulas import choose, lifted
from nlp_skills.deployment.go_template.go_words import argument
from nlp_skills.deployment.go_template.questions import is_known
from nlp_skills.deployment.go_template.values import (
    FORMULAS,
    UNDEFINED,
    Choice,
    Equal,
    Node,
    NotTranslatable,
    Number,
    Out,
    Text,
    Thing,
    When,
)
from nlp_skills.deployment.go_template.writers import strip_name


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
    if is_known(value) and not isinstance(value, dict | list):
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


def stripped(of: Any, side: str, characters: str | None) -> Any:
    if isinstance(of, str):
        return getattr(of, side)(characters)
    if isinstance(of, Choice):
        return lifted(lambda one: stripped(one, side, characters), of)
    if not isinstance(of, Text):
        raise NotTranslatable(f"it uses {side} on something that is not a text")
    nodes = list(of.nodes)
    if side != "rstrip":
        nodes = _stripped_end(nodes, "lstrip", characters)
    if side != "lstrip":
        nodes = _stripped_end(nodes[::-1], "rstrip", characters)[::-1]
    return plain(Text(tuple(nodes)))


def _stripped_end(nodes: list[Node], side: str, characters: str | None) -> list[Node]:
    """The pieces with what is first there stripped."""
    if not nodes:
        return nodes
    first, *rest = nodes
    if isinstance(first, str):
        left = getattr(first, side)(characters)
        return [left, *rest] if left else _stripped_end(rest, side, characters)
    if isinstance(first, Out) and not rest:
        return [Out(first.go, _both(first.by, strip_name(side, characters)))]
    if isinstance(first, When) and not rest:
        turned = [
            list(branch if side == "lstrip" else branch[::-1]) for branch in (first.then, first.otherwise)
        ]
        then, otherwise = (_stripped_end(branch, side, characters) for branch in turned)
        if side == "rstrip":
            then, otherwise = then[::-1], otherwise[::-1]
        return [When(first.condition, tuple(then), tuple(otherwise))]
    raise NotTranslatable(f"it uses {side} on a text that it has put together")


def _both(first: str, second: str) -> str:
    """One template that strips as two do, one after the other."""
    if first in ("", second) or (first and second == "strip"):
        return second
    sides = {first.partition("_")[0], second.partition("_")[0]}
    if first.partition("_")[2] == second.partition("_")[2] and sides <= {"lstrip", "rstrip", "strip"}:
        return "_".join(filter(None, ("strip", first.partition("_")[2])))
    raise NotTranslatable("it strips a text in two different ways")


def role_as(of: Text, name: str) -> Any:
    """Ollama writes roles in small letters; there are four."""
    (node,) = of.nodes if len(of.nodes) == 1 else ("",)
    if not isinstance(node, Out) or not node.go.endswith(".Role") or node.by:
        raise NotTranslatable(f"it uses {name} on a text of the request")
    if name == "lower":
        return of
    result: Any = of
    for role in ("system", "user", "assistant", "tool"):
        result = choose(
            Equal(f'eq {argument(node.go)} "{role}"', node.go, role), getattr(role, name)(), result
        )
    return result
