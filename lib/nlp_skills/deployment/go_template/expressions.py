"""A Jinja expression's value: computed where it is known, otherwise what Ollama has to compute."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from nlp_skills.deployment.go_template.fields import FIELDS, element
from nlp_skills.deployment.go_template.reading import (
    FORMULAS,
    as_go,
    as_text,
    equal,
    joined,
    plain,
    to_json,
    truth,
)
from nlp_skills.deployment.go_template.values import (
    UNDEFINED,
    Choice,
    Equal,
    Formula,
    Is,
    Items,
    NeverReached,
    Node,
    NotTranslatable,
    Number,
    Out,
    Text,
    Thing,
    When,
    add,
    argument,
    choose,
    either,
    every,
    known,
    learned,
    lifted,
    negate,
    path,
    quoted,
    some,
    subtract,
)
from nlp_skills.deployment.go_template.writers import strip_name


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


MONTHS = "January February March April May June July August September October November December".split()


class Expressions:
    """Evaluates nodes of jinja2's syntax tree in `state`; `assumed` are sentences about what it relied on."""

    state: State
    assumed: dict[str, None]
    numbers: Iterator[int]
    tools: bool

    def value(self, node: Any) -> Any:
        """The value of an expression. Raises NotTranslatable."""
        evaluate = getattr(self, f"_{type(node).__name__}", None)
        if evaluate is None:
            raise NotTranslatable(f"line {node.lineno}: Jinja's {type(node).__name__} has no counterpart")
        return self._now(evaluate(node))

    def truth(self, node: Any) -> Formula:
        """Whether an expression is true, with what is known here put in."""
        kind = type(node).__name__
        if kind == "Not":
            return negate(self.truth(node.node))
        if kind not in ("And", "Or"):
            return known(truth(self.value(node)), self.state.facts)
        first = self.truth(node.left)
        if isinstance(first, bool):
            return self.truth(node.right) if first == (kind == "And") else first
        outside = self.state
        self.state = outside.branch(first, kind == "And")
        second = self.truth(node.right)
        self.state = outside
        return every(first, second) if kind == "And" else some(first, second)

    def _now(self, value: Any) -> Any:
        """A choice that is decided here is one no more."""
        if isinstance(value, Choice):
            condition = known(value.condition, self.state.facts)
            if isinstance(condition, bool):
                return self._now(value.then if condition else value.otherwise)
        return value

    def run(self, macro: Macro, node: Any) -> Any:
        """What a macro writes; see Translation."""
        raise NotImplementedError

    def selected(self, of: Items, *, last: bool) -> Thing:
        """The first or last message of a role; see Translation."""
        raise NotImplementedError

    def _Const(self, node: Any) -> Any:
        return node.value

    def _TemplateData(self, node: Any) -> Any:
        return node.data

    def _Name(self, node: Any) -> Any:
        return self.state.names.get(node.name, UNDEFINED)

    def _NSRef(self, node: Any) -> Any:
        return self._attribute(self.state.names.get(node.name, UNDEFINED), node.attr)

    def _List(self, node: Any) -> Any:
        return [self.value(item) for item in node.items]

    _Tuple = _List

    def _Dict(self, node: Any) -> Any:
        return {self.value(pair.key): self.value(pair.value) for pair in node.items}

    def _CondExpr(self, node: Any) -> Any:
        condition = self.truth(node.test)
        if isinstance(condition, bool):
            chosen = node.expr1 if condition else node.expr2
            return self.value(chosen) if chosen is not None else UNDEFINED
        then = self._inside(condition, True, node.expr1)
        otherwise = self._inside(condition, False, node.expr2) if node.expr2 is not None else UNDEFINED
        return choose(condition, then, otherwise)

    def _inside(self, condition: Formula, holds: bool, node: Any) -> Any:
        """An expression's value where a condition holds: `loop.first or messages[loop.index0 - 1]`."""
        outside = self.state
        self.state = outside.branch(condition, holds)
        try:
            return self.value(node)
        finally:
            self.state = outside

    def _And(self, node: Any) -> Any:
        first = self.value(node.left)
        condition = known(truth(first), self.state.facts)
        if isinstance(condition, bool):
            return self.value(node.right) if condition else first
        second = self._inside(condition, True, node.right)
        return every(condition, truth(second)) if _is_yes_or_no(second) else choose(condition, second, first)

    def _Or(self, node: Any) -> Any:
        first = self.value(node.left)
        condition = known(truth(first), self.state.facts)
        if isinstance(condition, bool):
            return first if condition else self.value(node.right)
        second = self._inside(condition, False, node.right)
        return some(condition, truth(second)) if _is_yes_or_no(first) else choose(condition, first, second)

    def _Not(self, node: Any) -> Any:
        return negate(self.truth(node.node))

    def _Concat(self, node: Any) -> Any:
        result: Any = ""
        for part in node.nodes:
            result = joined(result, self.value(part))
        return result

    def _Add(self, node: Any) -> Any:
        return lifted(_sum, self.value(node.left), self.value(node.right))

    def _Sub(self, node: Any) -> Any:
        return lifted(_difference, self.value(node.left), self.value(node.right))

    def _Neg(self, node: Any) -> Any:
        return -self.value(node.node)

    def _Compare(self, node: Any) -> Any:
        result: Formula = True
        left = self.value(node.expr)
        for operand in node.ops:
            right = self.value(operand.expr)
            result = every(result, self._compared(operand.op, left, right))
            left = right
        return known(result, self.state.facts)

    def _compared(self, op: str, left: Any, right: Any) -> Formula:
        if op in ("eq", "ne"):
            same = equal(left, right)
            return same if op == "eq" else negate(same)
        if op in ("in", "notin"):
            there = truth(lifted(self._contains, right, left))
            return there if op == "in" else negate(there)
        return truth(lifted(lambda a, b: _ordered(op, a, b), left, right))

    def _contains(self, container: Any, item: Any) -> Formula:
        if isinstance(container, list | tuple):
            return some(*(equal(item, one) for one in container))
        if isinstance(container, dict | str) and isinstance(item, str):
            return item in container
        if container is UNDEFINED:
            return False
        if isinstance(container, Thing) and isinstance(item, str):
            return self._is_defined(self._attribute(container, item))
        if isinstance(container, str) and isinstance(item, Text):
            return some(*(equal(item, word) for word in _words(container)))
        if isinstance(container, Text) and isinstance(item, str):
            return self._text_contains(container, item)
        raise NotTranslatable("it looks for a value in a list of the request")

    def _text_contains(self, text: Text, word: str) -> Formula:
        if any(isinstance(node, str) and word in node for node in text.nodes):
            return True
        self.assumed[f"a text that contains {word!r} is taken as any other"] = None
        return False

    def _begins(self, of: Text, word: str, at_start: bool) -> Formula:
        node = of.nodes[0 if at_start else -1]
        if isinstance(node, str) and len(node) >= len(word):
            return node.startswith(word) if at_start else node.endswith(word)
        if len(of.nodes) != 1 or not isinstance(node, Out) or node.by:
            self.assumed[
                f"a text that {'begins' if at_start else 'ends'} with {word!r} is taken as any other"
            ] = None
            return False
        size, text = len(word.encode()), argument(node.go)
        part = f"slice {text} 0 {size}" if at_start else f"slice {text} (len (slice {text} {size}))"
        return every(Is(f"ge (len {text}) {size}"), Is(f"eq ({part}) {quoted(word)}"))

    def _Getattr(self, node: Any) -> Any:
        return lifted(lambda of: self._attribute(of, node.attr), self.value(node.node))

    def _Getitem(self, node: Any) -> Any:
        of = self.value(node.node)
        if type(node.arg).__name__ == "Slice":
            ends = [
                self.value(end) if end is not None else None
                for end in (node.arg.start, node.arg.stop, node.arg.step)
            ]
            return lifted(lambda one, first: _sliced(one, first, ends[1], ends[2]), of, ends[0])
        return lifted(self._item, of, self.value(node.arg))

    def _item(self, of: Any, key: Any) -> Any:
        if isinstance(key, str):
            return self._attribute(of, key)
        if isinstance(of, Items) and of.chosen and key in (0, -1):
            return self.selected(of, last=key == -1)
        if isinstance(of, Items) and not of.mapping:
            return _element_at(of, key)
        if isinstance(of, list | tuple | str) and isinstance(key, int):
            return of[key] if -len(of) <= key < len(of) else UNDEFINED
        raise NotTranslatable("it takes an element out of something that is not a list")

    def _attribute(self, of: Any, name: str) -> Any:
        if isinstance(of, Choice):
            return lifted(lambda one: self._attribute(one, name), of)
        if isinstance(of, Space):
            return self.state.kept.get((of.number, name), UNDEFINED)
        if isinstance(of, Loop):
            return _of_loop(of, name)
        if isinstance(of, Thing):
            if name == "tool_calls" and not self.tools:
                return UNDEFINED
            make = FIELDS[of.kind].get(name)
            return self._now(make(of.go)) if make else UNDEFINED
        if isinstance(of, dict):
            return of.get(name, UNDEFINED)
        if of is UNDEFINED:
            raise NeverReached(
                f"it reads .{name} of something that the trainer does not give to the template"
            )
        return UNDEFINED

    def _is_defined(self, value: Any) -> Formula:
        if isinstance(value, Choice):
            return either(value.condition, self._is_defined(value.then), self._is_defined(value.otherwise))
        return value is not UNDEFINED

    def _Test(self, node: Any) -> Any:
        if node.name in ("defined", "undefined"):
            defined = known(self._is_defined(self.value(node.node)), self.state.facts)
            return defined if node.name == "defined" else negate(defined)
        arguments = [self.value(one) for one in node.args]
        return known(
            truth(lifted(lambda of: self._tested(node.name, of, arguments), self.value(node.node))),
            self.state.facts,
        )

    def _tested(self, name: str, of: Any, arguments: list[Any]) -> Formula:
        if name in ("equalto", "eq", "==", "sameas"):
            return equal(of, arguments[0])
        if name == "in":
            return truth(lifted(self._contains, arguments[0], of))
        if name in ("true", "false"):
            asked = name == "true"
            return (of if asked else negate(of)) if isinstance(of, FORMULAS) else False
        if isinstance(of, Thing) and of.kind == "any":
            return _any_is(name, of.go)
        return _kind_is(name, of)

    def _Filter(self, node: Any) -> Any:
        arguments = [self.value(one) for one in node.args]
        named = {pair.key: self.value(pair.value) for pair in node.kwargs}
        of = self.value(node.node)
        if node.name == "tojson":
            return to_json(of, {**({"indent": arguments[0]} if arguments else {}), **named})
        if node.name in ("default", "d"):
            return choose(self._is_defined(of), of, arguments[0])
        if node.name in ("selectattr", "rejectattr"):
            return lifted(lambda one: _selected(one, node.name, arguments), of)
        return self._now(lifted(lambda one: self._filtered(node.name, one, arguments), of))

    def _filtered(self, name: str, of: Any, arguments: list[Any]) -> Any:
        if name in ("list", "safe", "items", "dictsort") or (name == "string" and isinstance(of, Text | str)):
            return _pairs(of) if name in ("items", "dictsort") else of
        if name in ("length", "count"):
            return _length(of)
        if name in ("first", "last"):
            return self._item(of, 0 if name == "first" else -1)
        if name == "string":
            return plain(as_text(of))
        if name == "trim":
            return _stripped(of, "strip", arguments[0] if arguments else None)
        if name == "join" and isinstance(of, list):
            result: Any = ""
            for place, part in enumerate(of):
                result = joined(joined(result, arguments[0] if place and arguments else ""), part)
            return result
        return self._method(name, of, arguments)

    def _Call(self, node: Any) -> Any:
        if type(node.node).__name__ == "Getattr":
            of = self.value(node.node.node)
            if not isinstance(of, Space | Loop):
                arguments = [self.value(one) for one in node.args]
                return self._now(lifted(lambda one: self._method(node.node.attr, one, arguments), of))
        name = getattr(node.node, "name", "")
        if name == "namespace":
            return self._new_space({pair.key: self.value(pair.value) for pair in node.kwargs})
        if name == "strftime_now":
            return _date(self.value(node.args[0]))
        if name == "range" and all(isinstance(end, int) for end in map(self.value, node.args)):
            return list(range(*map(self.value, node.args)))
        called = self.state.names.get(name)
        if isinstance(called, Macro):
            return self.run(called, node)
        if name == "raise_exception":
            raise NeverReached("the template refuses such a conversation")
        raise NotTranslatable(f"line {node.lineno}: it calls {name or 'a function'}")

    def _new_space(self, given: dict[str, Any]) -> Space:
        space = Space(next(self.numbers))
        self.state.kept.update({(space.number, key): value for key, value in given.items()})
        return space

    def _method(self, name: str, of: Any, arguments: list[Any]) -> Any:
        if name in ("strip", "lstrip", "rstrip"):
            return _stripped(of, name, arguments[0] if arguments else None)
        if name == "items":
            return _pairs(of)
        if name == "get":
            found = self._attribute(of, arguments[0])
            return choose(self._is_defined(found), found, arguments[1] if len(arguments) > 1 else None)
        if isinstance(of, str) and all(isinstance(one, str | int) for one in arguments):
            method: Callable[..., Any] | None = getattr(of, {"replace": "replace"}.get(name, name), None)
            if method is not None:
                return method(*arguments)
        if isinstance(of, Text) and name in ("startswith", "endswith"):
            return self._begins(of, arguments[0], name == "startswith")
        if isinstance(of, Text) and name == "split" and self._text_contains(of, arguments[0]) is False:
            return [of]
        if isinstance(of, Text) and name == "replace" and self._text_contains(of, arguments[0]) is False:
            return of
        if isinstance(of, Text) and name in ("lower", "upper", "capitalize", "title"):
            return _role_as(of, name)
        raise NotTranslatable(f"it uses {name} on a value of the request")


