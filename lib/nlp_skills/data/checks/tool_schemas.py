"""A tool's `parameters` as a JSON Schema (2020-12) that arguments can be judged by.

Python's and Java's names of types, as the Berkeley Function Calling Leaderboard writes them, are read as those
of JSON Schema. An argument that `properties` does not list is an error unless `additionalProperties` allows it.
Not judged: patterns (they may run for hours), formats, references (they may lead into the network or in circles),
negations and conditions; of `oneOf` any may fit.
"""

from __future__ import annotations

from functools import lru_cache
from itertools import islice
from typing import Any

import msgspec

TYPES = {
    "dict": "object", "hashmap": "object", "map": "object", "struct": "object",
    "list": "array", "tuple": "array", "set": "array", "arraylist": "array",
    "float": "number", "double": "number", "decimal": "number",
    "int": "integer", "long": "integer", "short": "integer", "byte": "integer", "bigint": "integer",
    "str": "string", "char": "string", "text": "string",
    "bool": "boolean",
    "none": "null", "nonetype": "null",
}  # fmt: skip
"""A language's name of a type → JSON Schema's."""
_JSON_TYPES = frozenset(("object", "array", "number", "integer", "string", "boolean", "null"))
_INSIDE = ("properties", "dependentSchemas")
_LISTS = ("anyOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "contains", "propertyNames")
_NOT_JUDGED = (
    "pattern", "patternProperties", "format", "$schema", "$id", "$ref", "$dynamicRef", "$defs", "definitions",
    "not", "if", "then", "else", "unevaluatedItems", "unevaluatedProperties",
)  # fmt: skip

_encode = msgspec.json.Encoder(order="sorted").encode


def schema_problem(parameters: Any) -> str | None:
    """Why nothing can be judged by these parameters; None where it can."""
    validator = _validator(_encode(parameters))
    return validator if isinstance(validator, str) else None


def argument_problems(arguments: dict[str, Any], parameters: Any) -> list[str]:
    """Up to three ways in which arguments break the parameters of their tool; none where those are no schema."""
    validator = _validator(_encode(parameters))
    if isinstance(validator, str):
        return []
    return [_said(error) for error in islice(validator.iter_errors(arguments), 3)]


@lru_cache(maxsize=1024)
def _validator(parameters: bytes) -> Any:
    """What judges arguments by these parameters, or why nothing can."""
    from jsonschema import Draft202012Validator
    from jsonschema.exceptions import SchemaError

    schema = as_json_schema(msgspec.json.decode(parameters))
    if not isinstance(schema, dict):
        return f"its parameters are no schema but {short(schema)}"
    if schema.get("properties") and "additionalProperties" not in schema:
        schema["additionalProperties"] = False
    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        return f"its parameters are no JSON Schema: {_said(error)}"
    return Draft202012Validator(schema)


def as_json_schema(schema: Any) -> Any:
    """A tool's schema with JSON Schema's names of types, and without what is not judged."""
    if not isinstance(schema, dict):
        return schema
    found = {key: value for key, value in schema.items() if key not in _NOT_JUDGED}
    if "type" in found:
        found |= _type(found.pop("type"))
    if "oneOf" in found:
        found["anyOf"] = found.pop("oneOf")
    for key in _INSIDE:
        if isinstance(found.get(key), dict):
            found[key] = {name: as_json_schema(inner) for name, inner in found[key].items()}
    for key in _LISTS:
        if isinstance(found.get(key), list):
            found[key] = [as_json_schema(inner) for inner in found[key]]
    for key in _SINGLE:
        if isinstance(found.get(key), dict):
            found[key] = as_json_schema(found[key])
    if isinstance(found.get("required"), bool):  # as OpenAPI 2 marks a parameter; JSON Schema lists names
        del found["required"]
    return found


def _type(given: Any) -> dict[str, Any]:
    """`type` of JSON Schema; nothing where any value may stand (`any`, a type of the user's own)."""
    names = given if isinstance(given, list) else [given]
    known = [TYPES.get(str(name).lower(), str(name).lower()) for name in names]
    if not all(name in _JSON_TYPES for name in known):
        return {}
    return {"type": known if isinstance(given, list) else known[0]}


def _said(error: Any) -> str:
    """jsonschema's message with the place; it quotes values, which may be long."""
    place = ".".join(str(part) for part in error.absolute_path)
    return f"{place}: {short(error.message)}" if place else short(error.message)


def short(value: Any) -> str:
    """A value as it is shown: at most 100 characters of its JSON."""
    text = value if isinstance(value, str) else _encode(value).decode("utf-8", "replace")
    return text if len(text) <= 100 else f"{text[:99]}…"
