"""The JSON Schema that a set of values keeps: what they all are is required, what none has is not allowed.

{"to": "Ann", "cc": null}  {"to": "Bob"}   →   object, required: to; to: string; cc: null; nothing else
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def infer_schema(values: Sequence[Any]) -> dict[str, Any]:
    """The schema (draft 2020-12) of the values. Whole numbers and others are one type: few rows show both."""
    schema: dict[str, Any] = {"type": sorted({_type(value) for value in values})}
    objects = [value for value in values if isinstance(value, dict)]
    if objects:
        keys = {key: None for value in objects for key in value}
        schema["properties"] = {key: infer_schema([o[key] for o in objects if key in o]) for key in keys}
        schema["required"] = [key for key in keys if all(key in o for o in objects)]
        schema["additionalProperties"] = False
    items = [item for value in values if isinstance(value, list) for item in value]
    if items:
        schema["items"] = infer_schema(items)
    return schema


def _type(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "boolean"
        case int() | float():
            return "number"
        case str():
            return "string"
        case list():
            return "array"
        case _:
            return "object"
