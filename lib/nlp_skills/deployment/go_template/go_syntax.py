"""Reads the text of a Go template: https://pkg.go.dev/text/template, as much of it as prompts are written in."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass, field
from typing import Any

from nlp_skills.errors import NotValid

_TOKEN = re.compile(
    r"""(?P<space>\s+) | (?P<string>"(?:\\.|[^"\\\n])*") | (?P<raw>`[^`]*`) | (?P<char>'(?:\\.|[^'\\\n])+')
      | (?P<number>[+-]?\d[\w.]*) | (?P<variable>\$\w*(?:\.\w+)*) | (?P<field>(?:\.\w+)+) | (?P<dot>\.)
      | (?P<word>\w+) | (?P<sign>:=|[=|(),])""",
    re.VERBOSE,
)


@dataclass(frozen=True)
class Operand:
    """`kind` is value, dot, field, variable, function or pipe; `names` are the fields that follow."""

    kind: str
    value: Any = None
    names: tuple[str, ...] = ()


@dataclass(frozen=True)
class Pipe:
    """Commands whose result is the next one's last argument; `declared` are the variables it is given to."""

    commands: tuple[tuple[Operand, ...], ...]
    declared: tuple[str, ...] = ()
    assigns: bool = False


@dataclass
class Branch:
    """if, with, range."""

    word: str
    pipe: Pipe
    body: list[Any] = field(default_factory=list)
    otherwise: list[Any] = field(default_factory=list)


@dataclass(frozen=True)
class Called:
    """`{{ template "name" pipe }}`."""

    name: str
    pipe: Pipe | None


@dataclass(frozen=True)
class Jump(Exception):
    """`break` and `continue`; it is raised where the template runs."""

    word: str


@dataclass(frozen=True)
class Template:
    """The text of a template; `defined` are those that it defines by name."""

    body: list[Any]
    defined: dict[str, list[Any]]


def parse(text: str) -> Template:
    """The syntax tree. Raises NotValid with the line."""
    return _Reader(_pieces(text)).read()


def _pieces(text: str) -> list[tuple[bool, str, int]]:
    """Text and actions by turns: whether it is an action, what stands there, its line."""
    found: list[tuple[bool, str, int]] = []
    place = 0
    trim = False
    while True:
        start = text.find("{{", place)
        before = text[place:] if start < 0 else text[place:start]
        before = before.lstrip(" \t\r\n") if trim else before
        if start >= 0 and re.match(r"\{\{-\s", text[start : start + 4]):
            before = before.rstrip(" \t\r\n")
        if before:
            found.append((False, before, text.count("\n", 0, place) + 1))
        if start < 0:
            return found
        line = text.count("\n", 0, start) + 1
        end = _end(text, start + 2, line)
        action = text[start + 2 : end]
        trim = bool(re.search(r"\s-$", action))
        action = action[1:] if re.match(r"-\s", action) else action
        found.append((True, action[:-1] if trim else action, line))
        place = end + 2


def _end(text: str, place: int, line: int) -> int:
    while place < len(text):
        if text.startswith("}}", place):
            return place
        quoted = re.compile(r'"(?:\\.|[^"\\\n])*"|`[^`]*`|/\*.*?\*/', re.DOTALL).match(text, place)
        place = quoted.end() if quoted else place + 1
    raise NotValid(f"line {line} of the template: an action is not closed")


