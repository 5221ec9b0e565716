"""At the first regeneration a generated source is shown the rows and labels of the others, wherever it stands."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from model_servers import ModelServer
from nlp_skills.cli import app
from nlp_skills.data.example import read_examples
from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.sourcing import AddedSource, add_source, preview_source
from nlp_skills.errors import NotReady, NotValid
from nlp_skills.task.task import Task, TaskType, create_task


@pytest.fixture
def tickets(tmp_path: Path) -> Path:
    """A task without labels."""
    create_task(tmp_path / "tasks", "tickets", type=TaskType.CLASSIFICATION, goal="Find the team.")
    return tmp_path / "tasks" / "tickets"


def add_file(task: Path) -> None:
    file = task.parent.parent / "real.jsonl"
    rows = [
        {"text": f"a real ticket number {n} of {n * 7}", "label": ("billing", "login")[n % 2]}
        for n in range(40)
    ]
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    add_source(task, str(file))


def add_generated(task: Path, server: ModelServer, **settings: Any) -> AddedSource:
    asked = {
        "provider": "openai",
        "model": "gpt-test",
        "base_url": f"{server.url}/v1",
        "prompt_template": "Write {count} tickets for {label}, like these:\n{examples}\n",
        "count": 8,
        "rows_per_request": 4,
    }
    return add_source(task, type="llm_generated", name="made", settings={**asked, **settings})


@pytest.mark.parametrize("file_first", [True, False])
def test_labels_and_examples_come_from_the_other_sources(
    tickets: Path, server: ModelServer, file_first: bool
):
    if file_first:
        add_file(tickets)
    add_generated(tickets, server)
    if not file_first:
        add_file(tickets)
    snapshot = regenerate_data(tickets)
    assert snapshot.sources["made"].rows == 8 and snapshot.sources["real"].rows == 40
    assert Task.load(tickets / "task.yaml").labels == ["billing", "login"]
    asked = sorted(call.prompt.partition("\n\nThis is part")[0] for call in server.calls)
    assert [prompt.partition(",")[0] for prompt in asked] == [
        "Write 4 tickets for billing",
        "Write 4 tickets for login",
    ]
    for prompt, label in zip(asked, ("billing", "login"), strict=True):
        assert prompt.count("Input: a real ticket number") == 3 and prompt.count(f"Answer: {label}") == 3
    assert not (tickets / "data" / "ahead").exists()


def test_the_second_regeneration_asks_nothing_again(tickets: Path, server: ModelServer):
    add_file(tickets)
    add_generated(tickets, server)
    first = regenerate_data(tickets)
    calls = len(server.calls)
    assert regenerate_data(tickets).splits == first.splits
    assert len(server.calls) == calls


def test_adding_says_where_labels_and_examples_will_come_from(tickets: Path, server: ModelServer):
    add_file(tickets)
    added = add_generated(tickets, server)
    assert (added.warnings, added.note) == (
        [],
        "The labels for {label} are taken from real when the data are regenerated (without confirmation), which says"
        " then what this source would cost.",
    )
    assert server.calls == []


def test_examples_that_are_still_to_be_read_are_announced(tickets: Path, server: ModelServer):
    add_file(tickets)
    plain = "Write {count} tickets like these:\n{examples}\n"
    schema = {"text": "string", "label": "string"}
    added = add_generated(tickets, server, prompt_template=plain, schema=schema)
    assert added.warnings == []
    assert "\n{examples} are taken from real, which are read first.\n" in f"\n{added.note}\n"


def test_without_any_source_of_labels_it_says_how_to_give_them(tickets: Path, server: ModelServer):
    assert add_generated(tickets, server).warnings == [
        "made: prompt_template asks for {label}, and task.yaml names no labels yet. Write them there (labels: [positive,"
        " negative]), or add a source whose rows have them."
    ]
    with pytest.raises(NotReady, match="names no labels yet"):
        regenerate_data(tickets)


def test_a_preview_of_rows_to_be_written_is_a_result_and_no_error(
    tickets: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch
):
    add_file(tickets)
    regenerate_data(tickets)
    add_generated(tickets, server, price={"input": 1, "output": 1}, budget_usd=2)
    seen = preview_source(tickets, source="made")
    assert (seen.rows, seen.example, seen.warnings) == ([], [], [])
    assert seen.note.startswith("made would send 2 requests to openai (gpt-test), at most 6 with those that")
    assert (
        "\nThe first prompt would be:\n\nWrite 4 tickets for billing, like these:\nInput: a real" in seen.note
    )
    home = str(tickets.parent)
    shown = CliRunner().invoke(app, ["preview-source", "tickets", "--source", "made", "--home", home])
    assert shown.exit_code == 0
    assert shown.output.startswith("made would send 2 requests") and "Error" not in shown.output
    unconfirmed = CliRunner().invoke(app, ["regenerate-data", "tickets", "--home", home])
    assert unconfirmed.exit_code == 1
    lines = unconfirmed.output.splitlines()
    assert lines[0] == "Error: This costs money, so it has to be confirmed."
    assert [line.partition(":")[0].partition(" would")[0] for line in lines[1:]] == [
        "made", "At the worst", "Answered before, and not paid again", "Spent so far", "It ends before budget_usd", "To go ahead",
    ]  # fmt: skip


def test_a_key_that_is_missing_is_told_once(
    tickets: Path, server: ModelServer, monkeypatch: pytest.MonkeyPatch
):
    add_file(tickets)
    regenerate_data(tickets)
    add_generated(
        tickets, server, base_url="http://10.1.2.3/v1", price={"input": 1, "output": 1}, budget_usd=2
    )
    monkeypatch.delenv("OPENAI_API_KEY")
    told: list[str] = []
    with pytest.raises(NotReady, match="OPENAI_API_KEY is not set") as error:
        regenerate_data(tickets, confirm=True, tell=told.append)
    assert str(error.value).count("is not set") == 1 and told == []


def test_a_budget_that_pays_for_nothing_is_not_added(tickets: Path, server: ModelServer):
    add_file(tickets)
    regenerate_data(tickets)
    with pytest.raises(NotValid, match="budget_tokens: 100 does not pay for a single request"):
        add_generated(tickets, server, price={"input": 1, "output": 1}, budget_tokens=100)


def test_rows_shown_are_training_rows(tickets: Path, server: ModelServer):
    add_file(tickets)
    add_generated(tickets, server, side="train")
    regenerate_data(tickets)
    train = {e.input_text for e in read_examples(tickets / "data" / "train.jsonl")}
    shown = {
        line.removeprefix("Input: ")
        for call in server.calls
        for line in call.prompt.splitlines()
        if "Input: " in line
    }
    assert shown and shown <= train