def _pairs(of: Any) -> Any:
    """Keys with their values. A tool has those that Ollama knows, in the usual order."""
    if isinstance(of, dict):
        return list(of.items())
    if isinstance(of, Thing) and of.kind in ("function", "tool", "called"):
        return [(name, make(of.go)) for name, make in FIELDS[of.kind].items()]
    if isinstance(of, Items) and of.mapping:
        return of
    raise NotTranslatable("it loops over the keys of a value of the request")


def _is_yes_or_no(value: Any) -> bool:
    return isinstance(value, FORMULAS)


def _sum(first: Any, second: Any) -> Any:
    if isinstance(first, Number) or isinstance(second, Number):
        return Number(add(as_go(first), as_go(second)))
    if isinstance(first, str | Text) and isinstance(second, str | Text):
        return joined(first, second)
    if type(first) is type(second) and isinstance(first, int | float | list):
        return first + second
    raise NeverReached("it adds a text and something that is not one")


def _difference(first: Any, second: Any) -> Any:
    if isinstance(first, Number) or isinstance(second, Number):
        return Number(subtract(as_go(first), as_go(second)))
    return first - second


def _ordered(op: str, first: Any, second: Any) -> Formula:
    if isinstance(first, Number) and isinstance(second, int) and (op, second) in (("gt", 0), ("gteq", 1)):
        return Is(first.go)
    if isinstance(first, Number) or isinstance(second, Number):
        word = {"gt": "gt", "gteq": "ge", "lt": "lt", "lteq": "le"}[op]
        return Is(f"{word} {argument(as_go(first))} {argument(as_go(second))}")
    return {"gt": first > second, "gteq": first >= second, "lt": first < second, "lteq": first <= second}[op]


