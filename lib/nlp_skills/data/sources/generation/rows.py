"""What a row has to look like, and the rows that stand in a model's answer.

schema: {text: string}  →  {"rows": [{"text": "…"}, …]}  as JSON Schema, for the provider and for us
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from pydantic_core import from_json

from nlp_skills.data.sources.source import GeneratedSource
from nlp_skills.errors import NotValid, did_you_mean

_NAMED = ("properties", "$defs", "definitions", "patternProperties", "dependentSchemas")
_LISTED = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "contains", "propertyNames", "not", "if", "then", "else")
"""Where a JSON Schema holds others: by name, in a list, alone."""

SCALARS = ("string", "integer", "number", "boolean")


def row_schema(source: GeneratedSource, *, labelled: bool) -> dict[str, Any]:
    """The JSON Schema of one row; a label that we give the rows ourselves is not asked for.

    Objects are closed and all their fields required unless they say otherwise, as structured output wants it.
    Raises NotValid for a type that is not known or a JSON Schema that is none.
    """
    fields = {name: _field(source, name, kind) for name, kind in source.row_schema.items()}
    if labelled:
        fields.pop("label", None)
    if not fields:
        raise NotValid(
            f"{source.name}: schema: names no field that the model should write. Give one: {{text: string}}"
        )
    return _closed({"type": "object", "properties": fields})


def _field(source: GeneratedSource, name: str, kind: str | dict[str, Any]) -> dict[str, Any]:
    if isinstance(kind, str):
        if kind not in SCALARS:
            raise NotValid(
                f"{source.name}: schema: {name}: unknown type {kind!r}{did_you_mean(kind, SCALARS)}; choose from:"
                f" {', '.join(SCALARS)}, or write a JSON Schema: {{type: array, items: {{type: string}}}}"
            )
        return {"type": kind}
    from jsonschema import Draft202012Validator, SchemaError

    try:
        Draft202012Validator.check_schema(kind)
    except SchemaError as error:
        raise NotValid(f"{source.name}: schema: {name} is not a JSON Schema: {error.message[:200]}") from None
    return copy.deepcopy(kind)


def _each(schema: Any, change: Callable[[Any], Any]) -> Any:
    """A copy of a JSON Schema in which the schemas directly inside it are changed; names and values stay."""
    if not isinstance(schema, dict):
        return schema
    inside = dict(schema)
    for name, part in schema.items():
        if name in _NAMED and isinstance(part, dict):
            inside[name] = {field: change(value) for field, value in part.items()}
        elif name in _LISTED and isinstance(part, list):
            inside[name] = [change(value) for value in part]
        elif name in _SINGLE and isinstance(part, dict):
            inside[name] = change(part)
    return inside


def _closed(schema: Any) -> Any:
    """A copy in which objects that name their fields take no others, and need all of them."""
    closed = _each(schema, _closed)
    if isinstance(closed, dict) and "properties" in closed:
        closed.setdefault("required", list(closed["properties"]))
        closed.setdefault("additionalProperties", False)
    return closed


def without_type_lists(schema: Any) -> Any:
    """`{"type": ["string", "null"]}` as `anyOf`, for providers that know one type at a time."""
    single = _each(schema, without_type_lists)
    if not isinstance(single, dict) or not isinstance(single.get("type"), list):
        return single
    kinds = [{"type": "null"} if kind == "null" else {**single, "type": kind} for kind in single["type"]]
    return kinds[0] if len(kinds) == 1 else {"anyOf": kinds}


def answer_schema(row: dict[str, Any]) -> dict[str, Any]:
    """The JSON Schema of a whole answer: an object, which every provider can be held to, with the list in it."""
    return {
        "type": "object",
        "properties": {"rows": {"type": "array", "items": row}},
        "required": ["rows"],
        "additionalProperties": False,
    }


def is_strict(schema: Any) -> bool:
    """Whether every object names all its fields and needs them: what OpenAI asks of `strict: true`."""
    inside: list[bool] = []

    def look(part: Any) -> Any:
        inside.append(is_strict(part))
        return part

    _each(schema, look)
    kinds = schema.get("type") if isinstance(schema, dict) else None
    if "object" in (kinds if isinstance(kinds, list) else [kinds]):
        named, needed = schema.get("properties", {}), schema.get("required", [])
        inside.append(schema.get("additionalProperties") is False and sorted(named) == sorted(needed))
    return all(inside)


def read_rows(text: str, row: dict[str, Any], *, cut: bool) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """(the rows of an answer that fit their schema, how many things were wrong by reason).

    Of an answer that was cut off all rows but the last count. Fields that nobody asked for are left out.
    """
    from jsonschema import Draft202012Validator

    found = _listed(text, cut=cut)
    if found is None:
        return [], {"not_json": 1}
    validator = Draft202012Validator(row)
    rows = [_known(item, row) for item in found[: len(found) - 1 if cut else None]]
    good = [item for item in rows if validator.is_valid(item)]
    return good, {"schema": len(rows) - len(good)} if len(good) < len(rows) else {}


def _known(item: Any, row: dict[str, Any]) -> Any:
    """The fields in the order of the schema."""
    if not isinstance(item, dict) or row.get("additionalProperties", True) is not False:
        return item
    return {name: item[name] for name in row["properties"] if name in item}


def _listed(text: str, *, cut: bool) -> list[Any] | None:
    """The list in `{"rows": […]}`, or a bare one; also inside a Markdown fence, which small models like."""
    body = text.strip()
    if body.startswith("```"):
        body = body.partition("\n")[2].rpartition("```")[0] or body.partition("\n")[2]
    try:
        value = from_json(body, allow_inf_nan=False, allow_partial=cut)
        json.dumps(value, ensure_ascii=False).encode("utf-8")  # half a character fits into no file
    except (ValueError, RecursionError):
        return None
    listed = value.get("rows") if isinstance(value, dict) else value
    return listed if isinstance(listed, list) else None
