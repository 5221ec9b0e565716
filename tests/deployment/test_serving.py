"""The server through the official client and through whatever else may come over HTTP."""

import asyncio
import json
import random
import re
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from served_task import CALL, LOOP, make_served_task, serving

from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.deployment.serving.app import Limits, build_app
from nlp_skills.deployment.serving.openai_api import ChatAsked
from nlp_skills.deployment.serving.prompts import Prompts
from nlp_skills.deployment.serving.serve import open_backend
from nlp_skills.errors import NotValid
from nlp_skills.evaluation.predictors import open_predictor
from nlp_skills.evaluation.predictors.reply import prompt_hash

WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather in a city.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
ASKED: dict[str, Any] = {"model": "small:v1", "messages": [{"role": "user", "content": "Is it raining?"}]}


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_served_task(tmp_path_factory.mktemp("served"))


@pytest.fixture(scope="module")
def url(task: Path) -> Iterator[str]:
    with serving(open_backend(task, "v1", "trained", streams=64)) as address:
        yield address


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=url, api_key="-", max_retries=0) as client:
        yield client


def test_the_official_client_gets_an_answer_with_its_tokens_counted(client: openai.OpenAI):
    reply = client.chat.completions.create(**ASKED)
    assert reply.choices[0].message.content == "".join(CALL)
    assert (reply.choices[0].finish_reason, reply.model) == ("stop", "small:v1")
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (33, 4)
    assert [model.id for model in client.models.list()] == ["small:v1", "small"]
    assert client.models.retrieve("small").owned_by == "nlp-skills"


def test_a_stream_has_the_same_text_and_ends_with_what_it_took(client: openai.OpenAI):
    chunks = list(
        client.chat.completions.create(**ASKED, stream=True, stream_options={"include_usage": True})
    )
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == "".join(CALL)
    assert [c.choices[0].finish_reason for c in chunks if c.choices] == [None, None, None, None, "stop"]
    assert chunks[-1].usage is not None
    assert chunks[-1].usage.total_tokens == 37


@pytest.mark.parametrize("stream", [False, True])
def test_tool_calls_come_as_tool_calls_streamed_or_not(client: openai.OpenAI, stream: bool):
    if stream:
        with client.chat.completions.stream(**ASKED, tools=[WEATHER]) as events:
            choice = events.get_final_completion().choices[0]
    else:
        choice = client.chat.completions.create(**ASKED, tools=[WEATHER]).choices[0]
    assert choice.finish_reason == "tool_calls"
    assert not choice.message.content
    assert choice.message.tool_calls is not None
    call = choice.message.tool_calls[0]
    assert (call.type, call.function.name) == ("function", "get_weather")
    assert json.loads(call.function.arguments) == {"city": "台北"}
    told = {"role": "tool", "tool_call_id": call.id, "content": "rain"}
    again = [*ASKED["messages"], choice.message.model_dump(exclude_none=True), told]
    for turn in again:
        turn.pop("parsed", None)
    assert client.chat.completions.create(model="small", messages=again, tools=[WEATHER], tool_choice="none")


def test_a_call_of_a_tool_that_is_not_offered_is_text(client: openai.OpenAI):
    other = {"type": "function", "function": {"name": "search", "parameters": {"type": "object"}}}
    choice = client.chat.completions.create(**ASKED, tools=[other]).choices[0]
    assert (choice.message.content, choice.message.tool_calls, choice.finish_reason) == (
        "".join(CALL),
        None,
        "stop",
    )


def test_a_stop_text_ends_an_answer_and_is_not_part_of_it(client: openai.OpenAI):
    streamed = client.chat.completions.create(**ASKED, stop=[' "arg', "city"], stream=True)
    parts = [c.choices[0] for c in streamed]
    assert "".join(part.delta.content or "" for part in parts) == '{"name": "get_weather",'
    assert parts[-1].finish_reason == "stop"
    whole = client.completions.create(model="small", prompt=LOOP, max_tokens=7, stop="never")
    assert (whole.choices[0].text, whole.choices[0].finish_reason) == (LOOP * 7, "length")


