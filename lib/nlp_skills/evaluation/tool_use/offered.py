"""BFCL's functions as the tools that a model is offered, and its calls back under BFCL's names.

A function name with a dot is not allowed by most interfaces (OpenAI: letters, digits, _ and -), so `math.factorial` is
offered as `math_factorial`. Values of Java and JavaScript are asked for as text in their syntax, as BFCL asks for them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from nlp_skills.data.checks.tool_schemas import as_json_schema
from nlp_skills.evaluation.tool_use.calls import Call
from nlp_skills.evaluation.tool_use.schema_types import Language

_NOT_IN_A_NAME = re.compile(r"[^A-Za-z0-9_-]")


def offered_name(name: str) -> str:
    """The name under which a function is offered."""
    return _NOT_IN_A_NAME.sub("_", name)


def offered_tools(
    functions: Sequence[Mapping[str, Any]], language: Language = "python"
) -> list[dict[str, Any]]:
    """Functions as OpenAI tool definitions, with JSON Schema's types."""
    return [{"type": "function", "function": _offered(function, language)} for function in functions]


def _offered(function: Mapping[str, Any], language: Language) -> dict[str, Any]:
    parameters = function["parameters"]
    if language != "python":
        properties = {name: _as_text(schema, language) for name, schema in parameters["properties"].items()}
        parameters = {**parameters, "properties": properties}
    return {
        "name": offered_name(function["name"]),
        "description": function.get("description", ""),
        "parameters": as_json_schema(parameters),
    }


def _as_text(schema: Mapping[str, Any], language: Language) -> dict[str, Any]:
    """A parameter of Java or JavaScript: its value is asked for as text."""
    name = {"java": "Java", "javascript": "JavaScript"}[language]
    kind = schema["type"]
    said = [
        schema.get("description", "").rstrip(),
        f"Write the value as text, as {name} code of type {kind}.",
    ]
    if "items" in schema:
        said.append(f"Its elements are of type {schema['items']['type']}.")
    if "properties" in schema:
        said.append(f"Its entries: {json.dumps(schema['properties'], ensure_ascii=False)}")
    return {"type": "string", "description": " ".join(part for part in said if part)}


def original_calls(calls: Sequence[Call], functions: Sequence[Mapping[str, Any]]) -> list[Call]:
    """Calls under the functions' own names; one of an unknown name stays as it is."""
    names = {offered_name(function["name"]): function["name"] for function in functions}
    return [Call(names.get(call.name, call.name), call.arguments) for call in calls]
