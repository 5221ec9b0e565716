"""Conversations in the dialects people keep them in → messages in the field's chat format.

    {"from": "human", "value": …}           ShareGPT: human, gpt, system, function_call, observation
    {"role": "user", "content": "…"}        OpenAI messages
    {"role": "user", "content": [{"type": "text", "text" or "value": …}, …]}     content in parts

Function calls become `tool_calls` of the OpenAI form with their arguments as an object, which is
what chat templates print. A reasoning part becomes `<think>…</think>` in front of the answer.
An answer with OpenAI's `weight: 0` keeps it: it is shown and not learned from. What is no part of a
message (loss_weight, …) is left out.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from nlp_skills.data.example import Message
from nlp_skills.errors import NotValid

ROLES = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "human": "user",
    "assistant": "assistant",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "bot": "assistant",
    "model": "assistant",
    "function_call": "function_call",
    "tool_call": "function_call",
    "tool": "tool",
    "observation": "tool",
    "function": "tool",
    "function_response": "tool",
    "tool_response": "tool",
}
"""How a turn's speaker is called → what the chat format calls it."""


def parse_json(text: str, what: str) -> Any:
    """The value of a JSON text inside a row. Raises NotValid naming what it should have been."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NotValid(f"{what} is not valid JSON: {error}") from None


def read_turns(value: Any) -> list[Mapping[str, Any]] | None:
    """The turns of a cell (a list, one turn, or the JSON text of either); None when it holds none."""
    if isinstance(value, str) and value.lstrip()[:1] in ("[", "{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    turns = [value] if isinstance(value, Mapping) else value
    if not isinstance(turns, list) or not turns:
        return None
    known = all(isinstance(turn, Mapping) and ("role" in turn or "from" in turn) for turn in turns)
    return turns if known else None


def is_nothing(value: Any) -> bool:
    """Whether a cell is empty; NaN is how tables say so."""
    return value is None or (isinstance(value, float) and math.isnan(value))


def to_text(value: Any, what: str) -> str:
    """A cell as text, unchanged: blanks matter in code. Objects and lists become their JSON.

    Raises NotValid for broken Unicode, which no JSON file can hold.
    """
    if is_nothing(value):
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))  # spreadsheets keep the label 1 as 1.0
    if isinstance(value, Mapping | list | tuple):
        value = json.dumps(value, ensure_ascii=False, default=str)
    text = str(value)
    if not text.isascii():
        try:
            text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise NotValid(f"{what} has half a character (a lone surrogate) at {error.start}") from None
    return text


def to_messages(turns: Sequence[Mapping[str, Any]]) -> list[Message]:
    """Turns of any dialect as messages. Raises NotValid for an unknown role or an empty turn."""
    return [_message(turn, f"turn {number}") for number, turn in enumerate(turns, start=1)]


def _message(turn: Mapping[str, Any], what: str) -> Message:
    name = str(turn["role"] if "role" in turn else turn["from"])
    role = ROLES.get(name.strip().lower())
    if role is None:
        raise NotValid(f"{what} has the unknown role {name!r}; known are: {', '.join(ROLES)}")
    value = turn.get("content", turn.get("value", turn.get("text")))
    if role == "function_call":
        return Message("assistant", tool_calls=to_tool_calls(value, what))
    if len(turn) == 2 and isinstance(value, str) and value.strip():  # nearly all turns of large files
        return Message(role, to_text(value, what))
    text, calls = _content(value, what)
    if reasoning := to_text(turn.get("reasoning_content"), what):
        text = _think(reasoning) + text
    if turn.get("tool_calls"):
        calls += to_tool_calls(turn["tool_calls"], what)
    elif turn.get("function_call"):  # what OpenAI called a single tool call first
        calls += to_tool_calls(turn["function_call"], what)
    if not text.strip() and not calls and role != "tool":
        raise NotValid(f"{what} ({name}) is empty")
    return Message(
        role,
        text or (None if calls else ""),
        tool_calls=calls or None,
        tool_call_id=to_text(turn.get("tool_call_id"), what) or None,
        name=to_text(turn.get("name"), what) or None,
        weight=_weight(turn.get("weight"), role, what),
    )


def _weight(value: Any, role: str, what: str) -> float | None:
    """0 for an answer that is not learned from; OpenAI knows no weight but 0 and 1."""
    if value is None or role != "assistant" or value == 1:
        return None
    if value != 0:
        raise NotValid(f"{what} has the weight {value!r}; it can be 0 or 1")
    return 0


def _content(value: Any, what: str) -> tuple[str, list[dict[str, Any]]]:
    if not isinstance(value, list):
        return to_text(value, what), []
    text, calls = "", []
    for part in value:
        kind = part.get("type", "text") if isinstance(part, Mapping) else "text"
        inner = part.get("text", part.get("value")) if isinstance(part, Mapping) else part
        if kind == "text":
            text += to_text(inner, what)
        elif kind in ("reasoning", "thinking"):
            text += _think(to_text(part.get("thinking", inner), what))
        elif kind == "tool_call":
            calls += to_tool_calls(inner, what)
        else:
            raise NotValid(
                f"{what} has a part of type {kind!r}, and models here read text alone: leave such parts out, or say in text"
                " what they show"
            )
    return text, calls


def _think(reasoning: str) -> str:
    return f"<think>\n{reasoning}\n</think>\n\n"


def to_tool_calls(value: Any, what: str) -> list[dict[str, Any]]:
    """One call, a list of calls, or the JSON text of either, in the OpenAI form."""
    if isinstance(value, str):
        value = parse_json(value, f"the function call of {what}")
    calls = value if isinstance(value, list) else [value]
    return [_tool_call(call, what) for call in calls]


def _tool_call(call: Any, what: str) -> dict[str, Any]:
    function = call.get("function", call) if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping) or not isinstance(function.get("name"), str):
        raise NotValid(f"{what} has a function call without a name")
    arguments = function.get("arguments", function.get("parameters", {}))
    if isinstance(arguments, str):
        arguments = parse_json(arguments or "{}", f"the arguments of {function['name']} in {what}")
    form = {"type": "function", "function": {"name": function["name"], "arguments": arguments}}
    return {"id": call["id"], **form} if call.get("id") else form


def to_tools(value: Any) -> list[dict[str, Any]] | None:
    """The tools that a row offers, in the OpenAI form; None when there are none."""
    if isinstance(value, str):
        value = parse_json(value, "tools") if value.strip() else None
    if not value:
        return None
    tools = value if isinstance(value, list) else [value]
    if not all(isinstance(tool, Mapping) for tool in tools):
        raise NotValid("tools is not a list of tool descriptions")
    return [dict(t) if "function" in t else {"type": "function", "function": dict(t)} for t in tools]