def test_log_probabilities_are_told_with_each_token(client: openai.OpenAI):
    told = client.chat.completions.create(**ASKED, logprobs=True, top_logprobs=2).choices[0].logprobs
    assert told is not None and told.content is not None
    assert [one.token for one in told.content] == list(CALL)
    assert [one.top_logprobs[0].token for one in told.content] == list(CALL)
    assert told.content[2].bytes == list(CALL[2].encode())
    assert all(one.logprob == one.top_logprobs[0].logprob for one in told.content)


@pytest.mark.parametrize(("thinking", "in_prompt"), [(None, False), (False, True), (True, False)])
def test_a_request_is_rendered_as_the_evaluation_renders_the_row(
    tmp_path: Path, thinking: bool | None, in_prompt: bool
):
    task = make_served_task(tmp_path, enable_thinking=thinking, tools_in_prompt=in_prompt)
    file = task / "models" / "v1" / "model" / "chat_template.jinja"
    predictor: Any = open_predictor(task, "base")
    predictor.tokenizer.chat_template = f"{{{{ enable_thinking }}}}{file.read_text(encoding='utf-8')}"
    calls = [{"type": "function", "function": {"name": "get_weather", "arguments": {"city": "台北"}}}]
    turns = [
        Message("system", "Be kind."),
        Message("user", "雨?"),
        Message("assistant", tool_calls=calls),
        Message("tool", "rain"),
        Message("user", "And now?"),
        Message("assistant", "x"),
    ]
    row = Example(meta=Meta("r", "r"), messages=turns, tools=[WEATHER])
    text = json.dumps({"city": "台北"})  # OpenAI's clients send arguments as text
    said = [{"id": "1", "type": "function", "function": {"name": "get_weather", "arguments": text}}]
    body = [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "雨?"}]},
        {"role": "assistant", "content": None, "tool_calls": said},
        {"role": "tool", "content": "rain"},
        {"role": "user", "content": "And now?"},
    ]
    said[0].pop("id")  # the template of this model would show it
    asked = ChatAsked.parse({"model": "small", "messages": body, "tools": [WEATHER]}, "the request")
    prompts = Prompts(predictor.tokenizer, thinking=thinking, tools_in_prompt=in_prompt)
    assert [prompt_hash(prompts.chat(asked))] == predictor.prompt_hashes([row])


WRONG = {
    "nothing": {},
    "no turns": {**ASKED, "messages": []},
    "a misspelled field": {**ASKED, "temprature": 0},
    "two answers": {**ASKED, "n": 2},
    "a penalty": {**ASKED, "presence_penalty": 1},
    "too hot": {**ASKED, "temperature": 3},
    "a forced call": {**ASKED, "tools": [WEATHER], "tool_choice": "required"},
    "a speaker nobody knows": {**ASKED, "messages": [{"role": "oracle", "content": "x"}]},
    "a picture": {
        **ASKED,
        "messages": [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}],
    },
    "a tool without a name": {**ASKED, "tools": [{"type": "function", "function": {}}]},
    "too many tokens": {**ASKED, "max_tokens": 5000},
    "too long": {**ASKED, "messages": [{"role": "user", "content": "x" * 3000}]},
}


@pytest.mark.parametrize("name", WRONG)
def test_what_cannot_be_done_is_refused_with_a_sentence(client: openai.OpenAI, name: str, url: str):
    reply = httpx2.post(f"{url}/chat/completions", json=WRONG[name])
    error = reply.json()["error"]
    assert (reply.status_code, error["type"]) == (400, "invalid_request_error")
    assert len(error["message"].split()) > 3
    assert (error["code"] == "context_length_exceeded") == name.startswith("too ") * (name != "too hot")


