"""What a Jinja expression is worth while a template is translated: known now, or known when Ollama renders.

    'user', 3, None …          known now
    Text                       a string: constant pieces and pieces that Ollama fills in
    Formula (bool, Is, Not, All, Any)   a condition over the request
    Choice                     one value or another, by a condition
    Number, Thing, Items       a number, a value and a list of the request

A Go expression is text in which `\\0m1\\0` stands for the variable $m1 (`\\0\\0`: the whole request): where it is
printed, the variable that is the dot there is left out (`.Content`), as Ollama's own search for tags expects.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from nlp_skills.errors import NotValid


class NotTranslatable(NotValid):
    """A part of the chat template that a Go template cannot say."""


class NeverReached(NotTranslatable):
    """Jinja stops there with an error, so no conversation of the training comes there."""


class Undefined:
    """A name or key that the trainer does not give to the template."""


UNDEFINED = Undefined()


@dataclass(frozen=True)
class Is:
    """A Go expression that holds where it is not empty, zero or false."""

    go: str


@dataclass(frozen=True)
class Equal(Is):
    """`eq of "value"`: a text can have one value only, so one that holds excludes the others."""

    of: str = ""
    value: str = ""


@dataclass(frozen=True)
class Not:
    """The opposite."""

    part: Formula


@dataclass(frozen=True)
class All:
    """Every part holds; read from the left, as Go does."""

    parts: tuple[Formula, ...]


@dataclass(frozen=True)
class Any_:
    """Some part holds; read from the left."""

    parts: tuple[Formula, ...]


Formula: TypeAlias = bool | Is | Not | All | Any_
Facts: TypeAlias = Mapping[Is, bool]
"""What is known where a branch is read."""


@dataclass(frozen=True)
class Out:
    """Writes a string of the request; through the template `by` (trimmed, as JSON) where there is one."""

    go: str
    by: str = ""


@dataclass(frozen=True)
class When:
    """One output or another."""

    condition: Formula
    then: tuple[Node, ...]
    otherwise: tuple[Node, ...]


@dataclass(frozen=True)
class Each:
    """The output for each element; `element` and `index` are names of variables."""

    index: str
    element: str
    over: str
    body: tuple[Node, ...]


@dataclass(frozen=True)
class Set:
    """Gives a variable its value; `declared` where it begins here."""

    name: str
    go: str
    declared: bool = False


@dataclass(frozen=True)
class Jump:
    """`break` or `continue`."""

    word: str


Node: TypeAlias = str | Out | When | Each | Set | Jump


@dataclass(frozen=True)
class Text:
    """A string that is not known yet: what it writes."""

    nodes: tuple[Node, ...]


@dataclass(frozen=True)
class Choice:
    """`then` where the condition holds."""

    condition: Formula
    then: Any
    otherwise: Any


@dataclass(frozen=True)
class Number:
    """A count or a position, never below zero."""

    go: str


@dataclass(frozen=True)
class Thing:
    """A value of the request: its `kind` is a row of the table in fields.py."""

    kind: str
    go: str


@dataclass(frozen=True)
class Items:
    """A list or mapping of the request; `kind` is that of its elements. `chosen` is a role that was selected."""

    kind: str
    go: str
    backwards: bool = False
    mapping: bool = False
    chosen: str = ""


_CLOSED = re.compile(r"\([^()]*\)(?:\.\w+)+")


def path(base: str, *names: str) -> str:
    """The Go expression of a variable's field."""
    return f"\0{base}\0" + "".join(f".{name}" for name in names)


def field(go: str, name: str) -> str:
    """A field of any expression."""
    return f"{go}.{name}" if go.endswith("\0") or " " not in go else f"({go}).{name}"


def quoted(text: str) -> str:
    """A Go string literal that a Modelfile can hold: only what is printed as it is stands there as it is."""
    escapes = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return '"' + "".join(escapes.get(c) or (c if c.isprintable() else _escaped(c)) for c in text) + '"'


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