def _words(text: str) -> list[str]:
    return [text[i:j] for i in range(len(text)) for j in range(i + 1, len(text) + 1)][:200]


def _length(of: Any) -> Any:
    if isinstance(of, Items):
        return Number(f"len {argument(of.go)}")
    if isinstance(of, Text):
        if len(of.nodes) == 1 and isinstance(of.nodes[0], Out):
            return Number(f"len {argument(of.nodes[0].go)}")
        raise NotTranslatable("it asks for the length of a text that it has put together")
    if not isinstance(of, str | list | tuple | dict):
        raise NeverReached("it asks for the length of something that has none")
    return len(of)


def _element_at(of: Items, key: Any) -> Any:
    if of.chosen:
        raise NotTranslatable("it takes one of the messages that it has selected by role")
    if isinstance(key, int) and (key < 0) != of.backwards:
        back = -key if not of.backwards else key + 1
        return element(of.kind, f"index {argument(of.go)} (len (slice {argument(of.go)} {back}))")
    if of.backwards:
        raise NotTranslatable("it takes an element out of a reversed list")
    return element(of.kind, f"index {argument(of.go)} {argument(as_go(key))}")


def _sliced(of: Any, first: Any, last: Any, step: Any) -> Any:
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


def _of_loop(loop: Loop, name: str) -> Any:
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
        end = _of_loop(loop, "first" if before else "last")
        return choose(end, UNDEFINED, element(loop.over.kind, f"index {over} ({place})"))
    raise NotTranslatable(f"it uses loop.{name}")


