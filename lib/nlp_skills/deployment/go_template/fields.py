"""What a chat template may ask of a request, and where Ollama keeps it.

Ollama's api/types.go and template/template.go: a message has Role, Content, Thinking, ToolCalls, ToolName and
ToolCallID; what is absent is empty there, so `is defined` becomes "is not empty". Other keys do not reach a template.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nlp_skills.deployment.go_template.go_words import field
from nlp_skills.deployment.go_template.values import UNDEFINED, Choice, Is, Items, Out, Text, Thing

Field = Callable[[str], Any]
"""From the Go expression of a thing to the value of its field."""


def _text(name: str) -> Field:
    return lambda go: Text((Out(field(go, name)),))


def _if_any(name: str, value: Field) -> Field:
    return lambda go: Choice(Is(field(go, name)), value(go), UNDEFINED)


def _optional(name: str) -> Field:
    return _if_any(name, _text(name))


def _thing(name: str, kind: str) -> Field:
    return lambda go: Thing(kind, field(go, name))


def _items(name: str, kind: str, *, mapping: bool = False) -> Field:
    return lambda go: Items(kind, field(go, name), mapping=mapping)


FIELDS: dict[str, dict[str, Field]] = {
    "message": {
        "role": _text("Role"),
        "content": _text("Content"),
        "tool_calls": _if_any("ToolCalls", _items("ToolCalls", "call")),
        "tool_call_id": _optional("ToolCallID"),
        "name": _optional("ToolName"),
        "reasoning_content": _optional("Thinking"),
        "reasoning": _optional("Thinking"),
        "thinking": _optional("Thinking"),
    },
    "call": {
        "function": _thing("Function", "called"),
        "id": _optional("ID"),
        "type": lambda _: "function",
    },
    "called": {"name": _text("Name"), "arguments": _items("Arguments", "any", mapping=True)},
    "tool": {"type": _text("Type"), "function": _thing("Function", "function")},
    "function": {
        "name": _text("Name"),
        "description": _text("Description"),
        "parameters": _thing("Parameters", "parameters"),
    },
    "parameters": {
        "type": _text("Type"),
        "properties": _items("Properties", "property", mapping=True),
        "required": _if_any("Required", _items("Required", "string")),
    },
    "property": {
        "type": _if_any("Type", _text("Type")),
        "description": _optional("Description"),
        "enum": _if_any("Enum", _items("Enum", "any")),
        "items": _if_any("Items", _thing("Items", "any")),
        "properties": _if_any("Properties", _items("Properties.ToMap", "property", mapping=True)),
        "required": _if_any("Required", _items("Required", "string")),
    },
    "any": {},
}


def element(kind: str, go: str) -> Any:
    """An element of a list or mapping of that kind."""
    return Text((Out(go),)) if kind == "string" else Thing(kind, go)