class _Reader:
    def __init__(self, pieces: list[tuple[bool, str, int]]) -> None:
        self._pieces = pieces
        self._place = 0
        self._defined: dict[str, list[Any]] = {}

    def read(self) -> Template:
        body, end = self._block()
        if end:
            raise NotValid(f"the template has {{{{ {end} }}}} where nothing is open")
        return Template(body, self._defined)

    def _block(self, opened: int = 0) -> tuple[list[Any], str]:
        """Nodes up to `end` or `else`, and which of them; `opened` is the line of what is open."""
        body: list[Any] = []
        while self._place < len(self._pieces):
            is_action, text, line = self._pieces[self._place]
            self._place += 1
            if not is_action:
                body.append(text)
                continue
            stripped = text.strip()
            word, _, rest = stripped.partition(" ")
            if stripped.startswith("/*"):
                continue
            if word in ("end", "else"):
                return body, stripped
            body += self._action(word, rest.strip(), stripped, line)
        if opened:
            raise NotValid(f"line {opened} of the template: what is opened there has no end")
        return body, ""

    def _action(self, word: str, rest: str, whole: str, line: int) -> list[Any]:
        if word in ("if", "with", "range"):
            return [self._branch(word, rest, line)]
        if word in ("define", "block"):
            name, pipe = _named(rest, line)
            self._defined[name], _ = self._block(line)
            return [Called(name, pipe)] if word == "block" else []
        if word == "template":
            return [Called(*_named(rest, line))]
        if whole in ("break", "continue"):
            return [Jump(whole)]
        return [_pipe(whole, line)]

    def _branch(self, word: str, rest: str, line: int) -> Branch:
        branch = Branch(word, _pipe(rest, line))
        branch.body, end = self._block(line)
        if end.startswith("else"):
            chained = end.removeprefix("else").strip()
            if chained:
                inner, _, pipe = chained.partition(" ")
                branch.otherwise = [self._branch(inner, pipe, line)]
            else:
                branch.otherwise, _ = self._block(line)
        return branch


def _named(rest: str, line: int) -> tuple[str, Pipe | None]:
    found = re.match(r'"((?:\\.|[^"\\])*)"\s*', rest)
    if not found:
        raise NotValid(f"line {line} of the template: a template's name is missing")
    after = rest[found.end() :]
    return found[1], _pipe(after, line) if after else None


def _pipe(text: str, line: int) -> Pipe:
    tokens: list[tuple[str, str]] = []
    place = 0
    while place < len(text):
        found = _TOKEN.match(text, place)
        if not found:
            raise NotValid(f"line {line} of the template: {text[place : place + 20]!r} cannot be read")
        tokens.append((found.lastgroup or "", found[0]))
        place = found.end()
    pipe, left = _read_pipe(tokens, 0)
    if left < len(tokens):
        raise NotValid(f"line {line} of the template: {text!r} cannot be read")
    return pipe


def _read_pipe(tokens: list[tuple[str, str]], place: int) -> tuple[Pipe, int]:
    declared: tuple[str, ...] = ()
    assigns = False
    signs = [text for kind, text in tokens[place:] if kind != "space"][:4]
    for sign in (":=", "="):
        if sign in signs and all(text == "," or text.startswith("$") for text in signs[: signs.index(sign)]):
            declared = tuple(text for text in signs[: signs.index(sign)] if text != ",")
            assigns = sign == "="
            place = next(i for i in range(place, len(tokens)) if tokens[i][1] == sign) + 1
            break
    commands: list[tuple[Operand, ...]] = []
    command: list[Operand] = []
    while place < len(tokens) and tokens[place][1] != ")":
        kind, text = tokens[place]
        if text == "|":
            commands.append(tuple(command))
            command = []
        elif text == "(":
            inner, place = _read_pipe(tokens, place + 1)
            command.append(Operand("pipe", inner))
        elif kind == "field" and place and tokens[place - 1][1] == ")":
            last = command.pop()
            command.append(Operand(last.kind, last.value, (*last.names, *text[1:].split("."))))
        elif kind != "space":
            command.append(_operand(kind, text))
        place += 1
    return Pipe((*commands, tuple(command)), declared, assigns), place


def _operand(kind: str, text: str) -> Operand:
    if kind == "string":
        return Operand("value", ast.literal_eval(text).encode())
    if kind == "raw":
        return Operand("value", text[1:-1].encode())
    if kind == "char":
        return Operand("value", ord(ast.literal_eval(text)))
    if kind == "number":
        return Operand("value", float(text) if "." in text else int(text, 0))
    if kind == "variable":
        name, *names = text.split(".")
        return Operand("variable", name, tuple(names))
    if kind == "field":
        return Operand("field", None, tuple(text[1:].split(".")))
    if kind == "word" and text in ("true", "false", "nil"):
        return Operand("value", {"true": True, "false": False, "nil": None}[text])
    return Operand("dot") if kind == "dot" else Operand("function", text)