def _stripped(of: Any, side: str, characters: str | None) -> Any:
    if isinstance(of, str):
        return getattr(of, side)(characters)
    if isinstance(of, Choice):
        return lifted(lambda one: _stripped(one, side, characters), of)
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


def _role_as(of: Text, name: str) -> Any:
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


def _selected(of: Any, name: str, arguments: list[Any]) -> Any:
    if isinstance(of, Items) and name == "selectattr" and of.kind == "message" and not of.chosen:
        attribute, *test = arguments
        if attribute == "role" and test[:1] in (["equalto"], ["eq"], ["=="]) and isinstance(test[1], str):
            return Items(of.kind, of.go, of.backwards, chosen=test[1])
    raise NotTranslatable(f"it uses {name}")


def _any_is(name: str, go: str) -> Formula:
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


def _kind_is(name: str, of: Any) -> Formula:
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


def _date(form: str) -> Any:
    """Today's date in Python's form, out of Ollama's `currentDate` (2026-11-21)."""
    pieces: dict[str, tuple[Node, ...]] = {
        "%Y": (Out("slice (currentDate) 0 4"),),
        "%m": (Out("slice (currentDate) 5 7"),),
        "%d": (Out("slice (currentDate) 8 10"),),
        "%B": _month(MONTHS),
        "%b": _month([month[:3] for month in MONTHS]),
    }
    nodes: list[Node] = []
    while form:
        if form[:2] in pieces:
            nodes += pieces[form[:2]]
        elif form[0] == "%":
            raise NotTranslatable(f"it writes the time ({form[:2]}), and Ollama knows the date only")
        else:
            nodes.append(form[0])
        form = form[2 if form[0] == "%" else 1 :]
    return Text(tuple(nodes))


def _month(names: Sequence[str]) -> tuple[Node, ...]:
    found: tuple[Node, ...] = (names[-1],)
    for number, name in reversed(list(enumerate(names[:-1], start=1))):
        month = "slice (currentDate) 5 7"
        found = (When(Equal(f'eq ({month}) "{number:02d}"', month, f"{number:02d}"), (name,), found),)
    return found
