"""A model server on loopback that speaks the wire formats of Anthropic, OpenAI and Ollama, for their clients to talk to.

It checks what it is sent as the real ones do, writes rows that follow from the prompt, keeps a bill,
and does what a test tells it to at any moment: refuse, wait, cut, break off, or run a function.
"""

import hashlib
import json
import re
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from jsonschema import Draft202012Validator

from loopback import LoopbackHandler, listening


@dataclass(frozen=True)
class Call:
    """One request as it came in."""

    number: int
    path: str
    headers: dict[str, str]
    body: dict[str, Any]

    @property
    def key(self) -> str:
        return self.headers.get("idempotency-key", "")

    @property
    def prompt(self) -> str:
        return self.body["messages"][-1]["content"]

    @property
    def schema(self) -> dict[str, Any] | None:
        """What the answer is held to, wherever the provider has it stand."""
        if self.path == "/v1/messages":
            return self.body.get("output_config", {}).get("format", {}).get("schema")
        if self.path == "/api/chat":
            return self.body.get("format")
        return self.body.get("response_format", {}).get("json_schema", {}).get("schema")

    @property
    def rows_wanted(self) -> int:
        found = re.search(r"holds (\d+) rows?", self.prompt)
        assert found, self.prompt
        return int(found[1])


@dataclass
class Reply:
    """What the model says. `stop`: end, cut or refused; `status`: an HTTP error in its place."""

    text: str | None = ""
    stop: str = "end"
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    message: str = "the server says no"
    code: str | None = None
    """OpenAI's short word for the error."""
    broken: bool = False
    """The connection is cut in place of an answer."""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    """Tools' names and arguments (OpenAI's and Ollama's form)."""
    counts: bool = True
    """Whether the server says how many tokens it were (OpenAI's form)."""
    input_tokens: int = 100
    output_tokens: int = 50


WORDS = (
    "parcel late refund courier invoice battery screen garden winter morning coffee window ticket station river"
    " bicycle doctor teacher kitchen blanket mountain engine paper button shadow market island pencil bottle thunder"
).split()


def sentence(seed: str) -> str:
    """Twelve words that follow from the seed."""
    digest = hashlib.sha256(seed.encode()).digest()
    return " ".join(WORDS[byte % len(WORDS)] for byte in digest[:12])


def write_rows(call: Call) -> Reply:
    """As many rows as were asked for, each its own."""
    rows = [{"text": sentence(f"{call.prompt} {number}")} for number in range(call.rows_wanted)]
    return Reply(json.dumps({"rows": rows}))


class ModelServer:
    """`answer` decides what a call gets; `bills` holds the key of each time the model has worked."""

    def __init__(self, answer: Callable[[Call], Reply] = write_rows, *, honours_keys: bool = False) -> None:
        self.answer = answer
        self.honours_keys = honours_keys
        self.calls: list[Call] = []
        self.bills: list[str] = []
        self.most_at_once = 0
        self.when_received: Callable[[Call], None] = lambda call: None
        self.when_worked: Callable[[Call], None] = lambda call: None
        self.when_answered: Callable[[Call], None] = lambda call: None
        self._at_once = 0
        self._answers: dict[str, Reply] = {}
        self._lock = threading.Lock()
        self.url = ""

    @property
    def bodies(self) -> list[dict[str, Any]]:
        """What was asked, as it came."""
        return [call.body for call in self.calls]

    @property
    def paid_twice(self) -> dict[str, int]:
        return {key: times for key, times in Counter(self.bills).items() if times > 1}

    def handle(self, path: str, headers: dict[str, str], body: dict[str, Any]) -> tuple[Call, Reply]:
        with self._lock:
            call = Call(len(self.calls) + 1, path, headers, body)
            self.calls.append(call)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            self.when_received(call)
            return call, self._work(call)
        finally:
            with self._lock:
                self._at_once -= 1

    def _work(self, call: Call) -> Reply:
        if self.honours_keys and call.key in self._answers:
            return self._answers[call.key]
        problem = problem_with(call)
        reply = Reply(status=400, message=problem) if problem else self.answer(call)
        if reply.status == 200:
            with self._lock:
                self.bills.append(call.key)
                self._answers[call.key] = reply
            self.when_worked(call)
        return reply


def problem_with(call: Call) -> str | None:
    """What the real server would refuse with 400."""
    needed = {"/v1/messages": ["model", "messages", "max_tokens"]}.get(call.path, ["model", "messages"])
    missing = [name for name in needed if name not in call.body]
    if missing:
        return f"{missing[0]}: Field required"
    if call.path == "/v1/messages" and {"temperature", "response_format"} & call.body.keys():
        return "Extra inputs are not permitted"
    form = call.body.get("response_format", {})
    if form.get("type") == "json_schema" and form["json_schema"].get("strict") and open_objects(call.schema):
        return "Invalid schema for response_format: additionalProperties is required to be false"
    return None


