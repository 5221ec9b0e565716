"""Pieces of Go expressions.

In an expression `\\0m1\\0` stands for the variable $m1 (`\\0\\0`: the whole request): where it is printed, the variable that
is the dot there is left out (`.Content`), as Ollama's own search for tags expects.
"""

from __future__ import annotations

import re

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


def add(first: str, second: str) -> str:
    """A sum; Go templates have no arithmetic, but the length of a text that is as wide as both."""
    return f'len (printf "%*s%*s" {argument(first)} "" {argument(second)} "")'


def subtract(first: str, second: str) -> str:
    """A difference that is not negative: what is left of a text of that width."""
    return f'len (slice (printf "%*s" {argument(first)} "") {argument(second)})'
