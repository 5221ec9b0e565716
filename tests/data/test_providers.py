"""Anthropic, OpenAI and Ollama through their official SDKs, against a server that speaks their wire formats."""

import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest

from model_servers import Call, ModelServer, Reply, serving, write_rows
from nlp_skills.data.sources.fetch import Fetch
from nlp_skills.data.sources.generation import sending
from nlp_skills.data.sources.generation.answer import retry_after
from nlp_skills.data.sources.generation.place import is_own_machine
from nlp_skills.data.sources.generation.rows import is_strict, read_rows, row_schema
from nlp_skills.data.sources.llm_generated import estimate, read
from nlp_skills.data.sources.source import GeneratedSource
from nlp_skills.errors import MissingExtra, NotReady, NotValid, RunFailed
from nlp_skills.task.task import Task

PROVIDERS = ("anthropic", "openai", "ollama")
PATHS = {"anthropic": "/v1/messages", "openai": "/v1/chat/completions", "ollama": "/api/chat"}


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ANTHROPIC", "OPENAI", "OLLAMA"):
        for what in ("API_KEY", "BASE_URL", "AUTH_TOKEN", "HOST", "PROFILE"):
            monkeypatch.delenv(f"{name}_{what}", raising=False)


@pytest.fixture
def server() -> Iterator[ModelServer]:
    with serving(ModelServer()) as running:
        yield running


@pytest.fixture
def task(tmp_path: Path) -> Path:
    given = {"name": "notes", "type": "generation", "goal": "Write notes.", "created": "2026-11-21T08:00:00Z"}
    Task.parse(given, "task").save(tmp_path / "notes" / "task.yaml")
    return tmp_path / "notes"


def source(provider: str, server: ModelServer | None = None, **fields: Any) -> GeneratedSource:
    url = server and server.url + ("/v1" if provider == "openai" else "")
    given = {
        "name": "made",
        "provider": provider,
        "model": "test-model",
        "base_url": url,
        "prompt_template": "Write {count} notes.",
        "count": 4,
        "rows_per_request": 4,
    }
    limit = {} if server and "price" not in fields else {"budget_tokens": 10**6}
    return GeneratedSource.parse({**given, **limit, **fields}, "source")


def rows_of(source: GeneratedSource, task: Path, **options: Any) -> list[dict[str, Any]]:
    return [row for _, row in read(source, Fetch(task, **options))]


ROWS_SCHEMA = {
    "type": "object",
    "properties": {
        "rows": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {"text": {"type": "string"}},
                "required": ["text"],
                "additionalProperties": False,
            },
        }
    },
    "required": ["rows"],
    "additionalProperties": False,
}


@pytest.mark.parametrize("provider", PROVIDERS)
def test_every_provider_is_held_to_the_schema_and_its_usage_is_counted(task, server, provider):
    fetch = Fetch(task, confirm=True)
    made = source(provider, server, price={"input": 10, "output": 20}, max_output_tokens=700)
    rows = [row for _, row in read(made, fetch)]
    [call] = server.calls
    assert (call.path, call.body["model"], call.schema) == (PATHS[provider], "test-model", ROWS_SCHEMA)
    assert [row["text"] for row in rows] == [row["text"] for row in json.loads(write_rows(call).text)["rows"]]
    assert {row["_origin"]["model"] for row in rows} == {"test-model-2026-11-01"}
    assert (fetch.notes["input_tokens"], fetch.notes["output_tokens"]) == (100, 50)
    assert fetch.notes["cost_usd"] == 0.002


def test_the_length_of_an_answer_and_the_temperature_are_said_as_each_provider_wants_them(task, server):
    for provider in PROVIDERS:
        temperature = None if provider == "anthropic" else 0.5
        rows_of(source(provider, server, max_output_tokens=700, temperature=temperature), task)
    anthropic, openai, ollama = (call.body for call in server.calls)
    assert (anthropic["max_tokens"], "temperature" in anthropic) == (700, False)
    assert (openai["max_tokens"], openai["temperature"]) == (700, 0.5)
    options = ollama["options"]
    assert (options["num_predict"], options["temperature"], options["num_ctx"]) == (700, 0.5, 4096)
    assert isinstance(options["seed"], int)


def test_a_temperature_that_anthropic_does_not_know_is_refused(task, server):
    with pytest.raises(NotValid, match="made: temperature: anthropic has no such setting any more"):
        rows_of(source("anthropic", server, temperature=0.5), task)


