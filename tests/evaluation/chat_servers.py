"""Servers on loopback that speak OpenAI's and Ollama's chat APIs, for the official clients to talk to.

What they say is decided by a function of the request, so a test knows it; what they are sent is kept.
They stand for the protocols: no Ollama and no OpenAI model runs here.
"""

import json
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Said:
    """What the model answers; a `status` other than 200 is an error, `broken` a cut connection."""

    text: str | None = ""
    calls: list[tuple[str, Any]] = field(default_factory=list)
    status: int = 200
    message: str = "the server says no"
    headers: dict[str, str] = field(default_factory=dict)
    broken: bool = False
    cut: bool = False


class ChatServer:
    """`answer` decides what each request gets; `asked` holds the bodies as they came."""

    def __init__(self, answer: Callable[[dict[str, Any]], Said]) -> None:
        self.answer = answer
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.most_at_once = 0
        self.url = ""
        self._at_once = 0
        self._lock = threading.Lock()

    def handle(self, body: dict[str, Any], headers: dict[str, str]) -> Said:
        with self._lock:
            self.asked.append(body)
            self.headers.append(headers)
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        try:
            return self.answer(body)
        finally:
            with self._lock:
                self._at_once -= 1


def last_turn(body: dict[str, Any]) -> str:
    return body["messages"][-1]["content"]


def openai_form(body: dict[str, Any], said: Said) -> dict[str, Any]:
    calls = [
        {"id": f"call_{n}", "type": "function", "function": {"name": name, "arguments": arguments}}
        for n, (name, arguments) in enumerate(said.calls)
    ]
    message = {"role": "assistant", "content": said.text, **({"tool_calls": calls} if calls else {})}
    words = (said.text or "").split()
    told = [{"token": word, "logprob": -0.5, "bytes": None, "top_logprobs": []} for word in words]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1_790_000_000,
        "model": body["model"],
        "choices": [
            {
                "index": 0,
                "message": message,
                "finish_reason": "length" if said.cut else "tool_calls" if calls else "stop",
                "logprobs": {"content": told} if body.get("logprobs") else None,
            }
        ],
        "usage": {"prompt_tokens": 7, "completion_tokens": len(words), "total_tokens": 7 + len(words)},
    }


def ollama_form(body: dict[str, Any], said: Said) -> dict[str, Any]:
    calls = [{"function": {"name": name, "arguments": arguments}} for name, arguments in said.calls]
    return {
        "model": body["model"],
        "created_at": "2026-11-21T08:00:00Z",
        "message": {"role": "assistant", "content": said.text, **({"tool_calls": calls} if calls else {})},
        "done": True,
        "done_reason": "length" if said.cut else "stop",
        "total_duration": 5_000_000,
        "prompt_eval_count": 7,
        "eval_count": len((said.text or "").split()),
    }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    model: ChatServer

    def handle(self) -> None:
        """A client that is killed leaves the connection broken; so do tests that break it."""
        with suppress(ConnectionError):
            super().handle()

    def do_GET(self) -> None:
        entry = {"name": "tiny:latest", "model": "tiny:latest", "digest": "feed", "size": 1}
        self._send(200, {"models": [entry]}, {})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said = self.model.handle(body, {name.lower(): value for name, value in self.headers.items()})
        if said.broken:
            self.connection.shutdown(socket.SHUT_RDWR)
            self.close_connection = True
            return
        is_ollama = self.path == "/api/chat"
        if said.status != 200:
            told: Any = said.message if is_ollama else {"message": said.message, "type": "server_error"}
            self._send(said.status, {"error": told}, said.headers)
            return
        self._send(200, (ollama_form if is_ollama else openai_form)(body, said), said.headers)

    def _send(self, status: int, value: Any, headers: dict[str, str]) -> None:
        data = json.dumps(value).encode()
        self.send_response(status)
        for name, text in {
            "content-type": "application/json",
            "content-length": str(len(data)),
            **headers,
        }.items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: tests read the captured output."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64


@contextmanager
def serving(answer: Callable[[dict[str, Any]], Said]) -> Iterator[ChatServer]:
    """A server at `url` while the block runs; OpenAI's API is below /v1, Ollama's below /api."""
    server = ChatServer(answer)
    with _Server(("127.0.0.1", 0), type("Handler", (_Handler,), {"model": server})) as http:
        server.url = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