def test_a_field_that_others_know_is_refused_with_what_to_do_instead():
    other = {
        "response_format": ({"type": "json_object"}, "say the form in the system prompt"),
        "reasoning_effort": ("low", 'chat_template_kwargs: {"enable_thinking": true}'),
        "functions": ([], "called tools by now"),
    }
    for name, (value, cure) in other.items():
        with pytest.raises(NotValid, match=re.escape(f"{name}: not offered: ")) as refused:
            ChatAsked.parse({**ASKED, name: value}, "the request")
        assert cure in str(refused.value)
        assert ChatAsked.parse({**ASKED, name: None}, "the request").model == "small:v1"
    assert ChatAsked.parse({**ASKED, "response_format": {"type": "text"}}, "the request").limit is None


def test_more_connections_than_there_may_be_are_told_so_and_the_others_are_answered(task: Path):
    limits = Limits(streams=1, other_connections=2)
    with serving(open_backend(task, "v1", "trained", streams=1), limits=limits) as address:
        port = int(address.split(":")[2].removesuffix("/v1"))
        with ExitStack() as stack:
            first, *_ = (
                stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
                for _ in range(3)
            )
            late = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=30))
            refused = b"".join(iter(lambda: late.recv(4096), b""))
            first.sendall(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answered = b"".join(iter(lambda: first.recv(4096), b""))
    head, _, body = refused.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ") and f"Content-Length: {len(body)}".encode() in head
    assert json.loads(body)["error"]["message"] == "Too many connections. Try again soon."
    assert answered.startswith(b"HTTP/1.1 200 ")


def test_a_model_that_is_not_here_and_a_wrong_path_are_not_found(client: openai.OpenAI, url: str):
    with pytest.raises(openai.NotFoundError, match="did you mean"):
        client.chat.completions.create(**{**ASKED, "model": "smal:v1"})
    assert httpx2.get(f"{url}/nothing").json()["error"]["message"] == "There is no /v1/nothing here."
    assert httpx2.get(f"{url}/chat/completions").status_code == 405


def test_a_body_of_another_type_or_too_large_or_broken_is_refused(task: Path):
    limits = Limits(body_bytes=1000)

    with serving(open_backend(task, "v1", "trained", streams=2), limits=limits) as address:
        path = f"{address}/chat/completions"
        plain = httpx2.post(path, content=b"{}", headers={"content-type": "text/plain"})
        large = httpx2.post(path, json={**ASKED, "user": "x" * 1000})
        broken = httpx2.post(path, content=b'{"model": "\xff', headers={"content-type": "application/json"})
    assert [reply.status_code for reply in (plain, large, broken)] == [415, 413, 400]


def test_sixty_four_streams_are_held_and_the_next_one_is_told_when_to_come_again(url: str):
    async def one(
        client: openai.AsyncOpenAI, begun: asyncio.Event, go_on: asyncio.Event
    ) -> tuple[int, str | None]:
        stream = await client.completions.create(model="small", prompt=LOOP, max_tokens=150, stream=True)
        text, finish = "", None
        async for chunk in stream:
            text += chunk.choices[0].text
            finish = chunk.choices[0].finish_reason or finish
            begun.set()
            await go_on.wait()
        return text.count(LOOP), finish

    async def all() -> tuple[list[tuple[int, str | None]], httpx2.Response]:
        async with openai.AsyncOpenAI(base_url=url, api_key="-", max_retries=0) as client:
            begun, go_on = [asyncio.Event() for _ in range(64)], asyncio.Event()
            streams = [asyncio.create_task(one(client, event, go_on)) for event in begun]
            await asyncio.gather(*(event.wait() for event in begun))
            async with httpx2.AsyncClient() as other:
                refused = await other.post(f"{url}/chat/completions", json=ASKED)
            go_on.set()
            return await asyncio.gather(*streams), refused

    answers, refused = asyncio.run(all())
    assert answers == [(150, "length")] * 64
    assert (refused.status_code, refused.json()["error"]["code"]) == (429, "too_many_requests")
    assert int(refused.headers["retry-after"]) >= 1


def test_a_client_that_goes_away_gives_its_place_back(task: Path):
    with serving(open_backend(task, "v1", "trained", streams=1), limits=Limits(streams=1)) as address:
        client = openai.OpenAI(base_url=address, api_key="-", max_retries=20)
        stream = client.completions.create(model="small", prompt=LOOP, max_tokens=2000, stream=True)
        next(iter(stream))
        stream.close()
        assert client.chat.completions.create(**ASKED).choices[0].finish_reason == "stop"
        with pytest.raises(openai.BadRequestError):  # who is refused has not gone away
            client.chat.completions.create(**ASKED, max_tokens=5000)
        told = httpx2.get(address.removesuffix("v1") + "metrics").text
        client.close()
    assert "nlp_skills_cancelled_total 1.0" in told


def test_a_client_that_does_not_read_any_more_gives_its_place_back(task: Path):
    backend = open_backend(task, "v1", "trained", streams=1)
    app = build_app(backend, ["small"], created=1, limits=Limits(streams=1, send_seconds=0.05))
    body = json.dumps({**ASKED, "model": "small", "stream": True}).encode()
    head = [(b"host", b"localhost"), (b"content-type", b"application/json")]
    scope = {"type": "http", "asgi": {"version": "3.0", "spec_version": "2.3"}, "http_version": "1.1"}
    scope |= {"method": "POST", "path": "/v1/chat/completions", "query_string": b"", "headers": head}
    sent: list[str] = []

    async def ask() -> None:
        coming = [{"type": "http.request", "body": body, "more_body": False}]

        async def receive() -> Any:
            return coming.pop() if coming else await asyncio.Event().wait()

        async def send(message: Any) -> None:
            sent.append(message["type"])
            if message["type"] == "http.response.body":
                await asyncio.Event().wait()

        await app(scope, receive, send)
        assert app.state.endpoint.places.taken == 0
        await backend.close()

    asyncio.run(ask())
    assert sent == ["http.response.start", "http.response.body"]


def test_a_thousand_mutated_requests_get_no_error_of_ours(url: str):
    rng = random.Random(0)

    async def all() -> list[int]:
        limits = httpx2.Limits(max_connections=16)
        async with httpx2.AsyncClient(limits=limits, timeout=60) as client:

            async def send(content: bytes) -> int:
                path = rng.choice(["/chat/completions", "/chat/completions", "/completions"])
                head = {
                    "content-type": rng.choice(["application/json"] * 9 + ["application/json; charset=x"])
                }
                return (await client.post(url + path, content=content, headers=head)).status_code

            found: list[int] = []
            for start in range(0, 1000, 16):
                some = [send(mutated(rng)) for _ in range(start, min(start + 16, 1000))]
                found += await asyncio.gather(*some)
            return found

    found = asyncio.run(all())
    assert len(found) == 1000
    assert set(found) <= {200, 400, 404}
    assert {200, 400} <= set(found)
    assert httpx2.get(url.removesuffix("v1") + "health").json()["status"] == "ok"


WHOLE = {
    **ASKED,
    "messages": [
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": [{"type": "text", "text": "Is it raining?"}]},
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "get_weather", "arguments": "{}"}}
            ],
        },
        {"role": "tool", "tool_call_id": "c", "content": "yes"},
    ],
    "tools": [WEATHER],
    "max_tokens": 4,
    "temperature": 0.5,
    "top_p": 0.9,
    "seed": 1,
    "stop": ["x"],
    "logprobs": True,
    "top_logprobs": 1,
    "stream_options": {"include_usage": True},
    "chat_template_kwargs": {"enable_thinking": False},
}
ODD: list[Any] = [
    None,
    True,
    -1,
    0,
    10**30,
    1e308,
    "",
    "\x00",
    "𝛼" * 50,
    [],
    {},
    [[]],
    {"a": {"b": []}},
    "\ud800",
    float("nan"),
    [None],
    "x" * 5000,
]