def test_an_anthropic_profile_that_is_not_there_is_a_sentence(task, tmp_path, monkeypatch):
    monkeypatch.setenv("ANTHROPIC_PROFILE", "nobody")
    monkeypatch.setenv("ANTHROPIC_CONFIG_DIR", str(tmp_path))
    with pytest.raises(NotReady, match=r"made: the Anthropic SDK cannot sign in: .*nobody"):
        rows_of(source("anthropic"), task, confirm=True)


def test_every_request_to_a_paid_provider_has_a_key_that_follows_from_what_is_asked(task, server):
    for provider in ("anthropic", "openai"):
        rows_of(source(provider, server), task)
    keys = [call.key for call in server.calls]
    assert len(set(keys)) == 2
    assert all(key.startswith("nlp-skills-") and key.endswith("-json_schema") for key in keys)
    for file in task.rglob("journal.*"):
        file.unlink()
    rows_of(source("anthropic", server), task)
    assert server.calls[-1].key == keys[0]


@pytest.mark.parametrize("provider", PROVIDERS)
@pytest.mark.parametrize("status", [429, 500, 529])
def test_a_server_that_is_busy_is_asked_again_as_soon_as_it_says(task, server, provider, status):
    def busy(call: Call) -> Reply:
        if len(server.calls) <= 2:
            return Reply(status=status, headers={"retry-after": "0.01"})
        return write_rows(call)

    server.answer = busy
    made = source(provider, server, price={"input": 1, "output": 1})
    assert len(rows_of(made, task, confirm=True)) == 4
    assert len(server.calls) == 3
    assert len({call.key for call in server.calls}) == 1
    # What was refused is not counted as spent.
    assert estimate(made, Fetch(task)).spent_tokens == 150


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_server_that_asks_to_wait_an_hour_is_left_alone(task, server, provider):
    server.answer = lambda call: Reply(status=429, headers={"retry-after": "3600"}, message="quota used up")
    with pytest.raises(RunFailed) as error:
        rows_of(source(provider, server), task)
    said = f"made: {provider} gave no answer (HTTP 429): "
    assert str(error.value).startswith(said)
    assert "quota used up" in str(error.value)
    assert "It asks to wait 1 hour. So far this source has 0 answered requests" in str(error.value)
    assert len(server.calls) == 1


@pytest.mark.parametrize("provider", PROVIDERS)
def test_what_asking_again_does_not_mend_is_not_asked_again(task, server, provider):
    server.answer = lambda call: Reply(status=401, message="no such key")
    with pytest.raises(RunFailed, match=r"gave no answer \(HTTP 401\).*no such key"):
        rows_of(source(provider, server, count=100, parallel=1), task)
    assert len(server.calls) == 1


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_connection_that_breaks_may_have_been_billed_and_one_that_is_refused_was_not(
    task, server, provider, monkeypatch
):
    monkeypatch.setattr(sending, "REPEATS", 0)
    made = source(provider, server, price={"input": 1, "output": 1})
    server.answer = lambda call: Reply(broken=True)
    with pytest.raises(RunFailed, match="1 without an answer counted at their worst"):
        rows_of(made, task, confirm=True)
    lost = estimate(made, Fetch(task)).spent_tokens
    assert lost > 4096
    with serving(ModelServer()) as gone:
        elsewhere = source(provider, gone, price={"input": 1, "output": 1})
    with pytest.raises(RunFailed, match=f"made: {provider} gave no answer: {elsewhere.base_url}: "):
        rows_of(elsewhere, task, confirm=True)
    assert estimate(made, Fetch(task)).spent_tokens == lost


@pytest.mark.parametrize("provider", PROVIDERS)
def test_answers_that_are_cut_or_refused_are_told_apart(task, server, provider):
    whole = write_rows

    def write(call: Call) -> Reply:
        part = int(call.prompt.split("This is part ")[1].split()[0])
        text = whole(call).text
        return {1: Reply(text[:-30], stop="cut"), 2: Reply(stop="refused")}.get(part, Reply(text))

    server.answer = write
    fetch = Fetch(task)
    assert len(list(read(source(provider, server, count=8), fetch))) == 8
    # Ollama has no word for a refusal: the answer is no JSON.
    refused = "dropped_not_json" if provider == "ollama" else "dropped_refused"
    assert (fetch.notes["dropped_cut"], fetch.notes[refused]) == (1, 1)


