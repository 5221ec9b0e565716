"""The command itself, the other back-ends, the real model, and the terminal."""

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import httpx2
import openai
import pytest
from rich.console import Console
from served_task import CALL, LOOP, make_served_task, running, serving

from nlp_skills.base_model import BaseModelFiles, load_tokenizer
from nlp_skills.data.example import read_examples
from nlp_skills.deployment.serving.app import build_app
from nlp_skills.deployment.serving.backend import Piece
from nlp_skills.deployment.serving.chat import Conversation, hold
from nlp_skills.deployment.serving.http_server import listen
from nlp_skills.deployment.serving.keys import choose_key
from nlp_skills.deployment.serving.llama_backend import LlamaBackend
from nlp_skills.deployment.serving.openai_api import ChatAsked
from nlp_skills.deployment.serving.serve import Served, model_names, open_backend, serve
from nlp_skills.deployment.serving.text_stream import StopTexts, TextStream
from nlp_skills.deployment.serving.vllm_backend import VllmBackend, VllmProcess, free_port, vllm_command
from nlp_skills.errors import NotReady, NotValid, RunFailed
from nlp_skills.evaluation.predictors import Decoding, open_predictor
from nlp_skills.tables import render
from nlp_skills.training.config import TrainConfig

ASKED: dict[str, Any] = {"model": "small", "messages": [{"role": "user", "content": "Is it raining?"}]}
WEATHER = {"type": "function", "function": {"name": "get_weather", "parameters": {"type": "object"}}}


def test_health_asks_llama_cpp_itself(packaged_gguf: Path):
    backend = LlamaBackend(packaged_gguf, TrainConfig(base_model="smollm2-135m-instruct"), streams=1)
    app = build_app(backend, ["small"], created=1)

    async def ask() -> list[httpx2.Response]:
        at = {"transport": httpx2.ASGITransport(app=app), "base_url": "http://localhost"}
        async with httpx2.AsyncClient(**at) as client:
            found = [await client.get("/health")]
            ended, backend._server = [backend._server], None
            await asyncio.to_thread(ended.clear)
            found += [await client.get("/health"), await client.post("/v1/chat/completions", json=ASKED)]
        await backend.close()
        return found

    well, ended, asked = asyncio.run(ask())
    assert (well.status_code, well.json()) == (200, {"status": "ok", "model": "small", "under_way": 0})
    assert (ended.status_code, ended.json()["status"]) == (503, "stopped")
    assert ended.json()["cause"].startswith("llama.cpp cannot be reached any more")
    assert asked.status_code == 503


