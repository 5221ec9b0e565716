"""The functions of Go's templates and of Ollama's, and how Go writes values."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from typing import Any

from nlp_skills.errors import NotValid


class Struct(dict[str, Any]):
    """A Go struct: its fields by name; `shown` is what encoding/json writes of it, in that order."""

    def __init__(self, fields: Mapping[str, Any], shown: Any = None) -> None:
        super().__init__(fields)
        self.shown = shown


class Stringer:
    """A Go value with a String method that gives its JSON; a list or a mapping."""


class JsonMap(dict[str, Any], Stringer):
    """A call's arguments, a tool's properties."""


class JsonList(list[Any], Stringer):
    """The tools; none are a nil slice."""


def field_value(value: Any, name: str) -> Any:
    if isinstance(value, Struct):
        if name in value:
            return value[name]
        raise NotValid(f"the template reads .{name}, which is not there")
    if isinstance(value, dict):
        return value.get(name)
    raise NotValid(f"the template reads .{name} of something that has no fields")


def sorted_items(over: Any) -> list[tuple[Any, Any]]:
    if over is None:
        return []
    if isinstance(over, dict) and not isinstance(over, Struct):
        return [(key.encode(), over[key]) for key in sorted(over, key=str.encode)]
    raise NotValid("the template loops over something that is no list or mapping")


def is_true(value: Any) -> bool:
    """Not zero, not empty, not nil; a struct always."""
    return isinstance(value, Struct) or bool(value)


def shown(value: Any) -> bytes:
    """What `{{ value }}` writes."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        return b"true" if value else b"false"
    if isinstance(value, int | float):
        return go_json(value).encode()
    if value is None:
        return b"<no value>"
    if isinstance(value, Stringer) or (isinstance(value, Struct) and value.shown is not None):
        return go_json(value).encode()
    raise NotValid("the template writes a list or mapping as Go shows it to programmers")


def go_json(value: Any) -> str:
    """As encoding/json writes it: no blanks, keys sorted, `<`, `>` and `&` escaped."""
    if isinstance(value, bytes):
        text = json.dumps(value.decode(errors="replace"), ensure_ascii=False)
        for character in "<>&\u2028\u2029":
            text = text.replace(character, f"\\u{ord(character):04x}")
        return text
    if isinstance(value, str):
        return go_json(value.encode())
    if isinstance(value, Struct):
        return go_json_fields(value.shown)
    if isinstance(value, dict):
        return go_json_fields({key: value[key] for key in sorted(value, key=str.encode)})
    if isinstance(value, JsonList) and not value:
        return "null"
    if isinstance(value, list):
        return "[" + ",".join(map(go_json, value)) + "]"
    if isinstance(value, float):
        return _number(value)
    return json.dumps(value)


def go_json_fields(fields: Mapping[str, Any]) -> str:
    """An object whose keys have an order."""
    return "{" + ",".join(f"{go_json(key)}:{go_json(value)}" for key, value in fields.items()) + "}"


def _number(value: float) -> str:
    if value and not 1e-6 <= abs(value) < 1e21:
        return re.sub(r"e([+-])0(\d)$", r"e\1\2", f"{value!r}")
    return re.sub(r"\.0$", "", format(Decimal(repr(value)), "f"))


def _kind(value: Any) -> str:
    if value is None:
        return "<nil>"
    names = {bytes: "string", bool: "bool", int: "int", float: "float64", dict: "map[string]interface {}"}
    return names.get(type(value)) or ("[]interface {}" if type(value) is list else type(value).__name__)


def _printf(form: bytes, *values: Any) -> bytes:
    left = list(values)

    def write(found: re.Match[str]) -> str:
        width, precision, verb = found.groups()
        if verb == "%":
            return "%"
        wide = int(left.pop(0)) if width == "*" else int(width or 0)
        value = left.pop(0)
        if verb == "T":
            text = _kind(value)
        elif verb in "sv" or (verb == "d" and isinstance(value, int)):
            text = shown(value).decode(errors="surrogateescape")
        else:
            raise NotValid(f"the template uses %{verb}")
        return (text if precision is None else text[: int(precision)]).rjust(wide)

    text = re.sub(r"%(\*|\d+)?(?:\.(\d+))?(\w|%)", write, form.decode())
    return text.encode(errors="surrogateescape")


def _compared(first: Any, second: Any) -> bool:
    if type(first) is not type(second) and not (
        isinstance(first, int | float) and isinstance(second, int | float)
    ):
        raise TypeError(f"{_kind(first)} and {_kind(second)} cannot be compared")
    return first == second


def _index(value: Any, *keys: Any) -> Any:
    for key in keys:
        if isinstance(value, dict):
            value = value.get(key.decode() if isinstance(key, bytes) else key)
        elif not 0 <= key < len(value):
            raise IndexError(f"there is no element {key}")
        else:
            value = value[key]
    return value


def _slice(value: Any, *ends: int) -> Any:
    first, last = (*ends, len(value))[:2] if len(ends) < 2 else ends
    first = first if ends else 0
    if not 0 <= first <= last <= len(value):
        raise IndexError(f"there is nothing from {first} to {last}")
    return value[first:last]


def _print(*values: Any) -> bytes:
    """Blanks stand between values that are no strings."""
    text = b""
    for place, value in enumerate(values):
        apart = place and not isinstance(value, bytes) and not isinstance(values[place - 1], bytes)
        text += (b" " if apart else b"") + shown(value)
    return text


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "not": lambda value: not is_true(value),
    "eq": lambda first, *others: any(_compared(first, other) for other in others),
    "ne": lambda first, second: not _compared(first, second),
    "lt": lambda first, second: first < second,
    "le": lambda first, second: first <= second,
    "gt": lambda first, second: first > second,
    "ge": lambda first, second: first >= second,
    "len": len,
    "index": _index,
    "slice": _slice,
    "print": _print,
    "printf": _printf,
    "json": lambda value: go_json(value).encode(),
    "currentDate": lambda *_: date.today().isoformat().encode(),
}
