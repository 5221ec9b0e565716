"""The MCP server with a client in the same process: tools, errors, progress, and the same bytes as the CLI."""

import asyncio
import json
import shutil
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from mcp import Client
from typer.testing import CliRunner

from nlp_skills.cli import app
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.mcp_server import build_server
from nlp_skills.operations import OPERATIONS
from nlp_skills.records import read_mapping
from nlp_skills.task.task import Task

TOOLS = {operation.name: operation for operation in OPERATIONS if operation.tool}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A tasks folder; beside it a file of rows."""
    rows = [{"text": f"message {n} 包裹 {n * 7}", "label": ("good", "bad")[n % 2]} for n in range(40)]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    return tmp_path / "tasks"


def with_client(home: Path, use: Callable[[Client], Awaitable[Any]]) -> Any:
    async def session() -> Any:
        async with Client(build_server(home)) as client:
            return await use(client)

    return asyncio.run(session())


def call(home: Path, tool: str, **arguments: Any) -> Any:
    """The result of a tool; its structured content, or the text of its error."""
    return with_client(home, lambda client: client.call_tool(tool, arguments))


def answer(home: Path, tool: str, **arguments: Any) -> dict[str, Any]:
    result = call(home, tool, **arguments)
    assert not result.is_error, result.content[0].text
    return result.structured_content


def refusal(home: Path, tool: str, **arguments: Any) -> str:
    result = call(home, tool, **arguments)
    assert result.is_error
    return result.content[0].text


@pytest.fixture
def reviews(home: Path) -> Path:
    answer(home, "create_task", name="reviews", type="classification", goal="Good or bad?")
    answer(home, "add_source", task="reviews", path=str(home.parent / "rows.jsonl"), copy=True)
    return home / "reviews"


def test_every_operation_that_an_assistant_needs_is_a_tool_that_says_what_it_does(home: Path):
    listed = with_client(home, lambda client: client.list_tools()).tools
    assert [tool.name for tool in listed] == list(TOOLS)
    for tool in listed:
        operation = TOOLS[tool.name]
        assert tool.description.startswith(operation.summary) and operation.words in tool.description
        properties = tool.input_schema.get("properties", {})
        assert list(properties) == [p.name for p in operation.parameters]
        for name, schema in properties.items():
            assert schema["description"] == operation.meaning(name) != ""
        wanted = {p.name for p in operation.parameters if p.default is p.empty}
        assert set(tool.input_schema.get("required", [])) == wanted


def test_a_result_is_the_record(reviews: Path, home: Path):
    assert answer(home, "show_task", task="reviews")["task"] == Task.load(reviews / "task.yaml").model_dump(
        mode="json"
    )
    snapshot = answer(home, "regenerate_data", task="reviews")
    assert DataSnapshot.parse(snapshot, "answer") == DataSnapshot.load(
        reviews / "data" / "data_snapshot.json"
    )


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("show_task", {"task": "revews"}, '(did you mean "reviews"?). Known tasks: reviews.'),
        ("create_task", {"name": "My Task", "type": "qa", "goal": "g"}, 'for example "my-task"'),
        ("create_task", {"name": "reviews", "type": "qa", "goal": "g"}, "is left as it is"),
        ("validate_data", {"task": "reviews"}, "nlp-skills regenerate-data"),
        ("create_version", {"task": "reviews"}, "nlp-skills regenerate-data reviews"),
        ("evaluate_version", {"task": "reviews"}, "nlp-skills create-version reviews"),
        ("evaluate_version", {"task": "reviews", "version": "--help"}, "nlp-skills create-version reviews"),
        ("evaluate_version", {"task": "--help"}, "No task named '--help'"),
        ("add_source", {"task": "reviews", "path": "nowhere.csv"}, "nowhere.csv does not exist"),
        ("create_task", {"name": "a", "type": "sentiment", "goal": "g"}, "classification"),
        ("create_task", {"name": "a"}, "goal"),
    ],
)
def test_an_error_reaches_the_assistant_with_its_words(
    reviews: Path, home: Path, tool: str, arguments: dict[str, Any], said: str
):
    assert said in refusal(home, tool, **arguments)


def test_a_file_that_cannot_be_read_is_an_error_with_words_too(reviews: Path, home: Path):
    (reviews / "data" / "raw").rmdir()
    (reviews / "data" / "raw").write_text("in the way", encoding="utf-8")
    assert "raw" in refusal(home, "regenerate_data", task="reviews")


@pytest.mark.parametrize("name", ["..", "../outside", "/etc", "a/../../outside", "reviews/../reviews", ""])
@pytest.mark.parametrize("tool", ["show_task", "validate_data", "write_report", "evaluate_version"])
def test_a_name_never_leaves_the_tasks_folder(reviews: Path, home: Path, tool: str, name: str):
    shutil.copytree(reviews, home.parent / "outside")
    shutil.copy(reviews / "task.yaml", home.parent / "task.yaml")
    assert f"No task named {name!r}" in refusal(home, tool, task=name)


def test_progress_arrives_while_a_tool_works(reviews: Path, home: Path):
    heard: list[tuple[float, float | None, str | None]] = []

    async def listen(done: float, total: float | None, message: str | None) -> None:
        heard.append((done, total, message))

    with_client(home, lambda c: c.call_tool("regenerate_data", {"task": "reviews"}, progress_callback=listen))
    assert (0, 3, "writing train") in heard


def test_money_and_gpu_hours_are_not_spent_without_confirm(reviews: Path, home: Path):
    answer(home, "regenerate_data", task="reviews")
    answer(home, "create_version", task="reviews", settings={"lora_dropout": 0.1}, epochs=1)
    plan = answer(home, "start_training", task="reviews")
    plan = plan.get("result", plan)
    assert plan["confirmed"] is False and "confirm=true" in plan["message"]
    assert not (reviews / "versions" / "v1" / "job.json").exists()


TIMES = {"created", "fetched", "last_run", "snapshot_date"}


def without_times(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_times(v) for key, v in value.items() if key not in TIMES}
    return [without_times(v) for v in value] if isinstance(value, list) else value


def files_of(task: Path) -> dict[str, Any]:
    """Every file by name: its bytes, and of records that hold a time their content without it."""
    found: dict[str, Any] = {}
    for path in sorted(task.rglob("*")):
        if path.is_file() and path.name != ".lock":
            record = path.suffix in (".json", ".yaml")
            found[path.relative_to(task).as_posix()] = (
                without_times(read_mapping(path)) if record else path.read_bytes()
            )
    return found


def lines_without_times(task: Path) -> dict[str, list[bytes]]:
    """The bytes of every record, line by line, without the lines that hold a time."""
    return {
        path.relative_to(task).as_posix(): [
            line
            for line in path.read_bytes().splitlines()
            if line.strip().strip(b'"').partition(b":")[0].strip(b'"').decode(errors="replace") not in TIMES
        ]
        for path in sorted(task.rglob("*"))
        if path.suffix in (".json", ".yaml")
    }


def test_the_tool_and_the_command_write_the_same_bytes(reviews: Path, home: Path, tmp_path: Path):
    other = tmp_path / "other"
    shutil.copytree(home, other)
    runner = CliRunner()
    for tool, command, arguments, options in (
        ("regenerate_data", "regenerate-data", {}, []),
        ("validate_data", "validate-data", {}, []),
        (
            "create_version",
            "create-version",
            {"lora_r": 8, "settings": {"lora_dropout": 0.1}},
            ["--lora-r", "8", "--settings", "lora_dropout=0.1"],
        ),
        ("create_version", "create-version", {"epochs": 2.0}, ["--epochs", "2"]),
    ):
        answer(home, tool, task="reviews", **arguments)
        done = runner.invoke(app, [command, "reviews", "--home", str(other), *options])
        assert done.exit_code == 0, done.output
        assert files_of(other / "reviews") == files_of(reviews)
        assert lines_without_times(other / "reviews") == lines_without_times(reviews)
    assert "versions/v2/lineage.yaml" in files_of(reviews)


def test_the_server_speaks_over_standard_input_and_output(reviews: Path, home: Path):
    """As a client starts it: a process, a handshake, a call; nothing but the protocol on standard output."""
    asked = [
        {
            "jsonrpc": "2.0",
            "id": 1,
            "method": "initialize",
            "params": {
                "protocolVersion": "2025-06-18",
                "capabilities": {},
                "clientInfo": {"name": "test", "version": "1"},
            },
        },
        {"jsonrpc": "2.0", "method": "notifications/initialized"},
        {
            "jsonrpc": "2.0",
            "id": 2,
            "method": "tools/call",
            "params": {"name": "list_tasks", "arguments": {}},
        },
    ]
    server = subprocess.Popen(
        [sys.executable, "-m", "nlp_skills", "mcp"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        cwd=home.parent,
        encoding="utf-8",
    )
    assert server.stdin is not None and server.stdout is not None
    answers = {}
    for message in asked:
        server.stdin.write(json.dumps(message) + "\n")
        server.stdin.flush()
        if "id" in message:
            reply = json.loads(server.stdout.readline())
            answers[reply["id"]] = reply["result"]
    out, errors = server.communicate()
    assert out == "" and "Traceback" not in errors
    assert answers[1]["serverInfo"]["name"] == "lib"
    assert answers[2]["structuredContent"]["tasks"][0]["name"] == "reviews"


def test_results_with_hundreds_of_labels_stay_short_and_name_the_file_that_has_all(home: Path):
    rows = [{"text": f"message {n} about {n * 7}", "label": f"topic-{n % 300}"} for n in range(1200)]
    (home.parent / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    answer(home, "create_task", name="topics", type="classification", goal="Which topic?")
    answer(home, "add_source", task="topics", path=str(home.parent / "rows.jsonl"))
    made = answer(home, "regenerate_data", task="topics")
    whole = read_mapping(home / "topics" / "data" / "data_snapshot.json")
    for name, split in made["splits"].items():
        counts = whole["splits"][name]["label_counts"]
        assert len(counts) > 21
        rest = f"(and {len(counts) - 20:,} more; see data/data_snapshot.json)"
        assert list(split["label_counts"])[20:] == [rest]
        assert sum(split["label_counts"].values()) == split["count"]
    result = call(home, "validate_data", task="topics", tokens=False)
    said = result.structured_content["distributions"]["labels train"]
    assert len(said) == 21 and list(said)[-1].endswith("more; see data/validation.json)")
    assert sum(said.values()) == made["splits"]["train"]["count"]
    assert len(json.dumps(result.structured_content)) < 12_000
    assert len(json.dumps(made)) < 8_000
