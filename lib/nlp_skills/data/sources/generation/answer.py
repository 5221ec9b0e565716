"""What is asked of a provider and what comes back, whichever it is."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Literal, TypeAlias

from nlp_skills.data.secret import hide

_LOST_BEHIND_A_GATEWAY = frozenset({408, 502, 504, *range(520, 528)})
"""Timeouts and broken connections that a gateway tells by a status (RFC 9110; 520-527 are Cloudflare's): the model
behind it may have worked. Not 529, with which Anthropic refuses what it has no room for."""


@dataclass(frozen=True)
class Request:
    """What is asked. `key` names it for a provider or gateway that bills no key twice."""

    prompt: str
    key: str
    seed: int


@dataclass(frozen=True)
class Answer:
    """What came back; tokens are None where the server does not count them."""

    text: str
    model: str
    stopped: Literal["end", "cut", "refused"]
    input_tokens: int | None
    output_tokens: int | None


class NoAnswer(Exception):
    """A request failed. `status`: of the HTTP answer; None: none came."""

    def __init__(
        self,
        text: str,
        status: int | None = None,
        *,
        wait: float | None = None,
        reached: bool = True,
        final: bool = False,
    ) -> None:
        super().__init__(hide(text)[:500])
        self.status = status
        self.wait = wait
        """Seconds that the server asks to wait."""
        self._reached = reached
        self._final = final

    @property
    def may_be_billed(self) -> bool:
        """Whether the model may have worked: not where the server refused with a status, or was not reached.

        The status of a gateway that lost the model's answer is no refusal.
        """
        return self._reached and (self.status in (None, 200) or self.status in _LOST_BEHIND_A_GATEWAY)

    @property
    def passes(self) -> bool:
        """Whether the same request may do better later."""
        return not self._final and (self.status in (None, 200, 408, 409, 429) or self.status >= 500)


Ask: TypeAlias = Callable[[Request], Answer]


def in_a_form_it_knows(ask: Callable[[Request, str], Answer], forms: tuple[str, ...]) -> Ask:
    """Asks in the first form that the server does not refuse; a refused request costs nothing.

    Each form has a key of its own, because a key stands for one request to the letter.
    """
    refused: set[str] = set()

    def ask_in_form(request: Request) -> Answer:
        for form in forms[:-1]:
            if form not in refused:
                try:
                    return ask(replace(request, key=f"{request.key}-{form}"), form)
                except NoAnswer as error:
                    if not _is_about_the_form(error):
                        raise
                    refused.add(form)
        return ask(replace(request, key=f"{request.key}-{forms[-1]}"), forms[-1])

    return ask_in_form


def _is_about_the_form(error: NoAnswer) -> bool:
    words = ("response_format", "output_config", "json_schema", "json_object", "schema")
    return error.status in (400, 422) and any(word in str(error) for word in words)


def retry_after(headers: Any) -> float | None:
    """Seconds that a server asks to wait: `retry-after-ms`, or `Retry-After` in seconds or as a date (RFC 9110)."""
    with suppress(KeyError, ValueError):
        return float(headers["retry-after-ms"]) / 1000
    value = headers.get("retry-after")
    if not value:
        return None
    with suppress(ValueError):
        return max(0.0, float(value))
    with suppress(ValueError, TypeError):
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    return None
