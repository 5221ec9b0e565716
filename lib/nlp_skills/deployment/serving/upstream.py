"""Another server on this machine that answers for us: its stream of events as pieces, its refusals as ours."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from typing import Any

import httpx2

from nlp_skills.deployment.serving.backend import AnswerFailed, TooLong
from nlp_skills.errors import NotValid

SECONDS = httpx2.Timeout(600.0, connect=10.0)

HEALTH_SECONDS = 30.0
"""A server that works on all that it can still says so within milliseconds; one that takes so long hangs."""


class Upstream:
    """One server, by its address."""

    def __init__(self, address: str, name: str, *, key: str) -> None:
        """`key` is the server's own. How many ask at once is for whoever calls to limit."""
        headers = {"Authorization": f"Bearer {key}"}
        # No connection is used twice: the other side may be about to close it, and on this machine a new one costs nothing.
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
        self._client = httpx2.AsyncClient(base_url=address, headers=headers, timeout=SECONDS, limits=limits)
        self._name = name

    async def events(self, path: str, body: dict[str, Any]) -> AsyncGenerator[dict[str, Any]]:
        """What it streams for this body, up to `[DONE]`. Raises NotValid for a 4xx, else AnswerFailed."""
        whole = False
        try:
            async with self._client.stream("POST", path, json={**body, "stream": True}) as reply:
                if reply.is_error:
                    await reply.aread()
                    raise _refused(self._name, reply)
                async for line in reply.aiter_lines():
                    if (data := line.removeprefix("data: ")) == "[DONE]":
                        whole = True
                    elif data != line:
                        yield self._read(data)
        except httpx2.TransportError as error:
            raise AnswerFailed(f"{self._name} broke off: {type(error).__name__} {error}") from None
        if not whole:
            raise AnswerFailed(f"{self._name} broke off: its answer has no end")

    async def fault(self) -> str | None:
        """What is wrong with it; None where it says that it is well."""
        try:
            reply = await self._client.get("/health", timeout=HEALTH_SECONDS)
        except httpx2.TimeoutException:
            return f"{self._name} did not say how it is within {HEALTH_SECONDS:g} seconds"
        except httpx2.TransportError as error:
            return f"{self._name} cannot be reached any more ({error})"
        return (
            None if reply.is_success else f"{self._name} says that it is not well (HTTP {reply.status_code})"
        )

    async def close(self) -> None:
        """Closes the connections; whoever still reads from one gets an error."""
        await self._client.aclose()

    def _read(self, data: str) -> dict[str, Any]:
        try:
            event = json.loads(data)
        except ValueError:
            raise AnswerFailed(f"{self._name} broke off: what it sent is no JSON") from None
        if error := event.get("error"):
            raise AnswerFailed(f"{self._name} broke off: {error.get('message', error)}")
        return event


def _refused(name: str, reply: httpx2.Response) -> NotValid | AnswerFailed:
    try:
        error = reply.json().get("error", {})
        told = str(error.get("message", error)) if isinstance(error, dict) else str(error)
    except (ValueError, AttributeError):
        error, told = {}, reply.text[:200]
    if reply.status_code >= 500 or reply.status_code == 429:
        return AnswerFailed(f"{name} gave no answer (HTTP {reply.status_code}): {told}")
    too_long = "context" in str(error.get("type", "")) or "context length" in told.lower()
    return (TooLong if too_long else NotValid)(f"{name}: {told}")
