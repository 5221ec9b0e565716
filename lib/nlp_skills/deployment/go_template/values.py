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

from collections.abc import Mapping
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

CHANGED = object()
"""A value that a variable had, and has no more."""


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


FORMULAS = (bool, Is, Not, All, Any_)