@pytest.mark.parametrize(("knows", "forms"), [("json_object", 2), ("text", 3)])
def test_a_server_that_knows_no_json_schema_is_asked_in_a_form_it_knows(task, server, knows, forms):
    def write(call: Call) -> Reply:
        if call.body.get("response_format", {"type": "text"})["type"] not in (knows, "text"):
            return Reply(status=400, message="response_format is not supported")
        return Reply(f"Here they are:\n```json\n{write_rows(call).text}\n```".partition("\n")[2])

    server.answer = write
    assert len(rows_of(source("openai", server, count=8, parallel=1), task)) == 8
    asked = [call.body.get("response_format", {"type": "text"})["type"] for call in server.calls]
    assert asked == [*["json_schema", "json_object", "text"][:forms], knows]
    assert len({call.key for call in server.calls}) == forms + 1


def test_an_anthropic_gateway_without_structured_output_is_asked_in_words(task, server):
    def write(call: Call) -> Reply:
        if "output_config" in call.body:
            return Reply(status=400, message="output_config: Extra inputs are not permitted")
        return write_rows(call)

    server.answer = write
    assert len(rows_of(source("anthropic", server), task)) == 4


def test_fields_that_may_be_null_are_said_in_a_way_that_each_provider_knows(task, server):
    def write(call: Call) -> Reply:
        rows = json.loads(write_rows(call).text)["rows"]
        return Reply(json.dumps({"rows": [{**row, "city": None} for row in rows]}))

    server.answer = write
    for provider in PROVIDERS:
        schema = {"text": "string", "city": {"type": ["string", "null"]}}
        assert [row["city"] for row in rows_of(source(provider, server, schema=schema), task)] == [None] * 4
    fields = [
        call.schema["properties"]["rows"]["items"]["properties"] for call in server.calls if call.schema
    ]
    assert [field["city"] for field in fields] == [
        {"anyOf": [{"type": "string"}, {"type": "null"}]},
        {"type": ["string", "null"]},
        {"type": ["string", "null"]},
    ]


def test_a_schema_that_anthropic_cannot_be_held_to_is_said_before_anything_is_sent(task, server):
    with pytest.raises(
        NotValid, match="made: schema: anthropic cannot be held to it: Schema must have a 'type'"
    ):
        rows_of(source("anthropic", server, schema={"text": {}}), task)
    assert server.calls == []


@pytest.mark.parametrize(
    ("provider", "name"), [("anthropic", "ANTHROPIC_API_KEY"), ("openai", "OPENAI_API_KEY")]
)
def test_a_missing_key_is_a_sentence(task, provider, name):
    place = {"anthropic": "https://api.anthropic.com", "openai": "https://api.openai.com/v1"}[provider]
    said = (
        f"made: {name} is not set, and {place} wants a key."
        f" Set it where this runs (export {name}=…) and try again."
    )
    with pytest.raises(NotReady) as error:
        rows_of(source(provider), task, confirm=True)
    assert str(error.value) == said
    assert estimate(source(provider), Fetch(task)).warnings == [said]


def test_a_key_is_wanted_of_every_server_but_one_on_this_machine(task, server):
    for url in ("http://10.1.2.3:8000/v1", "https://8.8.8.8/v1"):
        with pytest.raises(NotReady, match="made: OPENAI_API_KEY is not set, and http"):
            rows_of(source("openai", base_url=url), task, confirm=True)
    with pytest.raises(NotReady, match=r"to a server that asks for none: export OPENAI_API_KEY=none"):
        rows_of(source("openai", base_url="http://10.1.2.3:8000/v1"), task)
    assert len(rows_of(source("openai", server), task)) == 4
    server.answer = lambda call: Reply(status=401, message="no such key")
    with pytest.raises(RunFailed, match=r"\(HTTP 401\): .*no such key\. OPENAI_API_KEY is not set\."):
        rows_of(source("openai", server, seed=7), task)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_missing_sdk_is_a_sentence(task, server, provider, monkeypatch):
    monkeypatch.setitem(sys.modules, provider, None)
    with pytest.raises(MissingExtra, match=f"Generating rows with {provider} needs the llm extra"):
        rows_of(source(provider, server), task)


