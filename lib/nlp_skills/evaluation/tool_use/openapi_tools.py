"""The operations of an OpenAPI 3 description as tools: parameters and the fields of the JSON body are arguments.

GET /pets/{id}  operationId: getPet   ──▶   {"name": "getPet", "parameters": {"properties": {"id": …}}}
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from nlp_skills.errors import NotValid

_METHODS = ("get", "put", "post", "delete", "patch", "head", "options", "trace")
_BY_PROTOCOL = ("accept", "content-type", "authorization")
"""Header parameters that OpenAPI itself tells to ignore."""
_COMPOSED = ("allOf", "anyOf", "oneOf")
"""A body with one of these has more fields than its `properties` name: it is one argument."""
_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST_NAME = 64


def openapi_tools(description: Mapping[str, Any], path: Path | str) -> list[dict[str, Any]]:
    """A tool for each operation. Raises NotValid for another version, or a reference that leads nowhere."""
    version = str(description.get("openapi") or description.get("swagger"))
    if not version.startswith("3."):
        raise NotValid(
            f"{path} is OpenAPI {version}; only OpenAPI 3 is read. Convert it with a converter first."
        )
    taken: set[str] = set()
    tools = []
    for address, method, shared, operation in _operations(description, path):
        where = f"{path}: {method.upper()} {address}"
        name = _free(_name(operation, method, address), taken)
        taken.add(name)
        told = [str(operation[key]).strip() for key in ("summary", "description") if operation.get(key)]
        parameters = _arguments(
            [*shared, *(operation.get("parameters") or [])], operation, description, where
        )
        text = "\n".join(dict.fromkeys(told)) or f"{method.upper()} {address}"
        tools.append(
            {"type": "function", "function": {"name": name, "description": text, "parameters": parameters}}
        )
    if not tools:
        raise NotValid(f"{path} describes no operation under paths.")
    return tools


def _operations(
    description: Mapping[str, Any], path: Path | str
) -> Iterator[tuple[str, str, list[Any], Mapping[str, Any]]]:
    """Address, method, the parameters of all methods of the address, the operation."""
    for address, given in (description.get("paths") or {}).items():
        item = given
        if isinstance(item, Mapping) and isinstance(item.get("$ref"), str):
            item = _found(item["$ref"], description, f"{path}: {address}")
        for method in _METHODS:
            if isinstance(item, Mapping) and isinstance(item.get(method), Mapping):
                yield address, method, item.get("parameters") or [], item[method]


def _name(operation: Mapping[str, Any], method: str, address: str) -> str:
    """The operation's id; method and address where it has none, or one without a letter that a name may have."""
    names = (str(operation.get("operationId") or ""), f"{method}{address}")
    plain = (_NOT_IN_A_NAME.sub("_", name).strip("_")[:_LONGEST_NAME] for name in names)
    return next(filter(None, plain))


def _free(name: str, taken: set[str]) -> str:
    number, free = 2, name
    while free in taken:
        free = f"{name[: _LONGEST_NAME - 4]}_{number}"
        number += 1
    return free


def _arguments(
    parameters: list[Any], operation: Mapping[str, Any], description: Mapping[str, Any], where: str
) -> dict[str, Any]:
    """The schema of an operation's arguments."""
    properties: dict[str, Any] = {}
    required: list[str] = []
    known = [_resolved(given, description, where) for given in parameters]
    # An operation's own parameter takes the place of the path's of the same name.
    for (name, place), parameter in {(str(p.get("name")), p.get("in")): p for p in known}.items():
        if place == "cookie" or (place == "header" and name.lower() in _BY_PROTOCOL):
            continue
        properties[name] = _described(_schema(parameter), parameter)
        required += [name] if parameter.get("required") else []
    body = _resolved(operation.get("requestBody") or {}, description, where)
    schema = _resolved(_schema(body), description, where)
    if isinstance(schema.get("properties"), Mapping) and not any(key in schema for key in _COMPOSED):
        sent = {name: field for name, field in schema["properties"].items() if not _is_read_only(field)}
        properties |= sent
        asked = [name for name in schema.get("required", []) if name in sent]
        required += asked if body.get("required") else []
    elif schema:
        properties["body"] = _described(schema, body)
        required += ["body"] if body.get("required") else []
    found: dict[str, Any] = {"type": "object", "properties": _resolved(properties, description, where)}
    return {**found, "required": list(dict.fromkeys(required))} if required else found


def _schema(holder: Mapping[str, Any]) -> Mapping[str, Any]:
    """The schema of a parameter or a body; of several kinds of content JSON comes first. Any value where it says nothing."""
    content = holder.get("content") or {}
    kind = next((kind for kind in content if "json" in kind), next(iter(content), None))
    place = holder if "schema" in holder else content.get(kind)
    schema = place.get("schema") if isinstance(place, Mapping) else None
    return schema if isinstance(schema, Mapping) else {}


def _is_read_only(field: Any) -> bool:
    """Fields that only an answer holds: no request sends them."""
    return isinstance(field, Mapping) and field.get("readOnly") is True


def _described(schema: Mapping[str, Any], holder: Mapping[str, Any]) -> Mapping[str, Any]:
    text = holder.get("description")
    return {**schema, "description": text} if text else schema


def _resolved(value: Any, description: Mapping[str, Any], where: str, within: tuple[str, ...] = ()) -> Any:
    """The value with what its references name; one that leads back to itself ends as any object."""
    if isinstance(value, list):
        return [_resolved(item, description, where, within) for item in value]
    if not isinstance(value, Mapping):
        return value
    reference = value.get("$ref")
    if not isinstance(reference, str):
        return {key: _resolved(item, description, where, within) for key, item in value.items()}
    if reference in within:
        return {"type": "object"}
    target = _found(reference, description, where)
    beside = {key: item for key, item in value.items() if key != "$ref"}
    resolved = _resolved(target, description, where, (*within, reference))
    return {**resolved, **beside} if isinstance(resolved, dict) else resolved


def _found(reference: str, description: Mapping[str, Any], where: str) -> Any:
    """What a JSON pointer within the description names (RFC 6901, as a fragment of a URI)."""
    if not reference.startswith("#/"):
        raise NotValid(
            f"{where} refers to {reference}, another file. Bundle the description into one file first."
        )
    value: Any = description
    for part in reference[2:].split("/"):
        key: Any = unquote(part).replace("~1", "/").replace("~0", "~")
        try:
            value = value[int(key) if isinstance(value, list) else key]
        except (LookupError, TypeError, ValueError):
            raise NotValid(f"{where} refers to {reference}, which is not there.") from None
    return value
