"""Lists, mappings, numbers and loops of the request."""

from __future__ import annotations

from typing import Any

from nlp_skills.deployment.go_template.fields import FIELDS, element
from nlp_skills.deployment.go_template.formulas import choose
from nlp_skills.deployment.go_template.go_values import as_go
from nlp_skills.deployment.go_template.go_words import add, argument, path, subtract
from nlp_skills.deployment.go_template.state import Loop
from nlp_skills.deployment.go_template.texts import joined, plain
from nlp_skills.deployment.go_template.values import (
    UNDEFINED,
    Formula,
    Is,
    Items,
    NeverReached,
    NotTranslatable,
    Number,
    Out,
    Text,
    Thing,
)


def pairs_of(of: Any) -> Any:
    """Keys with their values. A tool has those that Ollama knows, in the usual order."""
    if isinstance(of, dict):
        return list(of.items())
    if isinstance(of, Thing) and of.kind in ("function", "tool", "called"):
        return [(name, make(of.go)) for name, make in FIELDS[of.kind].items()]
    if isinstance(of, Items) and of.mapping:
        return of
    raise NotTranslatable("it loops over the keys of a value of the request")


def sum_of(first: Any, second: Any) -> Any:
    if isinstance(first, Number) or isinstance(second, Number):
        return Number(add(as_go(first), as_go(second)))
    if isinstance(first, str | Text) and isinstance(second, str | Text):
        return joined(first, second)
    if type(first) is type(second) and isinstance(first, int | float | list):
        return first + second
    raise NeverReached("it adds a text and something that is not one")


def difference_of(first: Any, second: Any) -> Any:
    if isinstance(first, Number) or isinstance(second, Number):
        return Number(subtract(as_go(first), as_go(second)))
    return first - second


def is_ordered(op: str, first: Any, second: Any) -> Formula:
    if isinstance(first, Number) and isinstance(second, int) and (op, second) in (("gt", 0), ("gteq", 1)):
        return Is(first.go)
    if isinstance(first, Number) or isinstance(second, Number):
        word = {"gt": "gt", "gteq": "ge", "lt": "lt", "lteq": "le"}[op]
        return Is(f"{word} {argument(as_go(first))} {argument(as_go(second))}")
    return {"gt": first > second, "gteq": first >= second, "lt": first < second, "lteq": first <= second}[op]


def parts_of(text: str) -> list[str]:
    return [text[i:j] for i in range(len(text)) for j in range(i + 1, len(text) + 1)][:200]


def length_of(of: Any) -> Any:
    if isinstance(of, Items):
        return Number(f"len {argument(of.go)}")
    if isinstance(of, Text):
        if len(of.nodes) == 1 and isinstance(of.nodes[0], Out):
            return Number(f"len {argument(of.nodes[0].go)}")
        raise NotTranslatable("it asks for the length of a text that it has put together")
    if not isinstance(of, str | list | tuple | dict):
        raise NeverReached("it asks for the length of something that has none")
    return len(of)


def element_at(of: Items, key: Any) -> Any:
    if of.chosen:
        raise NotTranslatable("it takes one of the messages that it has selected by role")
    if isinstance(key, int) and (key < 0) != of.backwards:
        back = -key if not of.backwards else key + 1
        return element(of.kind, f"index {argument(of.go)} (len (slice {argument(of.go)} {back}))")
    if of.backwards:
        raise NotTranslatable("it takes an element out of a reversed list")
    return element(of.kind, f"index {argument(of.go)} {argument(as_go(key))}")


def sliced(of: Any, first: Any, last: Any, step: Any) -> Any:
    if isinstance(of, Items) and (first, last, step) == (None, None, -1):
        return Items(of.kind, of.go, not of.backwards, of.mapping, of.chosen)
    if isinstance(of, Items) and last is None and step in (None, 1) and not of.backwards and not of.chosen:
        if isinstance(first, int) and first < 0:
            raise NotTranslatable("it takes the end of a list")
        return (
            of if first in (None, 0) else Items(of.kind, f"slice {argument(of.go)} {argument(as_go(first))}")
        )
    if isinstance(of, Text) and first in (None, 0) and isinstance(last, int) and last < 0 and step is None:
        *before, end = of.nodes
        if isinstance(end, str) and len(end) >= -last:
            return plain(Text((*before, end[:last])))
    if isinstance(of, list | str | tuple):
        return of[slice(first, last, step)]
    raise NotTranslatable("it cuts out a part of a text or list of the request")


def loop_field(loop: Loop, name: str) -> Any:
    index, over = path(loop.index), argument(loop.over.go)
    if loop.over.chosen or not loop.index:
        raise NotTranslatable(f"it uses loop.{name} in a loop over selected messages")
    if name == "index0":
        return Number(index)
    if name == "index":
        return Number(add(index, "1"))
    if name == "first":
        return Is(f"eq {index} 0")
    if name == "length":
        return Number(f"len {over}")
    if name == "last":
        left = subtract(f"len {over}", index) if loop.over.mapping else f"len (slice {over} {index})"
        return Is(f"eq ({left}) 1")
    if name in ("previtem", "nextitem") and not loop.over.backwards and not loop.over.mapping:
        before = name == "previtem"
        place = subtract(index, "1") if before else add(index, "1")
        end = loop_field(loop, "first" if before else "last")
        return choose(end, UNDEFINED, element(loop.over.kind, f"index {over} ({place})"))
    raise NotTranslatable(f"it uses loop.{name}")


def select(of: Any, name: str, arguments: list[Any]) -> Any:
    if isinstance(of, Items) and name == "selectattr" and of.kind == "message" and not of.chosen:
        attribute, *test = arguments
        if attribute == "role" and test[:1] in (["equalto"], ["eq"], ["=="]) and isinstance(test[1], str):
            return Items(of.kind, of.go, of.backwards, chosen=test[1])
    raise NotTranslatable(f"it uses {name}")