@pytest.mark.parametrize("provider", PROVIDERS)
def test_the_place_of_the_model_may_come_from_the_sdks_own_variable(task, server, provider, monkeypatch):
    name = {"anthropic": "ANTHROPIC_BASE_URL", "openai": "OPENAI_BASE_URL", "ollama": "OLLAMA_HOST"}[provider]
    monkeypatch.setenv(name, server.url + ("/v1" if provider == "openai" else ""))
    assert len(rows_of(source(provider), task)) == 4


@pytest.mark.parametrize(
    ("fields", "own"),
    [
        ({"provider": "anthropic", "base_url": None}, False),
        ({"provider": "openai", "base_url": None}, False),
        ({"provider": "openai", "base_url": "https://192.0.2.1.example.invalid/v1"}, False),
        ({"provider": "openai", "base_url": "https://8.8.8.8/v1"}, False),
        ({"provider": "openai", "base_url": "http://10.1.2.3:8000/v1"}, True),
        ({"provider": "openai", "base_url": "http://localhost:8000/v1"}, True),
        ({"provider": "openai", "base_url": "http://[::1]:8000/v1"}, True),
        ({"provider": "ollama", "base_url": None}, True),
        ({"provider": "ollama", "base_url": "192.168.1.5:11434"}, True),
        ({"provider": "ollama", "base_url": "https://ollama.com"}, False),
        ({"provider": "ollama", "base_url": None, "model": "gpt-oss:120b-cloud"}, False),
    ],
)
def test_only_a_model_on_the_own_machines_costs_nothing(fields, own):
    assert is_own_machine(source("openai").with_changes(**fields)) is own


def test_a_server_that_counts_no_tokens_is_charged_at_the_worst(task, server):
    server.answer = lambda call: Reply(write_rows(call).text, counts=False)
    made = source("openai", server, max_output_tokens=700, price={"input": 0, "output": 1})
    fetch = Fetch(task, confirm=True)
    list(read(made, fetch))
    assert fetch.notes["output_tokens"] == 700
    assert fetch.notes["cost_usd"] == 0.0007


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "0.5"}, 0.5),
        ({"retry-after-ms": "250", "retry-after": "7"}, 0.25),
        ({"retry-after": "soon"}, None),
        ({"retry-after": format_datetime(datetime(2020, 1, 1, tzinfo=UTC), usegmt=True)}, 0.0),
    ],
)
def test_retry_after_is_read_in_seconds_milliseconds_and_as_a_date(headers, seconds):
    assert retry_after(headers) == seconds


# ── the rows in an answer ──

ROW = ROWS_SCHEMA["properties"]["rows"]["items"]


@pytest.mark.parametrize(
    ("text", "cut", "rows", "wrong"),
    [
        ('{"rows": [{"text": "a"}]}', False, [{"text": "a"}], {}),
        ('[{"text": "a"}]', False, [{"text": "a"}], {}),
        ('```json\n{"rows": [{"text": "a"}]}\n```', False, [{"text": "a"}], {}),
        ('{"rows": [{"text": "a", "note": 1}]}', False, [{"text": "a"}], {}),
        ('{"rows": [{"text": 1}, {}, 7, {"text": "b"}]}', False, [{"text": "b"}], {"schema": 3}),
        ('{"rows": [{"text": "a"}, {"text": "b"}, {"text": "c', True, [{"text": "a"}, {"text": "b"}], {}),
        ('{"rows": [{"text": "a', False, [], {"not_json": 1}),
        ('{"rows": [{"text": "\\ud800"}]}', False, [], {"not_json": 1}),
        ('{"rows": {"text": "a"}}', False, [], {"not_json": 1}),
        ("", False, [], {"not_json": 1}),
        ("[" * 100_000, False, [], {"not_json": 1}),
    ],
)
def test_rows_are_taken_from_whatever_form_the_answer_has(text, cut, rows, wrong):
    assert read_rows(text, ROW, cut=cut) == (rows, wrong)


def test_a_field_that_is_named_like_a_word_of_json_schema_stays_a_field():
    schema = {
        "properties": {"type": "object", "properties": {"type": {"type": "string"}, "required": {"const": 1}}}
    }
    row = row_schema(source("openai", schema=schema), labelled=False)
    assert row["properties"] == {
        "properties": {
            "type": "object",
            "properties": {"type": {"type": "string"}, "required": {"const": 1}},
            "required": ["type", "required"],
            "additionalProperties": False,
        }
    }
    assert is_strict(row)
    assert not is_strict({**row, "additionalProperties": True})