STANDS_FOR_VLLM = """
import json, os, sys, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()

    def do_POST(self):
        self.send_response(200)
        self.end_headers()
        part = {"choices": [{"index": 0, "text": str(os.getpid()), "finish_reason": None}]}
        self.wfile.write(f"data: {json.dumps(part)}\\n\\n".encode())
        threading.Event().wait()

port = int(sys.argv[sys.argv.index("--port") + 1])
ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
"""Speaks as much of its protocol as is needed here; the first text of an answer is its process id."""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals to send")
def test_no_way_out_leaves_the_process_of_the_model_behind_and_its_death_ends_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    task = make_served_task(tmp_path)
    package = tmp_path / "python" / "vllm" / "entrypoints" / "openai"
    package.mkdir(parents=True)
    for folder in (package, package.parent, package.parent.parent):
        (folder / "__init__.py").touch()
    (package / "api_server.py").write_text(STANDS_FOR_VLLM, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path / "python")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "python"))
    children: list[int] = []

    def ask_and(end: Callable[[int, str], None]) -> Callable[[str], None]:
        """What hears the address: it begins an answer, and ends somebody in the middle of it."""

        def told(sentence: str) -> None:
            url = re.findall(r"http://\S+/v1", sentence)[0]
            threading.Thread(target=work, args=(url,)).start()

        def work(url: str) -> None:
            with openai.OpenAI(base_url=url, api_key="-", max_retries=0) as client:
                asked = iter(client.completions.create(model="small", prompt="x", stream=True))
                children.append(int(next(asked).choices[0].text))
                end(children[-1], url)
                with pytest.raises((openai.APIError, httpx2.TransportError)):
                    list(asked)

        return told

    def interrupt_twice(_: int, url: str) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(httpx2.TransportError):  # nothing new is taken any more: the signal has come
            while True:
                httpx2.get(f"{url}/models")
        os.kill(os.getpid(), signal.SIGINT)

    served = serve(task, port=0, tell=ask_and(interrupt_twice))
    assert (served.backend.split()[-1], served.failed + served.cancelled) == ("(vLLM)", 1)
    ended = "small v1 is served no more: vLLM ended with status -9; its log is vllm.log. 1 request had been taken."
    with pytest.raises(RunFailed, match=re.escape(ended)):
        serve(task, port=0, tell=ask_and(lambda child, _: os.kill(child, signal.SIGKILL)))
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)


@pytest.mark.skipif(os.name == "nt", reason="Windows has no SIGTERM to send")
def test_the_command_finishes_what_is_under_way_and_ends_well_when_it_is_told_to_stop(tmp_path: Path):
    task = make_served_task(tmp_path)
    command = [
        sys.executable,
        "-m",
        "nlp_skills",
        "serve",
        "small",
        "--port",
        "0",
        "--home",
        str(task.parent),
        "--json",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None and process.stdout is not None
        told = ""
        while not (found := re.search(r"answers at (http://\S+) as small:v1", told)):
            line = process.stderr.readline()
            assert line, told
            told += line
        with openai.OpenAI(base_url=found[1], api_key="-", max_retries=0) as client:
            stream = iter(client.completions.create(model="small", prompt=LOOP, max_tokens=300, stream=True))
            text = next(stream).choices[0].text
            process.send_signal(signal.SIGTERM)
            text += "".join(chunk.choices[0].text for chunk in stream)
        shown, rest = process.communicate(timeout=60)
    assert (text, process.returncode) == (LOOP * 300, 0), rest
    served = Served.parse(json.loads(shown), "the output")
    assert (served.statuses, served.answered, served.tokens) == ({"200": 1}, 1, 300)
    out = StringIO()
    others = served.with_changes(requests=4, statuses={"200": 1, "400": 1, "429": 2}, seconds=120.0)
    Console(file=out, width=100).print(render(others))
    assert [line.strip() for line in out.getvalue().splitlines()] == [
        "small v1 (trained) answered 1 of 4 requests with 300 tokens in 2 minutes.",
        "status  requests",
        "400            1  asked for what cannot be done; the answer says what",
        "429            2  no place was free; for more at once start it with --streams",
    ]
    assert "key" not in told  # this machine alone reaches it


def test_a_port_that_is_taken_and_a_backend_that_does_not_fit_are_said(tmp_path: Path):
    task = make_served_task(tmp_path)
    with listen("127.0.0.1", 0) as taken, pytest.raises(NotReady, match=r"Choose another with --port"):
        serve(task, port=taken.getsockname()[1])
    with pytest.raises(
        NotValid, match=r"llama\.cpp cannot serve models/v1/model \(merged\): export it first"
    ):
        serve(task, port=0, backend="llama.cpp")
    with pytest.raises(NotReady, match="export-model small --version v1 --quantization q8_0"):
        serve(task, port=0, weights="q8_0")
    with pytest.raises(NotReady, match="vLLM is not installed here"):
        serve(task, port=0, backend="vllm")
    assert model_names(task, "v1", "prod") == ["small:v1", "small", "small:prod"]


def test_a_key_is_made_beyond_this_machine_and_read_from_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SERVER_KEY", "from outside")
    assert (
        choose_key("127.0.0.1", None)
        == choose_key("::1", None)
        == choose_key("0.0.0.0", "none")
        == (None, False)
    )
    assert choose_key("localhost", "${SERVER_KEY}") == ("from outside", False)
    made, shown = choose_key("0.0.0.0", None)
    assert made is not None
    assert (len(made) >= 32, shown, made != choose_key("example.org", None)[0]) == (True, True, True)
    with pytest.raises(NotValid, match="a key in a command stays in the shell's history"):
        choose_key("0.0.0.0", "secret")
    with pytest.raises(
        NotReady, match=r"^--api-key names the environment variable NO_SUCH_KEY, which is not set"
    ):
        choose_key("0.0.0.0", "${NO_SUCH_KEY}")


def test_the_real_model_answers_as_its_evaluation_does_with_its_adapter_and_nothing_merged(tickets: Path):
    rows = list(read_examples(tickets / "data" / "test.jsonl"))[:4]
    predictor = open_predictor(tickets, "v1")
    how = Decoding(max_new_tokens=8, batch_size=4)
    expected = [found.text for _, found in sorted(predictor.answer(rows, how, lambda *_: None))]
    assert not (tickets / "models" / "v1" / "merged").exists()

    async def all(url: str) -> list[str]:
        async with openai.AsyncOpenAI(base_url=url, api_key="-", max_retries=0) as client:
            asked = [[{"role": m.role, "content": m.content} for m in row.context] for row in rows]
            replies = [
                client.chat.completions.create(model="small", messages=turns, max_tokens=8)  # type: ignore[arg-type]
                for turns in asked
            ]
            return [
                (reply.choices[0].message.content or "").strip() for reply in await asyncio.gather(*replies)
            ]

    with serving(open_backend(tickets, "v1", "trained", streams=4)) as url:
        assert asyncio.run(all(url)) == expected


def test_llama_cpp_answers_behind_the_same_front(smollm2_gguf: Path):
    config = TrainConfig(base_model="smollm2-135m-instruct")
    with serving(LlamaBackend(smollm2_gguf, config, streams=2)) as url:
        with openai.OpenAI(base_url=url, api_key="-", max_retries=0) as client:
            asked: dict[str, Any] = {**ASKED, "max_tokens": 5}
            whole = client.chat.completions.create(**asked, logprobs=True, top_logprobs=1)
            chunks = list(client.chat.completions.create(**asked, stream=True))
            text = client.completions.create(model="small", prompt="One, two,", max_tokens=3)
            with pytest.raises(openai.BadRequestError, match="context"):
                client.completions.create(model="small", prompt="word " * 5000)
    choice = whole.choices[0]
    assert "".join(c.choices[0].delta.content or "" for c in chunks) == choice.message.content
    assert [chunks[-1].choices[0].finish_reason, choice.finish_reason] == ["length", "length"]
    assert whole.usage is not None and choice.logprobs is not None and choice.logprobs.content is not None
    assert (whole.usage.completion_tokens, len(choice.logprobs.content)) == (5, 5)
    assert text.usage is not None and text.usage.completion_tokens == 3


class Child:
    """What stands for vLLM's process: a server that is here already."""

    key = "child"
    ended: str | None = None

    def __init__(self, url: str) -> None:
        self.address = url.removesuffix("/v1")

    def stop(self) -> None:
        self.ended = "stopped"


