"""Replies of models as tool calls: every usual way of writing them, and what is no call."""

from __future__ import annotations

import json

import pytest

from nlp_skills.evaluation.tool_use.calls import Call, openai_calls
from nlp_skills.evaluation.tool_use.function_syntax import split
from nlp_skills.evaluation.tool_use.replies import Reply, read_reply

WEATHER = Call("get_weather", {"city": "Taipei", "days": 2})
TIME = Call("get_time", {})
BOTH = [WEATHER, TIME]

AS_WRITTEN = {
    "OpenAI": json.dumps(openai_calls(BOTH)),
    "OpenAI, arguments as text": '[{"type": "function", "function": {"name": "get_weather", "arguments":'
    ' "{\\"city\\": \\"Taipei\\", \\"days\\": 2}"}}, {"type": "function", "function": {"name": "get_time", "arguments": ""}}]',
    "an OpenAI message": json.dumps({"role": "assistant", "content": None, "tool_calls": openai_calls(BOTH)}),
    "Hermes and Qwen": '<tool_call>\n{"name": "get_weather", "arguments": {"city": "Taipei", "days": 2}}\n</tool_call>\n'
    '<tool_call>\n{"name": "get_time", "arguments": {}}\n</tool_call>',
    "Qwen after thinking": '<think>\nget_time(a=1)?\n</think>\n\n<tool_call>{"name": "get_weather", "arguments":'
    ' {"city": "Taipei", "days": 2}}</tool_call><tool_call>{"name": "get_time", "arguments": {}}</tool_call>',
    "after thinking that the prompt began": '{"name": "get_time", "arguments": {"a": 1}}?\n</think>\n'
    '[get_weather(city="Taipei", days=2), get_time()]',
    "Qwen Coder": "<tool_call>\n<function=get_weather>\n<parameter=city>\nTaipei\n</parameter>\n<parameter=days>\n2\n"
    "</parameter>\n</function>\n</tool_call>\n<tool_call>\n<function=get_time>\n</function>\n</tool_call>",
    "Llama 3.1": '<|python_tag|>{"name": "get_weather", "parameters": {"city": "Taipei", "days": 2}}; {"name": "get_time",'
    ' "parameters": {}}<|eom_id|>',
    "Llama 3.1, own tag": '<function=get_weather>{"city": "Taipei", "days": 2}</function><function=get_time>{}</function>',
    "Llama 3.2": '[get_weather(city="Taipei", days=2), get_time()]',
    "BFCL's JSON": '```json\n[{"function": "get_weather", "parameters": {"city": "Taipei", "days": 2}},'
    ' {"function": "get_time", "parameters": {}}]\n```',
    "Mistral": '[TOOL_CALLS][{"name": "get_weather", "arguments": {"city": "Taipei", "days": 2}},'
    ' {"name": "get_time", "arguments": {}}]',
    "Mistral from 2025": '[TOOL_CALLS]get_weather[ARGS]{"city": "Taipei", "days": 2}[TOOL_CALLS]get_time[ARGS]{}',
    "Granite": '<|tool_call|>[{"name": "get_weather", "arguments": {"city": "Taipei", "days": 2}},'
    ' {"name": "get_time", "arguments": {}}]',
    "code on lines": "```python\nget_weather(city='Taipei', days=2)\nget_time()\n```",
    "words around": 'Sure.\n{"name": "get_weather", "arguments": {"city": "Taipei", "days": 2}}\nand\n'
    '{"name": "get_time", "arguments": {}}',
}


@pytest.mark.parametrize("text", AS_WRITTEN.values(), ids=AS_WRITTEN)
def test_calls_are_read_as_models_write_them(text: str):
    assert read_reply(text) == Reply(BOTH)


@pytest.mark.parametrize(
    "text",
    [
        '<tool_call>\n{"name": "f", "arguments": {"a": 1}',
        '{"name": "f", "arguments": [1, 2]}',
        '{"name": "f", "arguments": "not JSON"}',
        '[f(a=1, b="',
        "[TOOL_CALLS]f[ARGS]",
        '{"name": "f", "description": "Does.", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}',
        '<tool_call>{"name": "f", "arguments": {}}</tool_call><tool_call>{"name": 7, "arguments": {}}</tool_call>',
    ],
)
def test_a_call_that_is_begun_and_cannot_be_read_is_a_format_error(text: str):
    assert read_reply(text) == Reply([], unreadable=True)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "It is 25 °C in Taipei.",
        "[]",
        '{"city": "Taipei"}',
        "I would call get_weather (it knows the city).",
        "<think>get_weather(city=1)",
        "1. first\n2. second",
    ],
)
def test_an_answer_without_a_call_is_no_format_error(text: str):
    assert read_reply(text) == Reply([])


def test_a_mark_inside_an_argument_is_part_of_it():
    text = '<tool_call>{"name": "write", "arguments": {"text": "</tool_call> [f(a=1)]"}}</tool_call>'
    assert read_reply(text) == Reply([Call("write", {"text": "</tool_call> [f(a=1)]"})])


def test_values_of_code_are_pythons_and_names_stay_text():
    text = "m.f(a=-1, b=[1, 'x, y(', True], c={'k': (1, 2)}, d=10 / 4, e=other, f=g(1), g=None, h=3 + x)"
    arguments = {
        "a": -1,
        "b": [1, "x, y(", True],
        "c": {"k": (1, 2)},
        "d": 2.5,
        "e": "other",
        "f": "g(1)",
        "g": None,
        "h": "3 + x",
    }
    assert read_reply(text) == Reply([Call("m.f", arguments)])


def test_what_code_and_escapes_have_beyond_json_becomes_text():
    text = '[f(a=..., b=b"x", c={(1, 2): 3}, d=2j, e="\\ud83d\\ude00", f="\\ud83d", g=1)]'
    arguments = {
        "a": "Ellipsis",
        "b": "b'x'",
        "c": {"(1, 2)": 3},
        "d": "2j",
        "e": "😀",
        "f": "\ufffd",
        "g": 1,
    }
    assert read_reply(text) == Reply([Call("f", arguments)])
    assert read_reply(r'{"name": "f", "arguments": {"a": "\ud83d"}}') == Reply([Call("f", {"a": "\ufffd"})])


def test_values_of_java_stay_the_text_that_they_are():
    text = '[Cache.put(key="a=b", size=5L, of=new ArrayList<>(Arrays.asList("x", "y")), on=true)]'
    arguments = {
        "key": "a=b",
        "size": "5L",
        "of": 'new ArrayList<>(Arrays.asList("x", "y"))',
        "on": "true",
    }
    assert read_reply(text, "java") == Reply([Call("Cache.put", arguments)])


def test_text_is_split_outside_quotes_and_brackets_only():
    assert split(r"a, 'b, \' c', [d, (e, f)], {g, h}", ",") == [
        "a",
        r" 'b, \' c'",
        " [d, (e, f)]",
        " {g, h}",
    ]
