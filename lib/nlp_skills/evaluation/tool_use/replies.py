"""The tool calls of a model's reply, whichever of the usual ways it writes them.

    JSON                      {"name": …, "arguments": {…}}, or a list of them, in a code block or not
    Hermes, Qwen 2.5 and 3    <tool_call>{…}</tool_call>
    Qwen 3 Coder              <tool_call><function=f><parameter=a>1</parameter></function></tool_call>
    Llama 3.1                 <|python_tag|>{…}; {…}  or  <function=f>{…}</function>
    Llama 3.2 and 4, BFCL     [f(a=1), g(b="x")]
    Mistral                   [TOOL_CALLS][{…}]  or  [TOOL_CALLS]f[ARGS]{…}
    Granite, Phi              <|tool_call|>[{…}]

What stands beside the calls is no fault; reasoning (<think>…</think>, which some templates open in the prompt) is not looked at. A reply that begins a call and
cannot be read as one is a format error.
"""

from __future__ import annotations

import json
import re
from typing import Any, NamedTuple

from nlp_skills.data.prompted_tools import json_values, to_json_value
from nlp_skills.evaluation.tool_use.calls import Call, calls_in
from nlp_skills.evaluation.tool_use.function_syntax import read_function_calls
from nlp_skills.evaluation.tool_use.schema_types import Language


class Reply(NamedTuple):
    """What a reply calls."""

    calls: list[Call]
    unreadable: bool = False
    """It begins a call that cannot be read."""


_THINKING = re.compile(r"<think>.*?(</think>|\Z)", re.DOTALL)
_FENCE = re.compile(r"^`+(?:\w*\n)?|`+$")
_MARKS = re.compile(r"</?tool_calls?>|\[/?TOOL_CALLS\]|<\|tool_calls?\|>|<\|/?python_tag\|>|<\|eo[mt]_id\|>")
_FUNCTION_TAG = re.compile(r"<function=([\w.\-]+)>(.*?)</function>", re.DOTALL)
_PARAMETER_TAG = re.compile(r"<parameter=([\w.\-]+)>(.*?)</parameter>", re.DOTALL)
_ARGS = re.compile(r"([\w.\-]+)\[ARGS\]")
_BEGUN = re.compile(
    r"</?tool_calls?>|\[TOOL_CALLS\]|<\|tool_calls?\|>|<\|python_tag\|>|<function=|\[ARGS\]"
    r'|^(?:```\w*\s*)?\[?\s*\{\s*"(?:name|function|tool_calls)"\s*:'
    r'|\{\s*"(?:name|function)"\s*:\s*"[^"]*"\s*,\s*"(?:arguments|parameters|args)"\s*:'
    r"|^\s*\[?\s*[A-Za-z_][\w.]*\([^)\n]*="
)
"""The beginning of a call."""


def read_reply(text: str, language: Language = "python") -> Reply:
    """The calls of a reply, in order. `language` is that of values in calls that are written as code."""
    thought, closed, said = text.partition("</think>")
    text = _THINKING.sub("", said if closed and "<think>" not in thought else text).strip()
    if not text:
        return Reply([])
    found = _from_json(text) or _tagged(text)
    if not found:
        code = read_function_calls(_FENCE.sub("", _MARKS.sub("", text).strip()), language)
        found = list(code or [])
    calls = [Call(call.name, to_json_value(call.arguments)) for call in found if call is not None]
    lost = len(calls) < len(found) or (not calls and _BEGUN.search(text) is not None)
    return Reply([] if lost else calls, lost)


def _from_json(text: str) -> list[Call | None]:
    """Calls of all JSON in a text; a mark may stand inside an argument, so the text is read with them first."""
    return _in_values(text) or _in_values(_MARKS.sub("\n", text))


def _in_values(text: str) -> list[Call | None]:
    return [call for value in json_values(text)[0] for call in calls_in(value)]


def _tagged(text: str) -> list[Call | None]:
    """Calls whose name stands in a tag."""
    found: list[Call | None] = []
    for name, body in _FUNCTION_TAG.findall(text):
        parameters = _PARAMETER_TAG.findall(body)
        if parameters or not body.strip():
            found.append(Call(name, {key: _value(value.strip("\n")) for key, value in parameters}))
        else:
            found.append(_with_json(name, body))
    for match in _ARGS.finditer(text):
        found.append(_with_json(match[1], text[match.end() :]))
    return found


def _with_json(name: str, text: str) -> Call | None:
    values, _ = json_values(text)
    return Call(name, values[0]) if values and isinstance(values[0], dict) else None


def _value(text: str) -> Any:
    """A value that is written without quotes: JSON where it is, otherwise text."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text
