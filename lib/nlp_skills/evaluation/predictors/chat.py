"""Rows as OpenAI's chat API writes them, and its answers as texts. llama.cpp and many others speak it too."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import msgspec

from nlp_skills.data.example import Example, Message
from nlp_skills.data.tokens import as_dicts
from nlp_skills.evaluation.predictors.reply import calls_text, reply_text


def chat_messages(context: Sequence[Message]) -> list[dict[str, Any]]:
    """The turns; every call has an id, arguments are JSON text, and a tool's result names the call that it answers."""
    waiting: list[str] = []
    said: list[dict[str, Any]] = []
    for number, turn in enumerate(as_dicts(context)):
        if turn.get("tool_calls"):
            calls = list(_calls(turn["tool_calls"], number))
            waiting = [call["id"] for call in calls]
            said.append({**turn, "content": turn.get("content"), "tool_calls": calls})
        elif turn["role"] == "tool":
            answered = turn.get("tool_call_id") or (waiting[0] if waiting else "call")
            waiting = [name for name in waiting if name != answered]
            said.append({**turn, "tool_call_id": answered})
        else:
            said.append(turn)
    return said


def _calls(calls: Sequence[Mapping[str, Any]], turn: int) -> Iterator[dict[str, Any]]:
    for place, call in enumerate(calls):
        function = call.get("function", call)
        arguments = function.get("arguments", {})
        text = arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)
        yield {
            "id": call.get("id") or f"call_{turn}_{place}",
            "type": "function",
            "function": {"name": function["name"], "arguments": text},
        }


def answer_text(example: Example, content: str | None, calls: Sequence[tuple[str, Any]]) -> str:
    """An answer as `Example.output_text` writes it; `calls` are names and arguments, as JSON text or as an object.

    Arguments that are no JSON object stay the text that they are: a fault of form, which is for the metrics to count.
    """
    if not calls:
        return reply_text(example, content or "")
    read = [(name, _arguments(given)) for name, given in calls]
    if all(isinstance(given, dict) for _, given in read):
        return calls_text([{"name": name, "arguments": given} for name, given in read])
    forms = [{"type": "function", "function": {"name": name, "arguments": given}} for name, given in read]
    return msgspec.json.encode(forms).decode()


def _arguments(given: Any) -> Any:
    try:
        found = json.loads(given or "{}") if isinstance(given, str) else given
    except (ValueError, RecursionError):
        return given
    return found if isinstance(found, dict) else given
