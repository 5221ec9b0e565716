"""What is asked of a server, what comes back, and why it may not."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import httpx2

from nlp_skills.errors import RunFailed


class RequestFailed(RunFailed):
    """A URL could not be fetched; `status` is that of the last answer, None where there was none."""

    def __init__(self, message: str, status: int | None = None) -> None:
        super().__init__(message)
        self.status = status


class TooLarge(RequestFailed):
    """An answer was longer than allowed."""


class OutOfTime(RequestFailed):
    """The time limit of the whole source was reached."""


@dataclass(frozen=True)
class Limits:
    """What a source allows; seconds and bytes."""

    max_seconds: float
    request_seconds: float
    max_bytes: int
    retries: int
    private_hosts: list[str]


@dataclass(frozen=True)
class Request:
    """What to ask for."""

    url: str
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    private: Mapping[str, str] = field(default_factory=dict)
    """Headers that go to the URL's own host only, whatever it redirects to."""
    content: bytes | None = None
    max_bytes: int | None = None
    """None: that of the limits."""
    cut: bool = False
    """Take the first max_bytes of a longer answer, instead of refusing it."""
    types: Sequence[str] | None = None
    """The content types whose body is wanted; of others nothing is read. None: all."""


@dataclass(frozen=True)
class Answer:
    """What came back; `url` is the one that answered in the end, `body` is decompressed."""

    url: str
    status: int
    headers: httpx2.Headers
    body: bytes
