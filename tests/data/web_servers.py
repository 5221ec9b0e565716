"""Servers on loopback that really speak HTTP, and what a client needs to be tested against them."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from nlp_skills.data.sources.web.retry import Surroundings

TODAY = 1_790_000_000.0
"""What the clients of the tests take for now: 2026-09-21T15:06:40Z."""


@dataclass(frozen=True)
class Asked:
    """A request as the server got it."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True)
class Sent:
    """An answer; a body that is no bytes is sent in chunks, as it comes."""

    body: bytes | Iterable[bytes] = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


Answering = Callable[[Asked], Sent]


def as_json(value: Any, status: int = 200, **headers: str) -> Sent:
    named = {name.replace("_", "-"): text for name, text in headers.items()}
    return Sent(json.dumps(value).encode(), status, {"content-type": "application/json", **named})


def as_html(text: str, **headers: str) -> Sent:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return Sent(text.encode(), 200, {"content-type": "text/html; charset=utf-8", **named})


class Site:
    """A server on a free port of 127.0.0.1 for as long as the block lasts; `asked` is what it was asked."""

    def __init__(self, answer: Answering, tls: tuple[Path, Path] | None = None) -> None:
        self.answer = answer
        self.asked: list[Asked] = []
        self.failures: list[Exception] = []
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self.host = f"127.0.0.1:{self.port}"
        self.url = f"http://{self.host}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
        if self.failures:
            raise self.failures[0]

    def paths(self) -> list[str]:
        return [asked.path for asked in self.asked]


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that have heard enough hang up; what an answer raises is told by the site."""


def _handler(site: Site) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            self.reply()

        def do_POST(self) -> None:
            self.reply()

        def reply(self) -> None:
            parts = urlsplit(self.path)
            headers = {name.lower(): value for name, value in self.headers.items()}
            body = self.rfile.read(int(headers.get("content-length", 0)))
            query = dict(parse_qsl(parts.query, keep_blank_values=True))
            asked = Asked(self.command, parts.path, query, headers, body)
            site.asked.append(asked)
            try:
                self.send(site.answer(asked))
            except ConnectionError:
                self.close_connection = True  # the client has heard enough
            except Exception as error:  # noqa: BLE001 - told at the end of the block
                site.failures.append(error)
                self.close_connection = True

        def send(self, sent: Sent) -> None:
            self.send_response(sent.status)
            for name, value in sent.headers.items():
                for line in value.split("\n"):
                    self.send_header(name, line)
            if isinstance(sent.body, bytes):
                if sent.status != 304:
                    self.send_header("content-length", str(len(sent.body)))
                self.end_headers()
                self.wfile.write(sent.body)
                return
            self.send_header("transfer-encoding", "chunked")
            self.end_headers()
            for chunk in sent.body:
                self.wfile.write(b"%x\r\n%b\r\n" % (len(chunk), chunk))
            self.wfile.write(b"0\r\n\r\n")

        def log_message(self, format: str, *args: Any) -> None:
            """Tests look at `asked`."""

        def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
            """Nor at this."""

    return Handler


@dataclass
class Waits:
    """Surroundings that write down how long a client would have waited, and say what names resolve to."""

    names: Mapping[str, list[str]] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)

    def surroundings(self) -> Surroundings:
        return Surroundings(
            resolve=lambda host, _port: self.names.get(host, [host]),
            wait=self.seconds.append,
            clock=lambda: sum(self.seconds),
            today=lambda: TODAY,
            jitter=lambda: 1.0,
        )
