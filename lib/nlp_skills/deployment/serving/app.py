"""The HTTP side: OpenAI's paths, health and metrics, in front of whatever answers.

GET  /v1/models   /v1/models/NAME
POST /v1/chat/completions   /v1/completions
GET  /health      whether it answers, without a key
GET  /metrics     for Prometheus
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import msgspec
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from nlp_skills.deployment.serving.answering import Answer
from nlp_skills.deployment.serving.backend import AnswerFailed, Backend, TooLong
from nlp_skills.deployment.serving.keys import is_key, is_loopback
from nlp_skills.deployment.serving.measures import Measures
from nlp_skills.deployment.serving.openai_api import ChatAsked, TextAsked, error_form
from nlp_skills.deployment.serving.places import Places
from nlp_skills.errors import NotValid, counted, did_you_mean

BODY = 4 << 20
"""Bytes of a request's body."""

BODY_SECONDS = 30.0
"""In which it has to be here; who sends a byte a minute holds nothing else up, but a connection."""

SEND_SECONDS = 60.0
"""In which a part of a stream has to be taken; who does not read any more gives the place back."""

Handle: TypeAlias = Callable[[Request], Awaitable[Response]]


@dataclass(frozen=True)
class Limits:
    """What one server takes on."""

    streams: int = 64
    """Answers under way at once; the next one is told to come again."""
    other_connections: int = 64
    """Beside one for each of them: who is refused, asks for health and metrics, or has nothing to ask at the moment."""
    body_bytes: int = BODY
    body_seconds: float = BODY_SECONDS
    send_seconds: float = SEND_SECONDS


