"""Java literals and collections as Python values: `5L`, `3.0f`, `new int[]{1, 2}`, `new HashMap<…>() {{ put(…); }}`.

What BFCL's reference reads is read the same; text that is no value of its type stays text. Elements are
divided at every comma, also inside quotes: the data set has none there, and verdicts stay comparable.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

JAVA_TYPES: dict[str, type] = {
    **dict.fromkeys(("byte", "short", "integer", "long"), int),
    **dict.fromkeys(("float", "double"), float),
    **dict.fromkeys(("char", "String", "any"), str),
    **dict.fromkeys(("Array", "ArrayList", "Queue", "Stack"), list),
    **dict.fromkeys(("HashMap", "Hashtable"), dict),
    "boolean": bool,
    "Set": set,
}

_REAL = r"^-?\d+(\.\d+)?([eE][+-]?\d+)?"
_NUMBERS = {
    **dict.fromkeys(("byte", "short", "integer"), (re.compile(r"^-?\d+$"), int)),
    "long": (re.compile(r"^-?\d+[lL]$"), int),
    "float": (re.compile(_REAL + "[fF]$"), float),
    "double": (re.compile(_REAL + "$"), float),
}
"""Type → how it is written, and what it becomes without its suffix."""

_AS_LIST = re.compile(r"new\s+ArrayList<\w*>\(Arrays\.asList\((.+?)\)\)")
_WITH_ADDS = re.compile(r"new\s+ArrayList<\w*>\(\)\s*\{\{\s*+(.+?)\}\}", re.DOTALL)
_EMPTY_LIST = re.compile(r"new\s+ArrayList<\w*>\(\)")
_ARRAY = re.compile(r"new\s+\w+\[\]\s*\{(.*?)\}")
_MAP = re.compile(r"new\s+HashMap<.*?>\s*\(\)\s*\{\s*+\{?\s*+(.*?)\}", re.DOTALL)
_EMPTY_MAP = re.compile(r"new\s+HashMap<.*?>\s*\(\)")
_PUT = re.compile(r"put\(\"(.*?)\",\s*(.*?)\)")
_ADD = re.compile(r"add\((.+?)\)")


def java_value(text: str, kind: str, items: str | None = None) -> Any:
    """The value of a Java expression of a type; the text itself where it is none."""
    if kind in _NUMBERS:
        pattern, make = _NUMBERS[kind]
        return to_number(make, text, text.rstrip("lLfF")) if pattern.match(text) else text
    match kind:
        case "boolean":
            return text == "true" if text in ("true", "false") else text
        case "ArrayList":
            return _array_list(text, items)
        case "Array":
            found = _ARRAY.search(text)
            return [_element(part.strip(), items) for part in _parts(found[1])] if found else text
        case "HashMap":
            return _hash_map(text)
    return text


def _array_list(text: str, items: str | None) -> list[Any] | str:
    if found := _AS_LIST.search(text):
        return [_listed(part.strip(), items) for part in found[1].split(",")]
    if found := _WITH_ADDS.search(text):
        return [_listed(part.strip(), items) for part in _ADD.findall(found[1])]
    return [] if _EMPTY_LIST.search(text) else text


def _listed(text: str, items: str | None) -> Any:
    """An element of a list; text and characters lose their quotes."""
    return text[1:-1] if items in ("char", "String") else _element(text, items)


def _element(text: str, items: str | None) -> Any:
    return java_value(text, items) if items else _untyped(text)


def _parts(text: str) -> list[str]:
    return [part for part in text.split(",") if part.strip()]


def _hash_map(text: str) -> dict[str, Any] | str:
    if found := _MAP.search(text):
        return {key: _untyped(value.strip()) for key, value in _PUT.findall(found[1])}
    return {} if _EMPTY_MAP.search(text) else text


def _untyped(text: str) -> Any:
    """A value whose type nobody has said."""
    if text in ("true", "false"):
        return text == "true"
    if text.startswith('"') and text.endswith('"'):
        return text[1:-1]
    for kind in ("long", "float"):
        value = java_value(text, kind)
        if not isinstance(value, str):
            return value
    return plain_number(text)


def to_number(make: Callable[[str], int | float], text: str, digits: str) -> int | float | str:
    """The number of these digits; the text where they are more than Python reads (4,300)."""
    try:
        return make(digits)
    except ValueError:
        return text


def plain_number(text: str) -> int | float | str:
    """A number as Python reads it; the text where it is none."""
    for make in (int, float):
        try:
            return make(text)
        except ValueError:
            continue
    return text
