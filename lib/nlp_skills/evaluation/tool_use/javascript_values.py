"""JavaScript literals, arrays and objects as Python values: `5n`, `[1, 'two']`, `new Array(1, 2)`, `{key: true}`.

What BFCL's reference reads is read the same; text that is no value of its type stays text. Like there,
arrays are divided at every comma and objects one level deep.
"""

from __future__ import annotations

import re
from typing import Any

from nlp_skills.evaluation.tool_use.java_values import plain_number, to_number

JAVASCRIPT_TYPES: dict[str, type] = {
    "String": str,
    "integer": int,
    "float": float,
    "Bigint": int,
    "Boolean": bool,
    "dict": dict,
    "array": list,
    "any": str,
}

_NUMBERS = {
    "integer": (re.compile(r"^-?\d+$"), int),
    "float": (re.compile(r"^-?\d+(\.\d+)?$"), float),
    "Bigint": (re.compile(r"^-?\d+n$"), int),
}
# All arrays but the last end at their first bracket: were each free to end later, the ways to divide n of them would be 2^n.
_INNER = r"(?:(?>\[.*?\])\s*,\s*)*\[.*?\]\s*"
_NESTED = re.compile(rf"\[\s*{_INNER}\]|\bnew\s+Array\(\s*{_INNER}\)")
_FLAT = re.compile(r"\[(.*?)\]|\bnew\s+Array\((.*?)\)")
_BRACKETS = re.compile(r"\[(.*?)\]")
_OBJECT = re.compile(r"\{(.*?)\}")
_PAIRS = re.compile(r"([^:]+):\s*(.*?)(?:,\s*(?=[^,]+:)|$)")


def javascript_value(text: str, kind: str, items: str | None = None) -> Any:
    """The value of a JavaScript expression of a type; the text itself where it is none."""
    if kind in _NUMBERS:
        pattern, make = _NUMBERS[kind]
        return to_number(make, text, text.rstrip("n")) if pattern.match(text) else text
    match kind:
        case "String":
            return text[1:-1] if _is_quoted(text) else text
        case "Boolean":
            return text == "true" if text in ("true", "false") else text
        case "array":
            return _array(text.strip(), items)
        case "dict":
            return _object(text.strip())
    return text


def _is_quoted(text: str) -> bool:
    return any(text.startswith(quote) and text.endswith(quote) for quote in "\"'")


def _array(text: str, items: str | None) -> list[Any] | str:
    if found := _NESTED.match(text):
        inner = [part.strip() for part in _BRACKETS.findall(found[0])]
        if inner and inner[0].startswith("["):
            inner[0] = inner[0][1:]
        return [[_untyped(part) for part in row.split(",")] for row in inner]
    found = _FLAT.match(text)
    if found is None:
        return text
    content = (found[1] if found[1] is not None else found[2]).strip()
    parts = [part.strip() for part in content.split(",")] if content else []
    if parts and items is not None and items not in JAVASCRIPT_TYPES:
        return text
    return [javascript_value(part, items) if items else _untyped(part) for part in parts]


def _object(text: str) -> dict[str, Any] | str:
    if text == "{}":
        return {}
    found = _OBJECT.match(text)
    if found is None:
        return text
    pairs = ((key.strip().strip("'\""), value.strip()) for key, value in _PAIRS.findall(found[1]))
    return {key: _member(value) for key, value in pairs}


def _member(text: str) -> Any:
    if text.startswith("[") and text.endswith("]"):
        return _array(text, None)
    if text.startswith("{") and text.endswith("}"):
        return _object(text)
    return _untyped(text.strip("'\""))


def _untyped(text: str) -> Any:
    """A value whose type nobody has said."""
    text = text.strip()
    if text in ("true", "false"):
        return text == "true"
    if _is_quoted(text):
        return text[1:-1]
    return plain_number(text)
