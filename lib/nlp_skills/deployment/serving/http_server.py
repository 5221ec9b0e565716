"""uvicorn as `serve` runs it: it ends by Ctrl+C, by SIGTERM and with its model, and holds so many connections.

Ctrl+C ──▶ nothing new is taken, what is under way is finished ──Ctrl+C again──▶ broken off
the model's end ──▶ the same, and `fault` says why
"""

from __future__ import annotations

import signal
import socket
from collections.abc import Awaitable, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

from nlp_skills.errors import NotReady, NotValid

Fault = Callable[[], Awaitable[str | None]]
"""Why the model answers no more; None while it does."""

DRAIN_SECONDS = 60
"""For the answers that are under way when it is told to stop; then they are broken off."""

SILENT_SECONDS = 30.0
"""A connection over which nothing has come is closed then."""

_TOLD = b'{"error": {"message": "Too many connections. Try again soon.", "type": "server_error"}}'
FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nConnection: close\r\n"
    b"Content-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(_TOLD), _TOLD)
)

STOPS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK") if hasattr(signal, name)
)
"""SIGHUP comes where the terminal is closed; SIGBREAK is Ctrl+Break on Windows."""


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens there, before the model is loaded. Raises NotReady where it cannot."""
    try:
        family, _, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        return socket.create_server(address[:2], family=family, backlog=512)
    except OverflowError:
        raise NotValid(f"port: a number from 0 to 65535, not {port}.") from None
    except OSError as error:
        raise NotReady(
            f"Nothing can listen at {host} port {port} ({error.strerror or error}). Choose another with --port or --host."
        ) from None


class ModelServer(Protocol):
    """uvicorn's server, and why it stopped."""

    fault: str | None
    started: bool
    should_exit: bool

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        """Until it is told to stop, and what is under way is finished."""


@contextmanager
def stopping(
    handle: Callable[[int, Any], Any], signals: tuple[signal.Signals, ...] = STOPS
) -> Iterator[None]:
    """What would end the program goes to `handle`.

    What is ignored (nohup) stays so. Outside the main thread, whoever runs it there stops it.
    """
    before: dict[int, Any] = {}
    try:
        for number in signals:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, handle)
    except ValueError:
        pass
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leaving() -> AbstractContextManager[None]:
    """SIGTERM and its like unwind the block, so that what it has opened is closed; Ctrl+C does so by itself."""

    def leave(number: int, _: Any) -> None:
        raise SystemExit(128 + number)

    return stopping(leave, STOPS[1:])


def make_server(app: Any, fault: Fault, *, connections: int) -> ModelServer:
    """A server that ends as a program that has done its work: it does not raise the signal again.

    Once a second it asks for the model's `fault`; where there is one it stops, and keeps it as its own.
    """
    import uvicorn

    class Server(uvicorn.Server):
        fault: str | None = None

        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            with stopping(self.handle_exit):
                yield

    async def look() -> None:
        server.fault = server.fault or await fault()
        server.should_exit = server.should_exit or server.fault is not None

    server = Server(
        uvicorn.Config(
            app,
            http=_connection(connections),
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=DRAIN_SECONDS,
            callback_notify=look,
            timeout_notify=0,
        )
    )
    return server


def _connection(most: int) -> type[Any]:
    """uvicorn's own, which knows no limit: whoever opens more than that is told so, and the silent ones make room."""
    from uvicorn.protocols.http.auto import AutoHTTPProtocol

    http: Any = AutoHTTPProtocol

    class Connection(http):
        def connection_made(self, transport: Any) -> None:
            super().connection_made(transport)
            if len(self.connections) > most:
                transport.write(FULL)
                transport.close()
                return
            self.timeout_keep_alive_task = self.loop.call_later(
                SILENT_SECONDS, self.timeout_keep_alive_handler
            )

    return Connection
