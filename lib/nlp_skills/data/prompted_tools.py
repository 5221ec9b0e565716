"""Tools for chat templates that know none: the system prompt lists them, and a call is written as JSON.

    You can call these tools:                                       system
    {"name": "get_weather", "description": …, "parameters": {…}}
    To call a tool, answer with its JSON and nothing else: {"name": …, "arguments": {…}}. …

    {"name": "get_weather", "arguments": {"city": "Taipei"}}        assistant

`read_calls` also reads what templates with tools of their own write (<tool_call>…</tool_call>).
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

import msgspec

from nlp_skills.data.example import Example, Message

ASK = (
    'To call a tool, answer with its JSON and nothing else: {"name": …, "arguments": {…}}.'
    " Several calls are a JSON list."
)
RESULT = "Result of the tool: "
_MARKS = re.compile(r"</?tool_calls?>|\[/?TOOL_CALLS\]|<\|python_tag\|>|^```(?:json)?|```$", re.MULTILINE)


class Calls(NamedTuple):
    """Tool calls that were found in an answer."""

    calls: list[dict[str, Any]]
    """Each with `name` and `arguments`."""
    alone: bool
    """Nothing else stands in the answer."""


def with_prompted_tools(example: Example) -> Example:
    """The row with its tools in the system prompt and its calls as text; one without tools is as it was."""
    if not example.tools:
        return example
    messages = [_plain(message) for message in example.messages or []]
    own = messages.pop(0).content if messages and messages[0].role == "system" else None
    listed = "\n".join(_line(tool.get("function", tool)) for tool in example.tools)
    text = f"You can call these tools:\n{listed}\n{ASK}"
    system = Message("system", f"{own}\n\n{text}" if own else text)
    return msgspec.structs.replace(example, messages=[system, *messages], tools=None)


def _plain(message: Message) -> Message:
    if message.tool_calls:
        return Message("assistant", write_calls(message.tool_calls), weight=message.weight)
    if message.role == "tool":
        return Message("user", f"{RESULT}{message.content or ''}")
    return message


def write_calls(tool_calls: list[dict[str, Any]]) -> str:
    """Calls as an answer's text: one as an object, several as a list."""
    calls = [_call(call) for call in tool_calls]
    return _line(calls[0] if len(calls) == 1 else calls)


def read_calls(answer: str) -> Calls:
    """The tool calls of an answer; none where it holds no JSON with a name and arguments."""
    values, rest = json_values(answer)
    if rest:  # not before: a mark may stand inside an argument
        values, rest = json_values(_MARKS.sub("\n", answer))
    flat = [item for value in values for item in (value if isinstance(value, list) else [value])]
    calls = [_call(item) for item in flat if is_call(item)]
    return Calls(calls, alone=not rest and len(calls) == len(flat))


def is_call(value: Any) -> bool:
    """Whether a JSON value names a tool and gives its arguments."""
    inner = value.get("function", value) if isinstance(value, dict) else None
    return (
        isinstance(inner, dict)
        and isinstance(inner.get("name"), str)
        and isinstance(inner.get("arguments", inner.get("parameters")), dict)
    )


def _call(call: dict[str, Any]) -> dict[str, Any]:
    inner = call.get("function", call)
    return {"name": inner["name"], "arguments": inner.get("arguments", inner.get("parameters", {}))}


def json_values(text: str) -> tuple[list[Any], bool]:
    """The JSON objects and lists in a text, and whether anything else stands there."""
    decoder, values, rest, place = json.JSONDecoder(), [], False, 0
    while place < len(text):
        if text[place] in "{[":
            try:
                value, after = decoder.raw_decode(text, place)
                values.append(to_json_value(value))
                place = after
                continue
            except (ValueError, RecursionError):
                pass
        rest = rest or not (text[place].isspace() or text[place] in ",;")
        place += 1
    return values, rest


def to_json_value(value: Any) -> Any:
    """A value that a model wrote, as JSON in UTF-8 can hold it.

    Halves of a surrogate pair are joined or replaced; what Python's literals have beyond JSON (bytes, `...`) becomes text.
    """
    match value:
        case str():
            return value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
        case dict():
            return {_to_key(key): to_json_value(item) for key, item in value.items()}
        case list() | tuple():
            return type(value)(map(to_json_value, value))
        case int() | float() | None:
            return value
    return repr(value)


def _to_key(key: Any) -> str | int | float | None:
    plain = to_json_value(key)
    return repr(plain) if isinstance(plain, tuple) else plain


def _line(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