def mutated(rng: random.Random) -> bytes:
    """The body with something changed: a value, a field that is gone, or bytes that are no JSON any more."""
    body = json.loads(json.dumps(WHOLE))
    if rng.random() < 0.3:
        body |= {"prompt": rng.choice(["a", ["a"], [1, 2], [10**9], [-1], ["a", "b"]]), "logprobs": 1}
        for name in ("messages", "tools", "top_logprobs", "chat_template_kwargs"):
            body.pop(name)
    body["stream"] = rng.random() < 0.3
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        mutate(body, rng)
    data = json.dumps(body).encode()
    if rng.random() < 0.25:
        place = rng.randrange(len(data))
        data = rng.choice(
            [
                data[:place],
                data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :],
                data[place:],
                b"[" * 3000,
            ]
        )
    return data


def mutate(value: Any, rng: random.Random) -> None:
    keys = list(value) if isinstance(value, dict) else list(range(len(value)))
    if not keys:
        return
    key = rng.choice(keys)
    if isinstance(value[key], dict | list) and rng.random() < 0.6:
        mutate(value[key], rng)
    elif isinstance(value, dict) and rng.random() < 0.3:
        value[rng.choice(["model", "n", "x", key])] = value.pop(key)
    else:
        value[key] = rng.choice(ODD)


