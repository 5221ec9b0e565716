"""Naming what is wrong with a line that is no row, as exactly as a person needs to mend it.

msgspec only says that it refuses a line; the standard library's parser, slower and with hooks,
says why: duplicate keys, NaN, half a character, nesting.
"""

from __future__ import annotations

import codecs
import json
from collections.abc import Callable
from typing import Any, NamedTuple

from nlp_skills.data.example import Example

BROKEN = "broken"
DUPLICATE_KEY = "duplicate key"
NOT_A_NUMBER = "not a number"
ENCODING = "encoding"
BOM = "byte order mark"
SURROGATE = "surrogate"
TOO_LONG = "too long"
UNREAD = "unread"
TOO_DEEP = "too deep"
MISSING = "missing"
UNKNOWN = "unknown"
WRONG_TYPE = "wrong type"
INCOMPLETE = "incomplete"
UNANSWERED = "unanswered"
ORDER = "order of roles"
BLANK_ANSWER = "blank answer"
BLANK_TURN = "blank turn"


class Fault(NamedTuple):
    """One line's fault: its kind, and the reason as it is shown."""

    kind: str
    line: int
    reason: str


def diagnose(line: bytes, number: int, error: Exception) -> list[Fault]:
    """Every fault of a line that msgspec refused with this error."""
    if line.startswith(codecs.BOM_UTF8):
        return [Fault(BOM, number, "the line begins with a byte order mark (BOM)")]
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as broken:
        return [Fault(ENCODING, number, f"byte {broken.start + 1} is not UTF-8: {_start(line)}")]
    faults, parsed = _parse(text, number)
    # What is no JSON is not said to miss a field as well.
    if not faults or (parsed and all(fault.kind == DUPLICATE_KEY for fault in faults)):
        faults.append(Fault(_schema_kind(str(error)), number, f"{error}: {_start(line)}"))
    return faults


def diagnose_keys(line: bytes, number: int) -> list[Fault]:
    """The duplicate keys of a line that could be read."""
    return _parse(line.decode("utf-8"), number)[0]


def _parse(text: str, number: int) -> tuple[list[Fault], bool]:
    """The faults of a line as JSON, and whether it is JSON at all."""
    repeated: list[str] = []
    constants: list[str] = []
    try:
        value = json.loads(text, object_pairs_hook=_pairs(repeated), parse_constant=constants.append)
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except RecursionError:
        return [Fault(TOO_DEEP, number, f"nested too deeply: {_start(text)}")], False
    except UnicodeEncodeError:
        return [Fault(SURROGATE, number, f"half a character (a lone surrogate): {_start(text)}")], False
    except ValueError as error:
        return [Fault(BROKEN, number, f"{error}: {_start(text)}")], False
    faults = [Fault(DUPLICATE_KEY, number, f"{name!r} stands twice: {_start(text)}") for name in repeated[:1]]
    faults += [Fault(NOT_A_NUMBER, number, f"{name}: {_start(text)}") for name in constants[:1]]
    return faults, True


def _pairs(repeated: list[str]) -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    def build(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            seen: set[str] = set()
            repeated.extend(key for key, _ in pairs if key in seen or seen.add(key))
        return value

    return build


def _schema_kind(message: str) -> str:
    if message.startswith("Object missing"):
        return MISSING
    return UNKNOWN if message.startswith("Object contains unknown") else WRONG_TYPE


def blank_turn(line: int, turn: int, role: str, *, learned: bool) -> Fault:
    """A turn in which nothing can be read; `learned`: it is the answer that the model shall give."""
    return Fault(BLANK_ANSWER if learned else BLANK_TURN, line, f"turn {turn}, of {role!r}, is blank")


def _start(line: bytes | str) -> str:
    text = line[:400].decode("utf-8", errors="replace") if isinstance(line, bytes) else line[:200]
    return text.encode("utf-8", errors="replace").decode("utf-8")[:100]


def shape_of(example: Example) -> str:
    """What a row without question or answer lacks."""
    if example.messages is not None:
        others = any(part is not None for part in (example.prompt, example.chosen, example.rejected))
        return "messages beside prompt, chosen or rejected" if others else "messages is empty"
    parts = {"prompt": example.prompt, "chosen": example.chosen, "rejected": example.rejected}
    missing = [name for name, value in parts.items() if not value]
    if len(missing) == len(parts):
        return "neither messages nor prompt, chosen and rejected"
    return f"{' and '.join(missing)} missing or empty"
