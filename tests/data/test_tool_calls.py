"""Calls are compared with the tools that a row offers."""

import json
from pathlib import Path
from typing import Any

import pytest
from check_families import TRAIN, lines, make_task, over_rows, real_examples
from hypothesis import given
from hypothesis import strategies as st

from nlp_skills.data.checks.tool_calls import ToolCalls
from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.data.prepare import prepare_dataset
from nlp_skills.data.turns import to_tools
from nlp_skills.task.task import TaskType

TASK = make_task("tool_use")
COUNT = 30
places = st.lists(st.integers(0, COUNT - 1), unique=True, min_size=1, max_size=5).map(sorted)
WEATHER = {
    "name": "get_weather",
    "parameters": {
        "type": "dict",
        "properties": {
            "city": {"type": "str"},
            "days": {"type": "integer"},
            "unit": {"type": "string", "enum": ["C", "F"]},
            "at": {"type": "tuple", "items": {"type": "float"}},
            "more": {"type": "any"},
        },
        "required": ["city"],
    },
}
RIGHT = {"city": "Taipei", "days": 3, "unit": "C", "at": [25.0, 121.5], "more": {"a": None}}


def call(name: str, arguments: Any, **fields: Any) -> dict[str, Any]:
    return {**fields, "type": "function", "function": {"name": name, "arguments": arguments}}


def row(*turns: Message, tools: Any = (WEATHER,)) -> Example:
    messages = [Message("user", "How is the weather?"), *turns]
    return Example(meta=Meta(id="i", source="s"), messages=messages, tools=to_tools(list(tools)))


def calling(name: str, arguments: Any) -> Example:
    return row(Message("assistant", tool_calls=[call(name, arguments)]))


def only_reason(example: Example) -> tuple[str, str, str]:
    (finding,) = over_rows(ToolCalls, [example], TASK).findings()
    return finding.level, finding.message, finding.rows[0].text


def test_calls_that_fit_their_tools_pass() -> None:
    found = over_rows(ToolCalls, [calling("get_weather", RIGHT)] * COUNT, TASK)
    assert (found.findings(), found.not_run()) == ([], {})


FAULTS = {
    "undeclared": ("get_wether", RIGHT, "'get_wether' is not offered (did you mean \"get_weather\"?)"),
    "missing": ("get_weather", {"days": 3}, "get_weather: 'city' is a required property"),
    "type": ("get_weather", {"city": 7}, "get_weather: city: 7 is not of type 'string'"),
    "enum": ("get_weather", {"city": "x", "unit": "K"}, "get_weather: unit: 'K' is not one of ['C', 'F']"),
    "inside": (
        "get_weather",
        {"city": "x", "at": [1.5, "e"]},
        "get_weather: at.1: 'e' is not of type 'number'",
    ),
    "unknown argument": (
        "get_weather",
        {"city": "x", "town": "y"},
        "get_weather: Additional properties are not allowed ('town' was unexpected)",
    ),
    "a list": ("get_weather", ["x"], 'get_weather: the arguments are no object but ["x"]'),
    "text": ("get_weather", '{"city": "x"}', 'get_weather: the arguments are no object but {"city": "x"}'),
}


@pytest.mark.parametrize(("name", "arguments", "reason"), FAULTS.values(), ids=FAULTS)
@given(where=places)
def test_exactly_the_planted_faults_are_found(
    name: str, arguments: Any, reason: str, where: list[int]
) -> None:
    rows = [calling("get_weather", RIGHT) for _ in range(COUNT)]
    for n in where:
        rows[n] = calling(name, arguments)
    (finding,) = over_rows(ToolCalls, rows, TASK).findings()
    assert (finding.check, finding.level, finding.count) == ("DATA-ROLES", "error", len(where))
    assert [(shown.file, shown.line, shown.text) for shown in finding.rows] == [
        (TRAIN, n + 1, reason) for n in where
    ]


def test_a_result_has_to_name_a_call_that_was_made() -> None:
    def answered(id: str) -> Example:
        calls = Message("assistant", tool_calls=[call("get_weather", RIGHT, id="call-1")])
        return row(calls, Message("tool", "sunny", tool_call_id=id), Message("assistant", "Sunny."))

    assert over_rows(ToolCalls, [answered("call-1")], TASK).findings() == []
    assert only_reason(answered("call-2")) == (
        "error",
        "A tool result that belongs to no call before it: 1 row.",
        "turn 3: no call has the id 'call-2'",
    )


