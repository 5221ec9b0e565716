"""A Jinja expression's value: computed where it is known, otherwise what Ollama has to compute."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

from nlp_skills.deployment.go_template.dates import date_text
from nlp_skills.deployment.go_template.fields import FIELDS
from nlp_skills.deployment.go_template.formulas import choose, either, every, known, lifted, negate, some
from nlp_skills.deployment.go_template.go_words import argument, quoted
from nlp_skills.deployment.go_template.json_values import to_json
from nlp_skills.deployment.go_template.lists import (
    difference_of,
    element_at,
    is_ordered,
    length_of,
    loop_field,
    pairs_of,
    parts_of,
    select,
    sliced,
    sum_of,
)
from nlp_skills.deployment.go_template.questions import any_is, equal, kind_is, truth
from nlp_skills.deployment.go_template.state import Loop, Macro, Space, State
from nlp_skills.deployment.go_template.texts import as_text, joined, plain, role_as, stripped
from nlp_skills.deployment.go_template.values import (
    CHANGED,
    FORMULAS,
    UNDEFINED,
    Choice,
    Formula,
    Is,
    Items,
    NeverReached,
    NotTranslatable,
    Out,
    Text,
    Thing,
)


class Expressions(ABC):
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
        if value is CHANGED:
            raise NotTranslatable("it reads a value, changes it, and uses what it was before")
        if isinstance(value, Choice):
            condition = known(value.condition, self.state.facts)
            if isinstance(condition, bool):
                return self._now(value.then if condition else value.otherwise)
        return value

    @abstractmethod
    def run(self, macro: Macro, node: Any) -> Any:
        """What a macro writes for a call, which only statements can say."""

    @abstractmethod
    def selected(self, of: Items, *, last: bool) -> Thing:
        """The first or last message of a role; a statement before this one looks for it."""

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
        return lifted(sum_of, self.value(node.left), self.value(node.right))

    def _Sub(self, node: Any) -> Any:
        return lifted(difference_of, self.value(node.left), self.value(node.right))

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
        return truth(lifted(lambda a, b: is_ordered(op, a, b), left, right))

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
            return some(*(equal(item, word) for word in parts_of(container)))
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
            return lifted(lambda one, first: sliced(one, first, ends[1], ends[2]), of, ends[0])
        return lifted(self._item, of, self.value(node.arg))

    def _item(self, of: Any, key: Any) -> Any:
        if isinstance(key, str):
            return self._attribute(of, key)
        if isinstance(of, Items) and of.chosen and key in (0, -1):
            return self.selected(of, last=key == -1)
        if isinstance(of, Items) and not of.mapping:
            return element_at(of, key)
        if isinstance(of, list | tuple | str) and isinstance(key, int):
            return of[key] if -len(of) <= key < len(of) else UNDEFINED
        raise NotTranslatable("it takes an element out of something that is not a list")

    def _attribute(self, of: Any, name: str) -> Any:
        if isinstance(of, Choice):
            return lifted(lambda one: self._attribute(one, name), of)
        if isinstance(of, Space):
            return self.state.kept.get((of.number, name), UNDEFINED)
        if isinstance(of, Loop):
            return loop_field(of, name)
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
            return any_is(name, of.go)
        return kind_is(name, of)

    def _Filter(self, node: Any) -> Any:
        arguments = [self.value(one) for one in node.args]
        named = {pair.key: self.value(pair.value) for pair in node.kwargs}
        of = self.value(node.node)
        if node.name == "tojson":
            return to_json(of, {**({"indent": arguments[0]} if arguments else {}), **named})
        if node.name in ("default", "d"):
            return choose(self._is_defined(of), of, arguments[0])
        if node.name in ("selectattr", "rejectattr"):
            return lifted(lambda one: select(one, node.name, arguments), of)
        return self._now(lifted(lambda one: self._filtered(node.name, one, arguments), of))

    def _filtered(self, name: str, of: Any, arguments: list[Any]) -> Any:
        if name in ("list", "safe", "items", "dictsort") or (name == "string" and isinstance(of, Text | str)):
            return pairs_of(of) if name in ("items", "dictsort") else of
        if name in ("length", "count"):
            return length_of(of)
        if name in ("first", "last"):
            return self._item(of, 0 if name == "first" else -1)
        if name == "string":
            return plain(as_text(of))
        if name == "trim":
            return stripped(of, "strip", arguments[0] if arguments else None)
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
            return date_text(self.value(node.args[0]))
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
            return stripped(of, name, arguments[0] if arguments else None)
        if name == "items":
            return pairs_of(of)
        if name == "get":
            found = self._attribute(of, arguments[0])
            return choose(self._is_defined(found), found, arguments[1] if len(arguments) > 1 else None)
        if isinstance(of, str) and all(isinstance(one, str | int) for one in arguments):
            method: Callable[..., Any] | None = getattr(of, name, None)
            if method is not None:
                return method(*arguments)
        if isinstance(of, Text) and name in ("startswith", "endswith"):
            return self._begins(of, arguments[0], name == "startswith")
        if isinstance(of, Text) and name == "split" and self._text_contains(of, arguments[0]) is False:
            return [of]
        if isinstance(of, Text) and name == "replace" and self._text_contains(of, arguments[0]) is False:
            return of
        if isinstance(of, Text) and name in ("lower", "upper", "capitalize", "title"):
            return role_as(of, name)
        raise NotTranslatable(f"it uses {name} on a value of the request")


def _is_yes_or_no(value: Any) -> bool:
    return isinstance(value, FORMULAS)
