"""What tool definitions cost in a context window, and what could go."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from nlp_skills.base_model import BaseModelFiles, load_tokenizer
from nlp_skills.data.example import Example, Message, Meta, write_examples
from nlp_skills.data.prompted_tools import with_prompted_tools
from nlp_skills.data.tokens import render
from nlp_skills.errors import NotReady
from nlp_skills.evaluation.tool_use.context import measure_context
from nlp_skills.evaluation.tool_use.context_cost import (
    ContextCost,
    Pruning,
    ToolCost,
    WindowShare,
    context_cost,
)
from nlp_skills.task.task import TaskType, create_task


def tool(name: str, description: str, **properties: Any) -> dict[str, Any]:
    parameters = {"type": "object", "properties": properties}
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": parameters},
    }


WEATHER = tool("get_weather", "The weather of a city.", city={"type": "string"})
FORECAST = tool("getWeather2", "The weather of a city")
LONG = tool("send_mail", " ".join(f"word{number}" for number in range(90)))


def words(tools: Sequence[Mapping[str, Any]]) -> int:
    """A prompt of ten words, five more where there are tools, and the words of the definitions."""
    return 10 + (5 if tools else 0) + sum(len(one["function"]["description"].split()) for one in tools)


def test_costs_windows_and_prunings_of_a_set_of_tools():
    tools = [WEATHER, FORECAST, LONG]
    found = context_cost(
        tools,
        [(tools, 1)],
        words,
        Counter(get_weather=3),
        1000,
        model="m",
        calling="native",
        source="tools.json",
    )
    assert found == ContextCost(
        model="m",
        calling="native",
        source="tools.json",
        together=3,
        tokens=105,
        median_tokens=105,
        windows=[
            WindowShare(window=1000, share=0.105, fit="recommended", of_the_model=True),
            WindowShare(window=200_000, share=0.0005, fit="small"),
            WindowShare(window=32_000, share=0.0033, fit="small"),
            WindowShare(window=8_000, share=0.0131, fit="small"),
        ],
        tools=[
            ToolCost(name="send_mail", tokens=90, share=0.8571, used=0),
            ToolCost(name="getWeather2", tokens=5, share=0.0476, used=0),
            ToolCost(name="get_weather", tokens=5, share=0.0476, used=3),
        ],
        prune=[
            Pruning(tools=["send_mail", "getWeather2"], reason="never called in the data", tokens=95),
            Pruning(
                tools=["get_weather", "getWeather2"],
                reason="names and descriptions share 86% of their words: a model mixes them up",
                tokens=5,
            ),
            Pruning(
                tools=["send_mail"],
                reason="86% of the tool tokens of its prompts: shorten its description or its schema",
                tokens=90,
            ),
        ],
    )


@pytest.mark.parametrize(
    ("window", "fit"),
    [(2625, "small"), (2624, "recommended"), (420, "recommended"), (419, "too much"), (105, "does not fit")],
)
def test_a_window_is_judged_by_the_share_that_the_tools_take(window: int, fit: str):
    tools = [WEATHER, FORECAST, LONG]
    found = context_cost(tools, [(tools, 1)], words, None, window, model="m", calling="native", source="")
    assert found.windows[0].fit == fit


def test_what_no_prompt_holds_together_is_not_added_up():
    """Three rows with one tool, one with two: never all three at once, and the two that are alike never together."""
    offered = [([WEATHER], 2), ([FORECAST], 1), ([WEATHER, LONG], 1)]
    found = context_cost(
        [WEATHER, FORECAST, LONG], offered, words, Counter(), None, model="m", calling="native", source=""
    )
    assert (found.together, found.tokens, found.median_tokens) == (2, 100, 10)
    assert {cost.name: cost.share for cost in found.tools} == {
        "send_mail": 0.9,  # 90 of 100
        "get_weather": 0.125,  # 5 of 40, on average
        "getWeather2": 0.5,
    }
    assert found.prune == [
        Pruning(
            tools=["send_mail", "getWeather2", "get_weather"], reason="never called in the data", tokens=95
        )
    ]


@pytest.fixture
def task(tmp_path: Path) -> Path:
    create_task(tmp_path, "calls", type=TaskType.TOOL_USE, goal="Call the right tool.")
    return tmp_path / "calls"


def row(number: int, tools: list[dict[str, Any]]) -> Example:
    call = {"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Taipei"}}}
    answer = Message("assistant", tool_calls=[call])
    return Example(meta=Meta(f"a-{number}", "a"), messages=[Message("user", "Rain?"), answer], tools=tools)


def test_tokens_are_those_of_the_real_prompt(task: Path, smollm2: BaseModelFiles):
    write_examples(task / "data" / "train.jsonl", [row(1, [WEATHER]), row(2, [WEATHER, LONG])])
    found = measure_context(task)
    tokenizer = load_tokenizer(smollm2)

    def length(tools: list[dict[str, Any]] | None) -> int:
        asked = [Message("user", "?"), Message("assistant", "")]
        shown = with_prompted_tools(Example(meta=Meta("", ""), messages=asked, tools=tools))
        return len(tokenizer(render(tokenizer, shown.context, None, ask=True))["input_ids"])

    assert (found.calling, found.together) == ("prompted", 2)
    assert found.tokens == length([WEATHER, LONG]) - length(None)
    assert found.windows[0] == WindowShare(
        window=8192, share=round(found.tokens / 8192, 4), fit="recommended", of_the_model=True
    )
    assert {cost.name: (cost.tokens, cost.used) for cost in found.tools} == {
        "get_weather": (length([WEATHER, WEATHER]) - length([WEATHER]), 2),
        "send_mail": (length([LONG, LONG]) - length([LONG]), 0),
    }


def test_definitions_are_kept_where_they_are_wanted(task: Path, smollm2: BaseModelFiles, tmp_path: Path):
    (tmp_path / "tools.json").write_text(json.dumps([FORECAST["function"]]), encoding="utf-8")
    found = measure_context(task, tools=str(tmp_path / "tools.json"), window=2048, save=True)
    assert (found.saved, found.windows[0].window) == ("configs/tools.json", 2048)
    assert json.loads((task / "configs" / "tools.json").read_text(encoding="utf-8")) == [FORECAST]
    assert measure_context(task, tools="configs/tools.json", window=2048).tools == found.tools


def test_without_tools_there_is_nothing_to_count(task: Path, smollm2: BaseModelFiles):
    with pytest.raises(NotReady, match=r"^calls: no row of its data offers tools\. Name them: "):
        measure_context(task)