def test_calls_without_any_tools_and_schemas_that_are_none_are_warnings() -> None:
    bare = row(Message("assistant", tool_calls=[call("f", {})]), tools=[])
    assert only_reason(bare) == ("warning", "Calls in rows that offer no tools: 1 row.", "calls 'f'")
    broken = {"name": "f", "parameters": {"type": "object", "properties": {"a": {"enum": 3}}}}
    judged = row(Message("assistant", tool_calls=[call("f", {"a": 1})]), tools=[broken])
    level, message, text = only_reason(judged)
    assert (level, message) == ("warning", "A tool whose schema cannot be judged by: 1 row.")
    assert text.startswith(
        "f: its parameters are no JSON Schema: properties.a.enum: 3 is not of type 'array'"
    )


def test_a_tool_without_parameters_takes_no_arguments() -> None:
    tools = [{"name": "now"}]
    right, wrong = (
        row(Message("assistant", tool_calls=[call("now", a)]), tools=tools) for a in ({}, {"a": 1})
    )
    assert over_rows(ToolCalls, [right], TASK).findings() == []
    assert only_reason(wrong)[2] == 'now takes no arguments, but has {"a":1}'


def test_references_patterns_and_conditions_are_not_judged_and_fetch_nothing() -> None:
    parameters = {
        "type": "object",
        "$schema": "http://127.0.0.1:9/none",
        "properties": {
            "a": {"$ref": "http://127.0.0.1:9/schema.json"},
            "b": {"type": "string", "pattern": "^(a+)+$"},
            "c": {"oneOf": [{"type": "integer"}, {"type": "number"}]},
        },
        "not": {"required": ["a"]},
    }
    calls = [call("f", {"a": 1, "b": "a" * 50 + "!", "c": 1})]
    example = row(Message("assistant", tool_calls=calls), tools=[{"name": "f", "parameters": parameters}])
    assert over_rows(ToolCalls, [example], TASK).findings() == []


def bfcl_rows(folder: Path, name: str) -> list[Example]:
    """Questions of the leaderboard with the first accepted value of each argument; "" may be left out."""
    asked = [json.loads(line) for line in (folder / f"{name}.jsonl").read_text("utf-8").splitlines()]
    answers = (folder / "possible_answer" / f"{name}.jsonl").read_text("utf-8").splitlines()
    truth = {found["id"]: found["ground_truth"] for found in map(json.loads, answers)}
    rows = []
    for question in asked:
        calls = [
            {
                "name": tool,
                "arguments": {key: first_value(value) for key, value in given.items() if value[0] != ""},
            }
            for answer in truth[question["id"]]
            for tool, given in answer.items()
        ]
        turns = [*question["question"][0], {"role": "assistant", "tool_calls": calls}]
        rows.append({"messages": turns, "tools": question["function"]})
    return prepare_dataset(rows, type=TaskType.TOOL_USE)


def first_value(accepted: Any) -> Any:
    """Inside an object, too, every value is a list of accepted ones."""
    return plain_value(accepted[0]) if isinstance(accepted, list) and accepted else plain_value(accepted)


def plain_value(value: Any) -> Any:
    if isinstance(value, list):
        return [plain_value(item) for item in value]
    return {key: first_value(inner) for key, inner in value.items()} if isinstance(value, dict) else value


def test_python_flavoured_schemas_of_the_leaderboard_are_understood(shared_data: Path) -> None:
    """In one question the leaderboard accepts that an argument is left out which the tool requires."""
    examples = bfcl_rows(shared_data / "tool_use" / "bfcl_v4", "simple_python")
    (finding,) = over_rows(ToolCalls, examples, TASK).findings()
    assert (len(examples), finding.count, lines(finding)) == (400, 1, [201])
    assert finding.rows[0].text == "calculate_emissions: 'fuel_efficiency' is a required property"


def test_the_known_faults_of_real_tool_calls_are_found(shared_data: Path) -> None:
    glaive = real_examples(shared_data / "tool_use" / "glaive_toolcall_en_demo.json", "tool_use")
    reasoning = real_examples(shared_data / "tool_use" / "reason_tool_use_demo_50.jsonl", "tool_use")
    (one,) = over_rows(ToolCalls, glaive, TASK).findings()
    (other,) = over_rows(ToolCalls, reasoning, TASK).findings()
    assert (lines(one), one.rows[0].text) == (
        [260],
        "track_calories: calories_per_item: [150, 350, 800] is not of type 'number'",
    )
    assert (lines(other), other.rows[0].text) == (
        [18],
        "get_inflation_rate: Additional properties are not allowed ('year' was unexpected)",
    )
