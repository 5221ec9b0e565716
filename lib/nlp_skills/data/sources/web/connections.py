"""Connections that go only where they may, and end when their time is over.

    httpx2.Client → GuardedTransport → httpcore2's pool → Guard: resolve, check, connect to that address
                                                           → a stream with a deadline

TLS still verifies the name of the URL. Proxies of the environment are not used: behind a proxy nobody
here sees which address a name resolves to.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from threading import Thread
from typing import Any

import httpcore2
import httpx2

from nlp_skills.data.sources.web.addresses import Resolve, allowed_addresses


class Guard(httpcore2.NetworkBackend):
    """Opens connections to checked addresses; `deadline` (of time.monotonic) counts for all of them."""

    def __init__(self, private_hosts: Sequence[str], resolve: Resolve) -> None:
        self.private_hosts = private_hosts
        self.resolve = resolve
        self.deadline = float("inf")
        self._tcp = httpcore2.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore2.NetworkStream:
        """A connection to the first address of the host that answers. Raises NotValid for a refused one."""
        try:
            found = self._look_up(host, port, self.left(timeout))
            addresses = allowed_addresses(host, port, self.private_hosts, found)
        except (OSError, UnicodeError) as error:
            raise httpcore2.ConnectError(f"the name {host} cannot be resolved: {error}") from None
        failure = httpcore2.ConnectError(f"the name {host} has no address")
        for address in addresses:
            try:
                stream = self._tcp.connect_tcp(
                    address, port, self.left(timeout), local_address, socket_options
                )
                return _Timed(stream, self)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                failure = error
        raise failure

    def _look_up(self, host: str, port: int, timeout: float) -> list[str]:
        """What the name resolves to. A thread asks, because nothing else can end a look-up that hangs."""
        found: Future[list[str]] = Future()

        def look_up() -> None:
            try:
                found.set_result(self.resolve(host, port))
            except (OSError, UnicodeError) as error:
                found.set_exception(error)

        Thread(target=look_up, daemon=True).start()
        try:
            return found.result(timeout)
        except TimeoutError:
            raise httpcore2.ConnectTimeout(f"the name {host} was not resolved in time") from None

    def left(self, timeout: float | None) -> float:
        """Seconds until the deadline, `timeout` at most. Raises httpcore2.ReadTimeout when it has passed."""
        left = self.deadline - time.monotonic()
        if left <= 0:
            raise httpcore2.ReadTimeout("the time limit was reached")
        return left if timeout is None else min(left, timeout)


class _Timed(httpcore2.NetworkStream):
    """A stream whose every step ends at the guard's deadline: a server that drips bytes gains no time."""

    def __init__(self, stream: httpcore2.NetworkStream, guard: Guard) -> None:
        self._stream = stream
        self._guard = guard

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._stream.read(max_bytes, self._guard.left(timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self._stream.write(buffer, self._guard.left(timeout))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore2.NetworkStream:
        stream = self._stream.start_tls(ssl_context, server_hostname, self._guard.left(timeout))
        return _Timed(stream, self._guard)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


class GuardedTransport(httpx2.BaseTransport):
    """httpx2's way to a pool of httpcore2 whose connections the guard opens.

    Errors of connections are httpcore2's: TimeoutException, NetworkError, ProtocolError.
    """

    def __init__(self, guard: Guard) -> None:
        self._pool = httpcore2.ConnectionPool(
            ssl_context=httpcore2.default_ssl_context(),
            max_connections=20,
            keepalive_expiry=30,
            network_backend=guard,
        )

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        """One request and the start of its answer; the body is read from the stream."""
        url = request.url
        answer = self._pool.handle_request(
            httpcore2.Request(
                method=request.method,
                url=httpcore2.URL(
                    scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path
                ),
                headers=request.headers.raw,
                content=request.stream,
                extensions=request.extensions,
            )
        )
        return httpx2.Response(
            status_code=answer.status,
            headers=answer.headers,
            stream=_Body(answer.stream),
            extensions=answer.extensions,
        )

    def close(self) -> None:
        """End all connections."""
        self._pool.close()


class _Body(httpx2.SyncByteStream):
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __iter__(self) -> Iterator[bytes]:
        yield from self._stream

    def close(self) -> None:
        self._stream.close()
