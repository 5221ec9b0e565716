"""JSON in answers: what is valid, and when two values are the same.

Numbers are equal by their value (1 and 1.0), true is not 1, and the order of an object's keys does not count.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from nlp_skills.evaluation.results import Prediction

NOT_JSON: Any = object()
"""What an answer is read as that is no JSON."""

DEEPEST = 100
"""Levels that an answer may nest; RFC 8259 leaves the limit to the reader."""


def read_json(text: str) -> Any:
    """The value of a text that is JSON and nothing else (RFC 8259); NOT_JSON for any other text.

    NaN and Infinity, which Python would take, are no JSON; neither is what nests deeper than DEEPEST.
    """
    try:
        value = json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError):
        return NOT_JSON
    return NOT_JSON if text.count("[") + text.count("{") > DEEPEST < _depth(value) else value


def _depth(value: Any) -> int:
    level, depth = [value], 0
    while level := [v for v in level if isinstance(v, dict | list)]:
        depth += 1
        level = [inner for v in level for inner in (v.values() if isinstance(v, dict) else v)]
    return depth


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no JSON")


def read_structure(text: str) -> dict[str, Any] | list[Any] | None:
    """The JSON object or list that a text is; None when it is neither."""
    value = read_json(text) if text.lstrip()[:1] in ("{", "[") else None
    return value if isinstance(value, dict | list) else None


def is_same(a: Any, b: Any) -> bool:
    """Whether two JSON values are equal."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(is_same(value, b[key]) for key, value in a.items())
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(is_same, a, b))
    return bool(a == b)


def expect_structures(rows: Sequence[Prediction]) -> bool:
    """Whether every right answer is a JSON object or list."""
    return bool(rows) and all(read_structure(row.expected) is not None for row in rows)