class Refusal(Exception):
    """A request that gets no answer: its status and why."""

    def __init__(self, status: int, message: str, *, code: str | None = None, **headers: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class _Streamed(StreamingResponse):
    """A stream whose place is given back whatever becomes of it, also where it never began to be sent."""

    def __init__(self, answer: Answer, send_seconds: float) -> None:
        super().__init__(
            answer.events(),
            media_type="text/event-stream",
            headers={"Cache-Control": "no-cache", "X-Accel-Buffering": "no"},
        )
        self._answer = answer
        self._send_seconds = send_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def in_time(message: Message) -> None:
            async with asyncio.timeout(self._send_seconds):
                await send(message)

        try:
            with suppress(ClientDisconnect, TimeoutError):
                await super().__call__(scope, receive, in_time)
        finally:
            await self._answer.close()


class Endpoint:
    """The handlers of one server."""

    def __init__(
        self,
        backend: Backend,
        names: Sequence[str],
        *,
        created: int,
        key: str | None,
        local: bool,
        limits: Limits,
    ) -> None:
        """`names` are what a request may call the model, the first of them its own name.

        `local`: only who calls it by a name of this machine is answered. A page in a browser whose own name was made
        to lead here (DNS rebinding) calls it by that one.
        """
        self.backend = backend
        self.names = names
        self.created = created
        self.key = key
        self.local = local
        self.limits = limits
        self.places = Places(limits.streams)
        self.measures = Measures(lambda: self.places.taken)

    async def models(self, request: Request) -> Response:  # noqa: ARG002
        """GET /v1/models."""
        return JSONResponse({"object": "list", "data": [self._model(name) for name in self.names]})

    async def model(self, request: Request) -> Response:
        """GET /v1/models/NAME."""
        name = request.path_params["name"]
        self._require_model(name)
        return JSONResponse(self._model(name))

    async def chat(self, request: Request) -> Response:
        """POST /v1/chat/completions."""
        return await self._answer(request, ChatAsked)

    async def text(self, request: Request) -> Response:
        """POST /v1/completions."""
        return await self._answer(request, TextAsked)

    async def health(self, request: Request) -> Response:  # noqa: ARG002
        """GET /health: 503 with the cause once the model does not answer any more."""
        told = {"status": "ok", "model": self.names[0], "under_way": self.places.taken}
        if (fault := await self.backend.fault()) is None:
            return JSONResponse(told)
        return JSONResponse({**told, "status": "stopped", "cause": fault}, status_code=503)

    async def metrics(self, request: Request) -> Response:  # noqa: ARG002
        """GET /metrics."""
        page, kind = self.measures.page()
        return Response(page, headers={"Content-Type": kind})

    async def _answer(self, request: Request, kind: type[ChatAsked] | type[TextAsked]) -> Response:
        asked = kind.parse(await self._body(request), "the request")
        self._require_model(asked.model)
        place = self.places.take()
        if place is None:
            raise Refusal(
                429,
                f"All {self.places.most} places are taken. Try again in {counted(self.places.retry_after, 'second')}.",
                code="too_many_requests",
                Retry_After=str(self.places.retry_after),
            )
        pieces = self.backend.chat(asked) if isinstance(asked, ChatAsked) else self.backend.text(asked)
        answer = Answer(asked, pieces, place, self.measures)
        handed_over = False
        try:
            if await _unless_gone(request, answer.begin()) is _GONE:
                return Response(status_code=499)
            if asked.stream:
                handed_over = True
                return _Streamed(answer, self.limits.send_seconds)
            whole = await _unless_gone(request, answer.whole())
            if whole is _GONE:
                return Response(status_code=499)
            return Response(msgspec.json.encode(whole), media_type="application/json")
        finally:
            if not handed_over:
                await answer.close()

    async def _body(self, request: Request) -> Any:
        """The body as a mapping. Raises Refusal, NotValid."""
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
            # A page in a browser can send other types to any address without asking.
            raise Refusal(415, "Send JSON with the header Content-Type: application/json.")
        try:
            async with asyncio.timeout(self.limits.body_seconds):
                data = await self._read(request)
        except TimeoutError:
            raise Refusal(
                408, f"The body was not here within {self.limits.body_seconds:g} seconds."
            ) from None
        try:
            body = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise NotValid(f"The body is not valid JSON: {error}.") from None
        if not isinstance(body, dict):
            raise NotValid("The body is no JSON object.")
        return body

    async def _read(self, request: Request) -> bytes:
        data = bytearray()
        async for part in request.stream():
            data += part
            if len(data) > self.limits.body_bytes:
                raise Refusal(413, f"The body has more than {self.limits.body_bytes:,} bytes.")
        return bytes(data)

    def _model(self, name: str) -> dict[str, Any]:
        return {"id": name, "object": "model", "created": self.created, "owned_by": "nlp-skills"}

    def _require_model(self, name: str) -> None:
        if name not in self.names:
            known = ", ".join(self.names)
            raise Refusal(
                404,
                f"There is no model {name[:100]!r} here{did_you_mean(name[:100], self.names)}; known: {known}.",
                code="model_not_found",
            )


_GONE = object()


async def _unless_gone(request: Request, work: Any) -> Any:
    """What the work gives; _GONE, and the work cancelled, where the client has gone away before."""
    doing, leaving = asyncio.ensure_future(work), asyncio.ensure_future(_gone(request))
    try:
        await asyncio.wait((doing, leaving), return_when=asyncio.FIRST_COMPLETED)
        return doing.result() if doing.done() else _GONE
    finally:
        for task in (doing, leaving):
            task.cancel()
        await asyncio.wait((doing, leaving))


async def _gone(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def build_app(
    backend: Backend,
    names: Sequence[str],
    *,
    created: int,
    key: str | None = None,
    local: bool = False,
    limits: Limits | None = None,
) -> Starlette:
    """The application; whoever runs it closes the backend afterwards."""
    limits = limits or Limits()
    endpoint = Endpoint(backend, names, created=created, key=key, local=local, limits=limits)

    def route(path: str, handle: Handle, method: str, *, open: bool = False) -> Route:
        return Route(path, _guarded(endpoint, path, handle, open=open), methods=[method])

    app = Starlette(
        routes=[
            route("/v1/models", endpoint.models, "GET"),
            route("/v1/models/{name:path}", endpoint.model, "GET"),
            route("/v1/chat/completions", endpoint.chat, "POST"),
            route("/v1/completions", endpoint.text, "POST"),
            route("/health", endpoint.health, "GET", open=True),
            route("/metrics", endpoint.metrics, "GET"),
        ],
        exception_handlers={HTTPException: _no_such_path},
    )
    app.state.endpoint = endpoint
    return app


def _guarded(endpoint: Endpoint, path: str, handle: Handle, *, open: bool) -> Handle:
    """The handler behind the key, its errors in OpenAI's form, and its status counted."""

    async def guarded(request: Request) -> Response:
        response = await _answered(endpoint, request, handle, open=open)
        endpoint.measures.requests.labels(path, str(response.status_code)).inc()
        return response

    return guarded


async def _answered(endpoint: Endpoint, request: Request, handle: Handle, *, open: bool) -> Response:
    if endpoint.local and not _names_this_machine(request.headers.get("host", "")):
        told = error_form("Call this server localhost or 127.0.0.1; with --api-key it takes any name.")
        return JSONResponse(told, status_code=403)
    if (
        endpoint.key is not None
        and not open
        and not is_key(request.headers.get("authorization"), endpoint.key)
    ):
        told = error_form("Send the server's key: Authorization: Bearer KEY.", code="invalid_api_key")
        return JSONResponse(told, status_code=401, headers={"WWW-Authenticate": "Bearer"})
    try:
        return await handle(request)
    except Refusal as refusal:
        told = error_form(str(refusal), code=refusal.code)
        return JSONResponse(told, status_code=refusal.status, headers=refusal.headers)
    except TooLong as error:
        return JSONResponse(error_form(str(error), code="context_length_exceeded"), status_code=400)
    except NotValid as error:
        return JSONResponse(error_form(str(error)), status_code=400)
    except AnswerFailed as error:
        return JSONResponse(error_form(str(error), kind="server_error"), status_code=503)
    except ClientDisconnect:
        return Response(status_code=499)


def _names_this_machine(host: str) -> bool:
    """Of a Host header, with or without a port."""
    try:
        return is_loopback(urlsplit(f"//{host}").hostname or "")
    except ValueError:
        return False


async def _no_such_path(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    what = {
        404: f"There is no {request.url.path[:100]} here.",
        405: f"{request.method[:20]} is not for this path.",
    }
    told = error_form(what.get(error.status_code, str(error.detail)))
    return JSONResponse(told, status_code=error.status_code, headers=error.headers)