def open_objects(schema: Any) -> bool:
    """Whether some object takes fields that are not named, which strict mode refuses."""
    if isinstance(schema, list):
        return any(map(open_objects, schema))
    if not isinstance(schema, dict):
        return False
    if schema.get("type") == "object" and (
        schema.get("additionalProperties") is not False
        or set(schema.get("required", [])) != set(schema.get("properties", {}))
    ):
        return True
    return any(map(open_objects, schema.values()))


def wire(call: Call, reply: Reply) -> dict[str, Any]:
    """The answer in the words of the provider."""
    if call.schema is not None and reply.stop == "end":
        Draft202012Validator.check_schema(call.schema)
    model = f"{call.body['model']}-2026-11-01"
    if call.path == "/v1/messages":
        stops = {"end": "end_turn", "cut": "max_tokens", "refused": "refusal"}
        return {
            "id": f"msg_{call.number}",
            "type": "message",
            "role": "assistant",
            "model": model,
            "content": [{"type": "text", "text": reply.text}] if reply.text else [],
            "stop_reason": stops[reply.stop],
            "stop_sequence": None,
            "usage": {"input_tokens": reply.input_tokens, "output_tokens": reply.output_tokens},
        }
    named: list[dict[str, Any]] = [{"function": {"name": n, "arguments": given}} for n, given in reply.calls]
    if call.path == "/api/chat":
        return {
            "model": model,
            "created_at": "2026-11-21T08:00:00Z",
            "message": {
                "role": "assistant",
                "content": reply.text,
                **({"tool_calls": named} if named else {}),
            },
            "done": True,
            "done_reason": {"cut": "length"}.get(reply.stop, "stop"),
            "total_duration": 5_000_000,
            "prompt_eval_count": reply.input_tokens,
            "eval_count": reply.output_tokens,
        }
    for number, tool in enumerate(named):
        tool |= {"id": f"call_{number}", "type": "function"}
    words = (reply.text or "").split()
    told = [{"token": word, "logprob": -0.5, "bytes": None, "top_logprobs": []} for word in words]
    refusal = "I cannot help with that." if reply.stop == "refused" else None
    usage = {
        "prompt_tokens": reply.input_tokens,
        "completion_tokens": reply.output_tokens,
        "total_tokens": reply.input_tokens + reply.output_tokens,
    }
    return {
        "id": f"chatcmpl-{call.number}",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": None if refusal else reply.text,
                    "refusal": refusal,
                    **({"tool_calls": named} if named else {}),
                },
                "finish_reason": "length" if reply.stop == "cut" else "tool_calls" if named else "stop",
                "logprobs": {"content": told} if call.body.get("logprobs") else None,
            }
        ],
        **({"usage": usage} if reply.counts else {}),
    }


def refusal(path: str, reply: Reply) -> dict[str, Any]:
    """An error in the words of the provider."""
    message = reply.message
    if path == "/v1/messages":
        kind = {429: "rate_limit_error", 529: "overloaded_error", 401: "authentication_error"}
        error = {"type": kind.get(reply.status, "api_error"), "message": message}
        return {"type": "error", "error": error, "request_id": "req_1"}
    if path == "/api/chat":
        return {"error": message}
    return {"error": {"message": message, "type": "server_error", "param": None, "code": reply.code}}


class _Handler(LoopbackHandler):
    model: ModelServer

    def do_GET(self) -> None:
        """Ollama's list of models."""
        entry = {"name": "tiny:latest", "model": "tiny:latest", "digest": "feed", "size": 1}
        self._write(200, {"models": [entry]}, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        headers = {name.lower(): value for name, value in self.headers.items()}
        call, reply = self.model.handle(self.path, headers, body)
        self._send(call, reply)
        self.model.when_answered(call)

    def _send(self, call: Call, reply: Reply) -> None:
        if reply.broken:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        said = wire(call, reply) if reply.status == 200 else refusal(call.path, reply)
        self._write(reply.status, said, reply.headers)

    def _write(self, status: int, value: Any, headers: dict[str, str]) -> None:
        self.answer(status, json.dumps(value).encode(), "application/json", headers)


@contextmanager
def serving(server: ModelServer) -> Iterator[ModelServer]:
    """The server at `server.url` while the block runs."""
    with listening(type("Handler", (_Handler,), {"model": server})) as server.url:
        yield server
