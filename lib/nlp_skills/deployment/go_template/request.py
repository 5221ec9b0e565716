"""A conversation as Ollama is asked it, and what a TEMPLATE sees of it.

Ollama's api/types.go and template/template.go: neighbours of one role are joined, all system texts are gathered in
.System, a schema keeps only the keys that Ollama has fields for, and arguments and properties lose their order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nlp_skills.deployment.go_template.go_engine import execute
from nlp_skills.deployment.go_template.go_functions import JsonList, JsonMap, Struct
from nlp_skills.deployment.go_template.go_syntax import Template
from nlp_skills.errors import NotValid

_THINK, _THOUGHT = "<think>", "</think>"


def ollama_request(
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] | None = None,
    *,
    think: bool | None = None,
    apart: bool = False,
) -> dict[str, Any]:
    """The body of /api/chat for messages in the trainer's form (data.tokens.as_dicts).

    `apart` takes the reasoning that stands in an answer (`<think>…</think>`) out of it, as Ollama itself hands it back.
    """
    request: dict[str, Any] = {"messages": [_message(message, apart) for message in messages]}
    if tools:
        request["tools"] = [dict(tool) for tool in tools]
    if think is not None:
        request["think"] = think
    return request


def _message(message: Mapping[str, Any], apart: bool) -> dict[str, Any]:
    told: dict[str, Any] = {"role": message["role"], "content": message.get("content") or ""}
    if message.get("reasoning_content"):
        told["thinking"] = message["reasoning_content"]
    elif apart and message["role"] == "assistant" and _THOUGHT in told["content"]:
        reasoning, _, answer = told["content"].partition(_THOUGHT)
        told["thinking"], told["content"] = reasoning.split(_THINK)[-1].strip(), answer.lstrip()
    if message.get("tool_calls"):
        told["tool_calls"] = [
            {
                **({"id": call["id"]} if call.get("id") else {}),
                "function": {key: call.get("function", call)[key] for key in ("name", "arguments")},
            }
            for call in message["tool_calls"]
        ]
    if message.get("name"):
        told["tool_name"] = message["name"]
    if message.get("tool_call_id"):
        told["tool_call_id"] = message["tool_call_id"]
    return told


def render(template: Template, request: Mapping[str, Any]) -> str:
    """The prompt that Ollama makes of the request. Raises NotValid where Go would stop."""
    system, messages = _collated(request["messages"])
    think = request.get("think")
    data = {
        "System": system.encode(),
        "Messages": messages,
        "Tools": JsonList(map(_tool, request.get("tools") or ())),
        "Response": b"",
        "Think": bool(think),
        "ThinkLevel": think.encode() if isinstance(think, str) else b"",
        "IsThinkSet": think is not None,
    }
    return execute(template, data)


def _collated(given: Sequence[Mapping[str, Any]]) -> tuple[str, list[Struct]]:
    system = "\n\n".join(message["content"] for message in given if message["role"] == "system")
    joined: list[Struct] = []
    for message in given:
        seen = _seen(message)
        if joined and joined[-1]["Role"] == seen["Role"] != b"tool":
            joined[-1]["Content"] += b"\n\n" + seen["Content"]
        else:
            joined.append(seen)
    return system, joined


def _seen(message: Mapping[str, Any]) -> Struct:
    calls = [
        Struct(
            {
                "ID": call.get("id", "").encode(),
                "Function": Struct(
                    {
                        "Index": call["function"].get("index", 0),
                        "Name": call["function"]["name"].encode(),
                        "Arguments": JsonMap(_decoded(call["function"]["arguments"])),
                    }
                ),
            }
        )
        for call in message.get("tool_calls", ())
    ]
    return Struct(
        {
            "Role": message["role"].lower().encode(),
            "Content": message["content"].encode(),
            "Thinking": message.get("thinking", "").encode(),
            "Images": [],
            "ToolCalls": calls,
            "ToolName": message.get("tool_name", "").encode(),
            "ToolCallID": message.get("tool_call_id", "").encode(),
        }
    )


def _decoded(value: Any) -> Any:
    """JSON as Go decodes it into `any`: every number is a float64."""
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, Mapping):
        return {key: _decoded(one) for key, one in value.items()}
    return [_decoded(one) for one in value] if isinstance(value, list) else value


def _tool(given: Mapping[str, Any]) -> Struct:
    function = given["function"]
    parameters = _parameters(function.get("parameters") or {})
    shown = {
        "name": function["name"],
        "description": function.get("description") or "",
        "parameters": parameters,
    }
    seen = {
        "Name": function["name"].encode(),
        "Description": shown["description"].encode(),
        "Parameters": parameters,
    }
    fields = {"Type": given.get("type", "").encode(), "Items": None, "Function": Struct(seen, shown)}
    return Struct(fields, {"type": given.get("type", ""), "function": fields["Function"]})


def _parameters(given: Mapping[str, Any]) -> Struct:
    properties = JsonMap({name: _property(one) for name, one in (given.get("properties") or {}).items()})
    required = [name.encode() for name in given.get("required") or ()]
    definitions, items = _decoded(given.get("$defs")), _decoded(given.get("items"))
    shown = {"type": given.get("type", ""), "$defs": definitions, "items": items, "required": required}
    return Struct(
        {
            "Type": shown["type"].encode(),
            "Defs": definitions,
            "Items": items,
            "Required": required,
            "Properties": properties,
        },
        {"type": shown.pop("type"), **{k: v for k, v in shown.items() if v}, "properties": properties},
    )


def _property(given: Any) -> Struct:
    if not isinstance(given, Mapping):
        raise NotValid(f"a parameter's schema is {given!r}, which Ollama does not take")
    kind = given.get("type") or ()
    kinds = [one.encode() for one in ((kind,) if isinstance(kind, str) else kind)]
    inner = given.get("properties")
    nested = {name: _property(one) for name, one in inner.items()} if inner is not None else None
    fields = {
        "AnyOf": [_property(one) for one in given.get("anyOf") or ()],
        "Type": kinds,
        "Items": _decoded(given.get("items")),
        "Description": (given.get("description") or "").encode(),
        "Enum": _decoded(list(given.get("enum") or ())),
        "Properties": None if nested is None else Struct({"ToMap": nested, "Len": len(nested)}, nested),
        "Required": [name.encode() for name in given.get("required") or ()],
    }
    names = {name: name[0].lower() + name[1:] for name in fields}
    shown = {names[name]: value for name, value in fields.items() if value}
    if len(kinds) == 1:
        shown["type"] = kinds[0]
    return Struct(fields, shown)