def argument(go: str) -> str:
    """The expression where another one takes it."""
    return f"({go})" if " " in go and not go.startswith('"') and not _CLOSED.fullmatch(go) else go


def negate(formula: Formula) -> Formula:
    """The opposite, without double negation."""
    if isinstance(formula, bool):
        return not formula
    return formula.part if isinstance(formula, Not) else Not(formula)


def every(*parts: Formula) -> Formula:
    """All of them, simplified."""
    found: list[Formula] = []
    for part in parts:
        if part is False:
            return False
        for one in part.parts if isinstance(part, All) else (part,):
            if one is not True and one not in found:
                if negate(one) in found:
                    return False
                found.append(one)
    return All(tuple(found)) if len(found) > 1 else found[0] if found else True


def some(*parts: Formula) -> Formula:
    """Any of them, simplified."""
    found: list[Formula] = []
    for part in parts:
        if part is True:
            return True
        for one in part.parts if isinstance(part, Any_) else (part,):
            if one is not False and one not in found:
                if negate(one) in found:
                    return True
                found.append(one)
    return Any_(tuple(found)) if len(found) > 1 else found[0] if found else False


def either(condition: Formula, then: Formula, otherwise: Formula) -> Formula:
    """A formula that is one or the other."""
    if then == otherwise:
        return then
    if isinstance(then, bool) and isinstance(otherwise, bool):
        return condition if then else negate(condition)
    return some(every(condition, then), every(negate(condition), otherwise))


def known(formula: Formula, facts: Facts) -> Formula:
    """The formula with what is known put in."""
    if isinstance(formula, bool):
        return formula
    if isinstance(formula, Not):
        return negate(known(formula.part, facts))
    if isinstance(formula, All):
        return every(*(known(part, facts) for part in formula.parts))
    if isinstance(formula, Any_):
        return some(*(known(part, facts) for part in formula.parts))
    if formula in facts:
        return facts[formula]
    excluded = isinstance(formula, Equal) and any(
        holds and isinstance(fact, Equal) and fact.of == formula.of for fact, holds in facts.items()
    )
    return False if excluded else formula


def learned(formula: Formula, holds: bool) -> Iterator[tuple[Is, bool]]:
    """What follows of single expressions when the formula holds, or does not."""
    if isinstance(formula, Not):
        yield from learned(formula.part, not holds)
    elif isinstance(formula, Is):
        yield formula, holds
    elif isinstance(formula, All if holds else Any_):
        for part in formula.parts:
            yield from learned(part, holds)


def choose(condition: Formula, then: Any, otherwise: Any) -> Any:
    """The value, or a Choice."""
    if isinstance(condition, bool):
        return then if condition else otherwise
    if isinstance(then, Choice) and then.condition == condition:
        then = then.then
    if isinstance(otherwise, Choice) and otherwise.condition == condition:
        otherwise = otherwise.otherwise
    if type(then) is type(otherwise) and then == otherwise:
        return then
    return Choice(condition, then, otherwise)


def lifted(apply: Callable[..., Any], *values: Any) -> Any:
    """`apply` on every combination of what the values may be, without those that Jinja stops at."""
    for place, value in enumerate(values):
        if isinstance(value, Choice):
            results = []
            for one in (value.then, value.otherwise):
                with contextlib.suppress(NeverReached):
                    results.append(lifted(apply, *values[:place], one, *values[place + 1 :]))
            if not results:
                raise NeverReached("whatever the request is, Jinja stops there")
            return choose(value.condition, results[0], results[-1])
    return apply(*values)


def add(first: str, second: str) -> str:
    """A sum; Go templates have no arithmetic, but the length of a text that is as wide as both."""
    return f'len (printf "%*s%*s" {argument(first)} "" {argument(second)} "")'


def subtract(first: str, second: str) -> str:
    """A difference that is not negative: what is left of a text of that width."""
    return f'len (slice (printf "%*s" {argument(first)} "") {argument(second)})'
