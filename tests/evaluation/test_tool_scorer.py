"""Verdicts over calls, each kind of fault once; how far they are those of BFCL is measured in test_tool_agreement.py."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from nlp_skills.evaluation.tool_use.ast_scorer import Verdict, score_calls, score_nothing, score_value
from nlp_skills.evaluation.tool_use.bfcl import Question, question
from nlp_skills.evaluation.tool_use.calls import Call
from nlp_skills.evaluation.tool_use.java_values import java_value
from nlp_skills.evaluation.tool_use.javascript_values import javascript_value

AREA = {
    "name": "area",
    "parameters": {
        "type": "dict",
        "properties": {
            "base": {"type": "float"},
            "unit": {"type": "string"},
            "corners": {"type": "array", "items": {"type": "integer"}},
        },
        "required": ["base"],
    },
}
ANSWER = {"area": {"base": [10.0], "unit": ["square meters", ""], "corners": [[1, 2], ""]}}


def judged(*calls: Call, parallel: bool = False, answers: Any = None) -> Verdict:
    return score_calls([AREA], list(calls), answers or [ANSWER], parallel=parallel)


@pytest.mark.parametrize(
    "arguments",
    [
        {"base": 10.0},
        {"base": 10},
        {"base": 10.0, "unit": "Square-Meters."},
        {"base": 10.0, "corners": [1, 2]},
        {"base": 10.0, "corners": []},
    ],
    ids=["as it is", "integer for float", "another spelling", "list", "empty list for none"],
)
def test_a_call_is_right_whatever_is_accepted(arguments: dict[str, Any]):
    assert judged(Call("area", arguments)) == Verdict(True)


@pytest.mark.parametrize(
    ("call", "verdict"),
    [
        (Call("size", {"base": 10}), ("wrong_tool", "'size' is called, 'area' expected")),
        (Call("area", {}), ("missing_parameter", "'base' is required and missing")),
        (Call("area", {"base": 10, "x": 1}), ("unexpected_parameter", "'x' is not expected")),
        (Call("area", {"base": "10"}), ("wrong_type", "'base' is str '10', not float")),
        (Call("area", {"base": 11}), ("wrong_value", "'base' is 11.0, not one of [10.0]")),
        (
            Call("area", {"base": 10, "corners": [2, 1]}),
            ("wrong_value", "'corners' is [2, 1], not one of [[1, 2], '']"),
        ),
        (
            Call("area", {"base": 10, "unit": 3}),
            ("wrong_type", "'unit' is int 3, not string"),
        ),
    ],
)
def test_what_is_wrong_with_a_call_has_a_name(call: Call, verdict: tuple[Any, str]):
    assert judged(call) == Verdict(False, *verdict)


def test_what_may_not_be_left_out_is_missed():
    answer = {"area": {"base": [10.0], "unit": ["m"]}}
    assert judged(Call("area", {"base": 10}), answers=[answer]) == Verdict(
        False, "missing_parameter", "'unit' is missing"
    )


def test_one_call_is_expected_unless_they_are_parallel():
    ten, eleven = Call("area", {"base": 10}), Call("area", {"base": 11})
    answers = [{"area": {"base": [11.0]}}, {"area": {"base": [10.0]}}]
    assert judged() == Verdict(False, "no_call", "no call, 1 expected")
    assert judged(ten, eleven) == Verdict(False, "wrong_count", "2 calls, 1 expected")
    assert judged(ten, eleven, parallel=True, answers=answers) == Verdict(True)
    assert judged(ten, ten, parallel=True, answers=answers) == Verdict(
        False, "wrong_value", "'base' is 10.0, not one of [11.0]"
    )


def test_where_no_tool_fits_no_call_is_right():
    call = Call("area", {})
    assert score_nothing([], wanted=False) == Verdict(True)
    assert score_nothing([call], wanted=False) == Verdict(
        False, "unwanted_call", "calls area, though no tool fits"
    )
    assert score_nothing([call], wanted=True) == Verdict(True)
    assert score_nothing([], wanted=True) == Verdict(False, "no_call", "no call, though a tool fits")


@pytest.mark.parametrize(
    ("value", "schema", "accepted", "right"),
    [
        ({"a": 1, "b": "X Y"}, {"type": "dict"}, [{"a": [1], "b": ["x-y", ""]}], True),
        ({"a": 1}, {"type": "dict"}, [{"a": [1], "b": ["x-y", ""]}], True),
        ({"b": "x y"}, {"type": "dict"}, [{"a": [1], "b": ["x-y", ""]}], False),
        ({"a": 1, "c": 1}, {"type": "dict"}, [{"a": [1]}], False),
        (
            [{"a": 1}, {"a": 2}],
            {"type": "array", "items": {"type": "dict"}},
            [[{"a": [1]}, {"a": [2]}]],
            True,
        ),
        (
            [{"a": 2}, {"a": 1}],
            {"type": "array", "items": {"type": "dict"}},
            [[{"a": [1]}, {"a": [2]}]],
            False,
        ),
        ([["A"]], {"type": "array", "items": {"type": "array"}}, [[["a"]]], False),
        ("n", {"type": "integer"}, ["n"], True),
        (True, {"type": "integer"}, [1], False),
        ((1, 2), {"type": "tuple", "items": {"type": "integer"}}, [[1, 2]], True),
        (7, {"type": "any"}, [7], True),
        ("2.5f", {"type": "float"}, [2.5], False),
        (None, {"type": "string"}, [""], False),
    ],
)
def test_a_value_is_compared_by_its_type(
    value: Any, schema: dict[str, Any], accepted: list[Any], right: bool
):
    assert score_value("p", value, schema, accepted).right is right


def test_a_schema_that_cannot_be_judged_by_is_told():
    assert score_value("p", 1, {"type": "Set"}, [1]) == Verdict(
        False, "bad_schema", "'p' has the type Set, which python does not know"
    )
    assert score_calls([AREA], [Call("f", {})], [{"f": {}}]) == Verdict(
        False, "bad_schema", "the expected tool 'f' is not offered"
    )


@pytest.mark.parametrize(
    ("text", "kind", "items", "value"),
    [
        ("5", "integer", None, 5),
        ("5", "long", None, "5"),
        ("5L", "long", None, 5),
        ("-3.5e2F", "float", None, -350.0),
        ("3.5", "float", None, "3.5"),
        ("3.5", "double", None, 3.5),
        ("true", "boolean", None, True),
        ("True", "boolean", None, "True"),
        ("'c'", "char", None, "'c'"),
        ("new int[]{1, 2}", "Array", "integer", [1, 2]),
        ('new ArrayList<>(Arrays.asList("a", "b"))', "ArrayList", "String", ["a", "b"]),
        ("new ArrayList<Integer>() {{ add(1); add(2); }}", "ArrayList", "integer", [1, 2]),
        ("new ArrayList<>()", "ArrayList", "String", []),
        (
            'new HashMap<String, Object>() {{ put("a", 1L); put("b", "x"); }}',
            "HashMap",
            None,
            {"a": 1, "b": "x"},
        ),
        ("new HashMap<>()", "HashMap", None, {}),
        ("list", "ArrayList", "String", "list"),
        ("anything", "any", None, "anything"),
        ("1" * 5000, "integer", None, "1" * 5000),
        # What a model repeats until its limit: neither of these may take longer than the others.
        ("new ArrayList<Integer>() {{" + " " * 5000, "ArrayList", "integer", []),
        ("new HashMap<A, B>() {" + " " * 5000, "HashMap", None, {}),
    ],
)
def test_java_code_becomes_values(text: str, kind: str, items: str | None, value: Any):
    assert java_value(text, kind, items) == value


@pytest.mark.parametrize(
    ("text", "kind", "items", "value"),
    [
        ("5", "integer", None, 5),
        ("5.5", "float", None, 5.5),
        ("5n", "Bigint", None, 5),
        ("false", "Boolean", None, False),
        ("'a'", "String", None, "a"),
        ("[1, 'two', true]", "array", None, [1, "two", True]),
        ("new Array(1, 2)", "array", "integer", [1, 2]),
        ("[[1, 2], [3, 4]]", "array", "array", [[1, 2], [3, 4]]),
        ("[]", "array", "String", []),
        ("{a: 1, 'b': [1, 2], c: \"x\"}", "dict", None, {"a": 1, "b": [1, 2], "c": "x"}),
        ("{}", "dict", None, {}),
        ("items", "array", "String", "items"),
        ("[[1, 2] x, [3]]", "array", "array", [[1, 2], [3]]),
        ("1" * 5000 + "n", "Bigint", None, "1" * 5000 + "n"),
        # As above: 2^100 ways to divide it would be tried.
        ("[" + "[1]," * 100, "array", "array", ["[1"]),
    ],
)
def test_javascript_code_becomes_values(text: str, kind: str, items: str | None, value: Any):
    assert javascript_value(text, kind, items) == value


def shared_questions(folder: Path, category: str) -> list[Question]:
    data = folder / "tool_use" / "bfcl_v4"
    rows = (data / f"{category}.jsonl").read_text(encoding="utf-8").splitlines()
    file = data / "possible_answer" / f"{category}.jsonl"
    found = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    answers = {row["id"]: row["ground_truth"] for row in map(json.loads, found)}
    return [question(row, category, answers.get(row["id"], [])) for row in map(json.loads, rows)]


def test_every_shared_question_takes_its_first_accepted_values(shared_data: Path):
    """But for those whose accepted values leave out a required parameter, or break the schema: nothing can be right there."""
    wrong = []
    for row in [
        *shared_questions(shared_data, "simple_python"),
        *shared_questions(shared_data, "live_simple"),
    ]:
        (name, accepted), *_ = row.answers[0].items()
        required = row.functions[0]["parameters"]["required"]
        first = {
            key: [option for option in options if option != ""] or [""]
            for key, options in accepted.items()
            if key in required or "" not in options
        }
        if not row.judge([Call(name, {key: filled(options[0]) for key, options in first.items()})]).right:
            wrong.append(row.id)
    assert wrong == ["live_simple_106-63-0", "live_simple_112-68-0"]


def filled(option: Any) -> Any:
    """A dictionary lists accepted values for each of its keys."""
    if isinstance(option, dict):
        return {key: values[0] for key, values in option.items() if "" not in values}
    if isinstance(option, list):
        return [filled(item) if isinstance(item, dict) else item for item in option]
    return option
