"""What the types of a tool's schema mean for a value: BFCL writes Python's, Java's and JavaScript's names.

Java and JavaScript values come as text in their own syntax and are converted first (java_values.py,
javascript_values.py); text that is no value of its type stays text, and so has the wrong type.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, NamedTuple

from nlp_skills.evaluation.tool_use.java_values import JAVA_TYPES, java_value
from nlp_skills.evaluation.tool_use.javascript_values import JAVASCRIPT_TYPES, javascript_value

Language = Literal["python", "java", "javascript"]

PYTHON_TYPES: dict[str, type] = {
    "string": str,
    "integer": int,
    "float": float,
    "number": float,
    "boolean": bool,
    "array": list,
    "tuple": list,
    "dict": dict,
    "object": dict,
    "any": str,
}
"""BFCL's names, and JSON Schema's `number` and `object`, which tools of one's own are written with."""


class Syntax(NamedTuple):
    """How one language's values are read."""

    types: dict[str, type]
    with_items: tuple[str, ...]
    """Types whose `items` are looked at."""
    convert: Callable[[str, str, str | None], Any] | None
    """From text, its type and its items' type to a value; None where values come as they are."""


SYNTAXES: dict[Language, Syntax] = {
    "python": Syntax(PYTHON_TYPES, ("array", "tuple"), None),
    "java": Syntax(JAVA_TYPES, ("Array", "ArrayList"), java_value),
    "javascript": Syntax(JAVASCRIPT_TYPES, ("array",), javascript_value),
}