def test_vllm_is_given_token_ids_and_its_text_is_read_as_ours(tmp_path: Path):
    """Its protocol against a server of its form; vLLM itself is not run here."""
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response, StreamingResponse
    from starlette.routing import Route

    async def health(_: Request) -> Response:
        return Response()

    bodies: list[dict[str, Any]] = []

    async def completions(request: Request) -> StreamingResponse:
        assert request.headers["authorization"] == "Bearer child"
        bodies.append(await request.json())
        parts = [{"choices": [{"index": 0, "text": text, "finish_reason": None}]} for text in CALL]
        parts += [{"choices": [{"index": 0, "text": "", "finish_reason": "stop"}]}]
        parts += [{"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}}]
        lines = [f"data: {json.dumps(part)}\n\n" for part in parts]
        return StreamingResponse(iter([*lines, "data: [DONE]\n\n"]), media_type="text/event-stream")

    task = make_served_task(tmp_path)
    folder = task / "models" / "v1" / "model"
    tokenizer = load_tokenizer(BaseModelFiles(name="m", path=str(folder)))
    config = TrainConfig(base_model="owner/base", lora_r=8)
    routes = [Route("/health", health), Route("/v1/completions", completions, methods=["POST"])]
    with running(Starlette(routes=routes)) as address:
        child: Any = Child(address)
        with serving(VllmBackend(child, tokenizer, config)) as url:
            with openai.OpenAI(base_url=url, api_key="-", max_retries=0) as client:
                reply = client.chat.completions.create(**ASKED, tools=[WEATHER], stop="never", max_tokens=20)  # type: ignore[call-overload]
    assert child.ended == "stopped"
    call = reply.choices[0].message.tool_calls[0]
    assert (call.function.name, json.loads(call.function.arguments)) == ("get_weather", {"city": "台北"})
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (9, 4)
    shown = tokenizer.apply_chat_template(
        ASKED["messages"], tools=[WEATHER], tokenize=False, add_generation_prompt=True
    )
    assert bodies == [
        {
            "model": "served",
            "prompt": tokenizer(shown, add_special_tokens=False)["input_ids"],
            "max_tokens": 20,
            "temperature": 0.0,
            "top_p": 1.0,
            "stop": ["never"],
            "stop_token_ids": bodies[0]["stop_token_ids"],
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ]
    assert tokenizer.eos_token_id in bodies[0]["stop_token_ids"]
    command = vllm_command(BaseModelFiles(name="b", path="owner/base", revision="abc"), folder, 8, 9999, 64)
    assert command[1:] == [
        *("-m", "vllm.entrypoints.openai.api_server", "--model", "owner/base", "--revision", "abc"),
        *("--host", "127.0.0.1", "--port", "9999", "--max-num-seqs", "64", "--generation-config", "vllm"),
        *("--enable-lora", "--max-lora-rank", "8", "--lora-modules", f"served={folder}"),
    ]


def test_a_child_that_is_not_waited_for_to_the_end_does_not_stay(tmp_path: Path):
    command = [sys.executable, "-c", "import threading; threading.Event().wait()"]

    def stop(message: str, done: float, total: float | None) -> None:
        raise KeyboardInterrupt

    child = VllmProcess(command, tmp_path / "vllm.log", free_port())
    assert child.ended is None
    with pytest.raises(KeyboardInterrupt):
        child.wait(stop)
    assert child.ended is not None and child.ended.endswith("; its log is vllm.log")


def test_the_terminal_streams_answers_and_knows_its_commands(tmp_path: Path):
    task = make_served_task(tmp_path)
    backend = open_backend(task, "v1", "trained", streams=1)
    seen: list[list[dict[str, Any]]] = []
    inner = backend.chat

    def chat(asked: ChatAsked) -> Any:
        seen.append(asked.messages)
        return inner(asked)

    backend.chat = chat  # type: ignore[method-assign]
    shown: list[str] = []
    talk = Conversation("Be kind.", {"temperature": 0.0})
    lines = ["Hi", "", "And?", "/reset", "Again", "/system ", "Alone", "/what", "x" * 3000, "/quit", "never"]
    with asyncio.Runner() as runner:
        hold(talk, backend, runner, iter(lines), shown.append)
        runner.run(backend.close())
    said = "".join(CALL)
    system = {"role": "system", "content": "Be kind."}
    first = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": said}]
    assert seen[:4] == [
        [system, {"role": "user", "content": "Hi"}],
        [system, *first, {"role": "user", "content": "And?"}],
        [system, {"role": "user", "content": "Again"}],
        [{"role": "user", "content": "Alone"}],
    ]
    assert (talk.turns, talk.tokens) == (4, 16)
    text = "".join(shown)
    assert text.startswith(f"{said}\n{said}\n") and "/reset: a new conversation" in text
    assert "there is room for 2,048 with the answer" in text


def test_half_a_character_waits_for_the_other_half_and_a_stop_text_for_its_end(tmp_path: Path):
    task = make_served_task(tmp_path)
    tokenizer = load_tokenizer(BaseModelFiles(name="m", path=str(task / "models" / "v1" / "model")))
    text = "雨 ☔ and 👩‍👩‍👧 end"
    stream = TextStream(tokenizer)
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    parts = [stream.add(token) for token in ids] + [stream.end()]
    assert ("".join(parts), "\ufffd" in "".join(parts)) == (text, False)
    cut = TextStream(tokenizer)
    assert [cut.add(ids[0]), cut.end()] == ["", "\ufffd"]
    stops = StopTexts(["aab", "END"])
    assert [stops.add(part) for part in ("xa", "a", "a", "E", "Q", "EN", "D more")] == [
        "x",
        "",
        "a",
        "aa",
        "EQ",
        "",
        "",
    ]
    assert (stops.met, stops.end()) == (True, "")


def test_what_is_thought_first_is_streamed_and_is_no_call():
    from nlp_skills.deployment.serving.call_stream import CallStream

    stream = CallStream(["f"])
    parts = ["<think>", 'maybe {"name": ', "</think>", "\n", "So: ", '{"name": "f", ', '"arguments": {}}']
    found = [stream.read(Piece(part)).text for part in parts]
    last = stream.read(Piece("", finish="stop"))
    assert found == ["<think>", 'maybe {"name": ', "</think>", "\n", "So: ", "", ""]
    assert (last.text, last.finish, [c["function"] for c in last.calls]) == (
        "",
        "tool_calls",
        [{"name": "f", "arguments": "{}"}],
    )
