"""evaluate_tools from end to end: a real server, asked through the official SDK, with tools of the user's own."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nlp_skills.data.example import Example, Message, Meta, write_examples
from nlp_skills.errors import NlpSkillsError, NotReady, NotValid
from nlp_skills.evaluation.predictors.openai_url import UrlPredictor
from nlp_skills.evaluation.results import Prediction
from nlp_skills.evaluation.tool_use.asking import choose_calling
from nlp_skills.evaluation.tool_use.evaluate_tools import evaluate_tools
from nlp_skills.evaluation.tool_use.record import ToolUseResult
from nlp_skills.tables import show
from nlp_skills.task.task import TaskType, create_task

CITIES = ["Taipei", "Tainan", "Hualien", "Keelung", "Taitung"]


class Server(ThreadingHTTPServer):
    """Chat completions: the tool that is offered is called with the city that the user names; `broken` ones fail."""

    asked: list[dict[str, Any]]
    broken: set[str]


class Handler(BaseHTTPRequestHandler):
    """One answer."""

    def do_POST(self) -> None:
        assert isinstance(self.server, Server)
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        city = body["messages"][-1]["content"].removesuffix("?")
        if city in self.server.broken:
            self.send(400, {"error": {"message": "out of order", "type": "invalid_request_error"}})
            return
        self.server.asked.append(body)
        message: dict[str, Any] = {"role": "assistant", "content": "Hello."}
        if city in CITIES and "tools" not in body:
            message["content"] = json.dumps({"name": "get_weather", "arguments": {"city": city}})
        elif city in CITIES:
            arguments = json.dumps({"city": city if city != "Keelung" else "keelung"})
            function = {"name": body["tools"][0]["function"]["name"], "arguments": arguments}
            calls = [{"id": "c1", "type": "function", "function": function}]
            message = {"role": "assistant", "content": None, "tool_calls": calls}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        usage = {"prompt_tokens": 20, "completion_tokens": 5, "total_tokens": 25}
        whole = {"id": "x", "object": "chat.completion", "created": 0, "model": "m", "choices": [choice]}
        self.send(200, {**whole, "usage": usage})

    def send(self, status: int, value: dict[str, Any]) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing is printed."""


@pytest.fixture
def server() -> Iterator[Server]:
    found = Server(("127.0.0.1", 0), Handler)
    found.asked, found.broken = [], set()
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    yield found
    found.shutdown()
    thread.join()
    found.server_close()


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """Five questions that need the tool, one that does not."""
    create_task(tmp_path, "weather", type=TaskType.TOOL_USE, goal="Call the right tool.")
    task = tmp_path / "weather"
    rows = []
    for number, city in enumerate([*CITIES, "Hi"]):
        call = {"type": "function", "function": {"name": "get_weather", "arguments": {"city": city}}}
        answer = Message("assistant", tool_calls=[call]) if city in CITIES else Message("assistant", "Hello.")
        rows.append(Example(meta=Meta(f"w-{number}", "w"), messages=[Message("user", f"{city}?"), answer]))
    write_examples(task / "data" / "test.jsonl", rows)
    schema = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
    tool = {"name": "get_weather", "description": "The weather.", "inputSchema": schema}
    (task / "configs").mkdir(exist_ok=True)
    (task / "configs" / "tools.json").write_text(json.dumps([tool]), encoding="utf-8")
    return task


def address(server: Server) -> str:
    return f"http://127.0.0.1:{server.server_address[1]}/v1#small-1.5b"


def test_own_rows_with_own_tools_make_a_record(
    task: Path, server: Server, capsys: pytest.CaptureFixture[str]
):
    found = evaluate_tools(task, model=address(server), tools="configs/tools.json")
    assert {name: value.value for name, value in found.metrics.items()} == {
        "call_accuracy": 5 / 6,
        "tool_selection": 1.0,
        "parameter_accuracy": 4 / 5,
        "irrelevance": 1.0,
        "format_errors": 0.0,
    }
    assert (found.calling, found.count, found.source) == ("native", 6, "weather, test rows")
    assert [(failure.id, failure.fault) for failure in found.failures] == [("w-3", "wrong_value")]
    assert {target.name: target.state for target in found.targets} == {
        "tool selection accuracy": "cannot tell",
        "parameter accuracy": "cannot tell",
        "latency (1.5B)": "met",
        "latency (7B)": "measuring",
    }
    assert ToolUseResult.load(task / found.file) == found
    lines = (task / found.file).with_suffix(".jsonl").read_bytes().splitlines()
    rows = [msgspec.json.decode(line, type=Prediction) for line in lines]
    assert [row.correct for row in rows] == [True, True, True, False, True, True]
    assert {body["tools"][0]["function"]["name"] for body in server.asked} == {"get_weather"}
    show(found)
    shown = capsys.readouterr().out
    assert "own rows: wrong_value 1" in shown
    assert "measuring" in shown


def test_a_run_that_was_interrupted_goes_on(task: Path, server: Server):
    server.broken = {"Hualien"}
    with pytest.raises(NlpSkillsError):
        evaluate_tools(task, model=address(server), tools="configs/tools.json")
    before = len(server.asked)
    server.broken = set()
    found = evaluate_tools(task, model=address(server), tools="configs/tools.json")
    assert before > 0
    assert len(server.asked) == 6
    assert (found.count, found.tokens_per_second) == (6, None)
    assert not (task / "benchmarks" / "tool_use" / "unfinished").exists()


def test_the_same_question_has_the_same_record(task: Path, server: Server):
    one, other, prompted = (
        evaluate_tools(task, model=address(server), tools="configs/tools.json", calling=calling)
        for calling in (None, "native", "prompted")
    )
    assert one.file == other.file != prompted.file
    assert (one.metrics["call_accuracy"].value, prompted.metrics["call_accuracy"].value) == (5 / 6, 1.0)
    assert "tools" not in server.asked[-1]


@pytest.mark.parametrize("tools_in_prompt", [True, False])
def test_what_a_version_does_is_recorded_and_not_what_it_was_given(tools_in_prompt: bool):
    row = Example(
        meta=Meta("w", "w"),
        messages=[Message("user", "Taipei?"), Message("assistant", "")],
        tools=[{"type": "function", "function": {"name": "get_weather", "parameters": {}}}],
    )
    predictor = UrlPredictor("http://127.0.0.1:9/v1", "m", tools_in_prompt=tools_in_prompt)
    assert choose_calling(predictor, row, None) == ("prompted" if tools_in_prompt else "native")
    if tools_in_prompt:
        with pytest.raises(
            NotValid, match=r"lists its tools in the system prompt .* Ask with --calling prompted"
        ):
            choose_calling(predictor, row, "native")


def test_rows_without_tools_are_sent_to_where_tools_are(task: Path):
    with pytest.raises(NotReady, match=r"^weather: no row of data/test\.jsonl offers tools\. Give the rows "):
        evaluate_tools(task, model="base")
    with pytest.raises(NotValid, match=r"^BFCL's rows bring their own tools"):
        evaluate_tools(task, categories=["parallel"], tools="configs/tools.json")


def test_no_row_at_all_cannot_be_asked_for(task: Path, server: Server):
    with pytest.raises(NotValid, match=r"limit is 0; 1 is the least\."):
        evaluate_tools(task, limit=0)
    assert not server.asked
