"""An HTTP server on loopback while a block runs: what the stand-ins for other programs have in common.

class Asked(LoopbackHandler):
    def do_GET(self): self.answer(200, b"{}", "application/json")

with listening(Asked) as url: …
"""

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class LoopbackHandler(BaseHTTPRequestHandler):
    """Keeps connections open, prints nothing, and bears clients that are killed."""

    protocol_version = "HTTP/1.1"

    def handle(self) -> None:
        """A client that is killed leaves the connection broken; so do tests that break it."""
        with suppress(ConnectionError):
            super().handle()

    def answer(self, status: int, data: bytes, kind: str, headers: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(data)))
        for name, text in (headers or {}).items():
            self.send_header(name, text)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: tests read the captured output."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128


@contextmanager
def listening(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Its URL while the block runs."""
    with _Server(("127.0.0.1", 0), handler) as http:
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield f"http://127.0.0.1:{http.server_address[1]}"
        finally:
            http.shutdown()
            thread.join()