def test_a_key_is_asked_for_everywhere_but_for_health(task: Path):
    with serving(open_backend(task, "v1", "trained", streams=2), key="right") as address:
        root = address.removesuffix("v1")
        client = openai.OpenAI(base_url=address, api_key="right", max_retries=0)
        assert client.chat.completions.create(**ASKED).choices[0].finish_reason == "stop"
        with pytest.raises(openai.AuthenticationError):
            client.with_options(api_key="wrong").chat.completions.create(**ASKED)
        client.close()
        paths = ("v1/models", "metrics", "health")
        found = [httpx2.get(root + path).status_code for path in paths]
        odd = [{"authorization": text} for text in ("right", "Basic right", "Bearer", "bearer right")]
        heads = [httpx2.get(f"{address}/models", headers=head).status_code for head in odd]
    assert (found, heads) == ([401, 401, 200], [401, 401, 401, 200])


def test_without_a_key_a_page_that_was_made_to_lead_here_gets_nothing(task: Path):
    with serving(open_backend(task, "v1", "trained", streams=2), local=True) as address:
        hosts = (
            "localhost:8000",
            "127.0.0.1",
            "[::1]:8000",
            "evil.example:8000",
            "127.0.0.1.evil.example",
            "[x",
        )
        found = [httpx2.get(f"{address}/models", headers={"host": host}).status_code for host in hosts]
        asked = httpx2.post(f"{address}/chat/completions", json=ASKED, headers={"host": "evil.example"})
    assert found[:5] == [200, 200, 200, 403, 403]
    assert found[5] in (400, 403)
    assert asked.json()["error"]["message"].startswith("Call this server localhost or 127.0.0.1")


def test_prometheus_is_told_requests_tokens_and_times(client: openai.OpenAI, url: str):
    from prometheus_client.parser import text_string_to_metric_families

    def read() -> dict[str, float]:
        text = httpx2.get(url.removesuffix("v1") + "metrics").text
        return {
            sample.name: sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.labels in ({}, {"path": "/v1/chat/completions", "status": "200"})
        }

    before = read()
    client.chat.completions.create(**ASKED)
    after = read()
    names = (
        "requests_total",
        "answer_tokens_total",
        "prompt_tokens_total",
        "first_token_seconds_count",
        "answer_seconds_count",
    )
    assert [after[f"nlp_skills_{name}"] - before.get(f"nlp_skills_{name}", 0) for name in names] == [
        1,
        4,
        33,
        1,
        1,
    ]
    assert after["nlp_skills_under_way"] == 0
