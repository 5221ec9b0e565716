"""A tool call, out of the JSON that models and APIs write.

{"name": "f", "arguments": {…}}                                      Hermes, Qwen, Mistral; "parameters": Llama
{"type": "function", "function": {"name": "f", "arguments": "{…}"}}   OpenAI; arguments as text or as an object
{"function": "f", "parameters": {…}}                                  BFCL's JSON format
{"tool_calls": […]}                                                   a whole message of OpenAI's
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec


class Call(msgspec.Struct, frozen=True):
    """One tool call."""

    name: str
    arguments: dict[str, Any]


_KEYS = ("arguments", "parameters", "args")
"""Where arguments stand, by who writes them."""


def calls_in(value: Any) -> Iterator[Call | None]:
    """The calls of a JSON value; None for what names a tool and cannot be read. Nothing for other JSON."""
    if isinstance(value, list):
        for item in value:
            yield from calls_in(item)
    elif isinstance(value, dict) and isinstance(value.get("tool_calls"), list):
        yield from calls_in(value["tool_calls"])
    elif isinstance(value, dict):
        inner = value.get("function", value)
        if isinstance(inner, str):
            inner = {**value, "name": inner}
        if isinstance(inner, dict) and "name" in inner and any(key in inner for key in _KEYS):
            yield _call(inner)


def _call(value: Mapping[str, Any]) -> Call | None:
    arguments = next(value[key] for key in _KEYS if key in value)
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments or "{}")
        except (ValueError, RecursionError):
            return None
    name = value["name"]
    if (
        isinstance(arguments, dict)
        and isinstance(arguments.get("properties"), dict)
        and "description" in value
    ):
        return None  # the definition of a tool, said again
    return Call(name, arguments) if isinstance(name, str) and name and isinstance(arguments, dict) else None


def openai_calls(calls: list[Call], first: int = 0) -> list[dict[str, Any]]:
    """Calls as messages carry them; their ids count from `first`."""
    return [
        {
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for number, call in enumerate(calls, start=first)
    ]
