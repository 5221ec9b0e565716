"""Marks of a row's calls, the metrics that add them up, and the targets beside them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nlp_skills.evaluation.metrics import METRICS
from nlp_skills.evaluation.metrics.tool_calls import TOOL_CALLS
from nlp_skills.evaluation.results import CallMarks, Interval, Latency, Prediction
from nlp_skills.evaluation.significance import interval
from nlp_skills.evaluation.tool_use.bfcl import Question
from nlp_skills.evaluation.tool_use.calls import Call, openai_calls
from nlp_skills.evaluation.tool_use.marks import marks_of, question_marks
from nlp_skills.evaluation.tool_use.record import Target
from nlp_skills.evaluation.tool_use.replies import Reply
from nlp_skills.evaluation.tool_use.targets import targets
from nlp_skills.task.task import METRICS as METRICS_OF
from nlp_skills.task.task import TaskType


def text(*calls: Call) -> str:
    return json.dumps(openai_calls(list(calls)))


TAIPEI = Call("get_weather", {"city": "Taipei", "days": 2})
TAINAN = Call("get_weather", {"city": "Tainan", "days": 2})
CLOCK = Call("get_time", {})


@pytest.mark.parametrize(
    ("expected", "predicted", "marks"),
    [
        (
            text(TAIPEI),
            '[get_weather(city="Taipei", days=2)]',
            {"wanted": True, "made": True, "right": True, "selected": True, "parameters": 2, "right_parameters": 2},
        ),
        (
            text(TAIPEI),
            text(TAINAN),
            {
                "wanted": True, "made": True, "right": False, "selected": True, "parameters": 2, "right_parameters": 1,
                "fault": "wrong_value",
            },
        ),
        (
            text(TAIPEI),
            text(Call("get_weather", {"city": "Taipei", "unit": "C"})),
            {
                "wanted": True, "made": True, "right": False, "selected": True, "parameters": 3, "right_parameters": 1,
                "fault": "wrong_value",
            },
        ),
        (text(TAIPEI), text(CLOCK), {"wanted": True, "made": True, "right": False, "fault": "wrong_tool"}),
        (text(TAIPEI), "It rains.", {"wanted": True, "made": False, "right": False, "fault": "no_call"}),
        (
            text(TAIPEI),
            '<tool_call>{"name": "get_weather"',
            {"wanted": True, "made": False, "right": False, "unreadable": True, "fault": "unreadable"},
        ),
        (
            text(TAIPEI, TAINAN),
            text(TAINAN, TAIPEI),
            {"wanted": True, "made": True, "right": True, "selected": True, "parameters": 4, "right_parameters": 4},
        ),
        (
            text(TAIPEI, CLOCK),
            text(TAIPEI),
            {
                "wanted": True, "made": True, "right": False, "parameters": 2, "right_parameters": 2,
                "fault": "wrong_count",
            },
        ),
        (
            text(Call("show", {"all": True, "most": 1})),
            text(Call("show", {"all": 1, "most": 1.0})),
            {
                "wanted": True, "made": True, "right": False, "selected": True, "parameters": 2, "right_parameters": 1,
                "fault": "wrong_value",
            },
        ),
        ("No tool tells that.", "I cannot know.", {"wanted": False, "made": False, "right": True, "selected": True}),
        ("No tool tells that.", text(CLOCK), {"wanted": False, "made": True, "right": False, "fault": "unwanted_call"}),
    ],
)  # fmt: skip
def test_a_row_is_marked(expected: str, predicted: str, marks: dict[str, Any]):
    assert marks_of(expected, predicted) == CallMarks(**marks)


def test_a_question_of_bfcl_is_marked_by_its_accepted_values():
    function = {
        "name": "area",
        "parameters": {
            "type": "dict",
            "properties": {"base": {"type": "integer"}, "unit": {"type": "string"}},
            "required": ["base"],
        },
    }
    question = Question(
        "q", "simple_python", [], [function], [{"area": {"base": [10, 11], "unit": ["m", ""]}}]
    )
    right = question_marks(question, Reply([Call("area", {"base": 11, "unit": "M"})]))
    assert right == CallMarks(
        wanted=True, made=True, right=True, selected=True, parameters=2, right_parameters=2
    )
    wrong = question_marks(question, Reply([Call("area", {"base": 12})]))
    assert wrong == CallMarks(
        wanted=True, made=True, right=False, selected=True, parameters=1, fault="wrong_value",
        message="'base' is 12, not one of [10, 11]",
    )  # fmt: skip


def row(expected: str, predicted: str) -> Prediction:
    return Prediction(id="", expected=expected, predicted=predicted, correct=False)


ROWS = [
    row(text(TAIPEI), text(TAIPEI)),
    row(text(TAIPEI), text(TAINAN)),
    row(text(TAIPEI), text(CLOCK)),
    row(text(TAIPEI), '{"name": "get_weather", "arguments": {"city": '),
    row("Hello.", "Hi."),
]


def test_metrics_are_shares_of_what_they_count():
    assert {name: metric.measure(ROWS) for name, metric in TOOL_CALLS.items()} == {
        "call_accuracy": 2 / 5,
        "tool_selection": 2 / 4,
        "parameter_accuracy": 3 / 4,
        "irrelevance": 1.0,
        "format_errors": 1 / 5,
    }
    assert [name for name, metric in TOOL_CALLS.items() if not metric.higher_is_better] == ["format_errors"]


def test_what_no_row_tells_is_not_measured():
    assert [name for name, metric in TOOL_CALLS.items() if metric.applies(ROWS[-1:])] == [
        "call_accuracy",
        "irrelevance",
        "format_errors",
    ]
    assert not any(metric.applies([]) for metric in TOOL_CALLS.values())


def test_marks_of_the_judge_go_before_the_texts():
    marked = Prediction(
        id="", expected="x", predicted="y", correct=True, calls=CallMarks(wanted=None, made=True, right=True)
    )
    assert TOOL_CALLS["call_accuracy"].measure([marked]) == 1.0
    assert not TOOL_CALLS["irrelevance"].applies([marked])


def test_every_metric_has_an_interval_that_holds_it():
    for name in TOOL_CALLS:
        found = interval(name, ROWS * 4)
        assert 0 <= found.low <= found.value <= found.high <= 1


def test_tasks_of_tool_use_are_judged_by_whole_calls_first():
    names = METRICS_OF[TaskType.TOOL_USE]
    assert names[0] == "call_accuracy"
    assert {*TOOL_CALLS} <= {*names} <= {*METRICS}


def test_a_target_is_met_only_by_what_was_measured():
    sure, unsure = Interval(value=0.95, low=0.92, high=0.97), Interval(value=0.87, low=0.80, high=0.92)
    found = targets(
        {"tool_selection": sure, "parameter_accuracy": unsure}, Latency(p50=400, p95=500, p99=600), 1.54, 1
    )
    assert found == [
        Target(name="tool selection accuracy", wanted="> 90 %", value=0.95, state="met"),
        Target(name="parameter accuracy", wanted="> 85 %", value=0.87, state="cannot tell"),
        Target(name="latency (1.5B)", wanted="< 500 ms", value=400, state="met"),
        Target(name="latency (7B)", wanted="< 2,000 ms", state="measuring"),
    ]
    assert [target.state for target in targets({}, Latency(p50=400, p95=500, p99=600), 1.54, 8)] == [
        "measuring"
    ] * 4
    assert [target.state for target in targets({}, Latency(p50=2400, p95=1, p99=1), 7.6, 1)][-1] == "missed"
    bad = Interval(value=0.5, low=0.4, high=0.6)
    assert targets({"tool_selection": bad}, None, None, 1)[0].state == "missed"
