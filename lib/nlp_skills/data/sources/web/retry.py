"""When a request may be tried again, and how long to wait before that."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime

from nlp_skills.data.sources.web.addresses import Resolve, resolve

_RETRIED = (429, 500, 502, 503, 504)
_FIRST, _LONGEST = 0.5, 60.0
_EPOCH = 1_000_000_000  # a reset time above this is a date, below it a number of seconds


@dataclass(frozen=True)
class Surroundings:
    """What a client needs of the machine it runs on."""

    resolve: Resolve = resolve
    wait: Callable[[float], None] = time.sleep
    """Seconds. An interrupt (Ctrl-C) ends it."""
    clock: Callable[[], float] = time.monotonic
    """Seconds of any beginning: the pace at which a host is asked."""
    today: Callable[[], float] = time.time
    """Seconds since 1970: dates in headers are compared with it."""
    jitter: Callable[[], float] = random.random
    """0 to 1: clients that failed together do not come back together."""


HERE = Surroundings()


def is_temporary(status: int, delay: float | None) -> bool:
    """Whether the same request may succeed later; `delay` is what the server asked to wait, if it did."""
    return status in _RETRIED or (status == 403 and delay is not None)  # 403: GitHub's rate limit


def backoff(attempt: int, jitter: float) -> float:
    """Seconds before attempt 1, 2, 3 …: 0.5, 1, 2, 4 … 60, of which half is chance."""
    return min(_LONGEST, _FIRST * 2 ** (attempt - 1)) * (0.5 + 0.5 * jitter)


def asked_delay(headers: Mapping[str, str], today: float) -> float | None:
    """Seconds that a server asks for: Retry-After as seconds or date (RFC 9110, 10.2.3), else its rate limit."""
    value = headers.get("retry-after", "").strip()
    if value.isdecimal():
        return float(value)
    if value:
        try:
            date = parsedate_to_datetime(value)
            return max(0.0, date.replace(tzinfo=date.tzinfo or UTC).timestamp() - today)
        except (ValueError, TypeError, OverflowError):
            return rate_limit_delay(headers, today)
    return rate_limit_delay(headers, today)


def rate_limit_delay(headers: Mapping[str, str], today: float) -> float | None:
    """Seconds until requests are allowed again where none is left: X-RateLimit-Remaining and -Reset."""
    for prefix in ("x-ratelimit-", "x-rate-limit-", "ratelimit-"):
        if headers.get(f"{prefix}remaining", "").strip() == "0":
            try:
                reset = float(headers.get(f"{prefix}reset", ""))
            except ValueError:
                return None
            return max(0.0, reset - today if reset > _EPOCH else reset)
    return None
