"""An HTTP client for servers that nobody vouches for: limits on time, size, redirects and addresses.

request → (before: robots, rate limit) → send → redirect? → again, with what may go along
                                              → 429, 5xx, broken connection? → wait → again
                                              → Answer, at most max_bytes long
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Self, TypeAlias

import httpcore2
import httpx2

from nlp_skills.data.secret import hide
from nlp_skills.data.sources.cure import in_file
from nlp_skills.data.sources.web.connections import Guard, GuardedTransport
from nlp_skills.data.sources.web.quiet import keep_secrets_out_of_the_log
from nlp_skills.data.sources.web.request import Answer, Limits, OutOfTime, Request, RequestFailed, TooLarge
from nlp_skills.data.sources.web.retry import (
    HERE,
    Surroundings,
    asked_delay,
    backoff,
    is_temporary,
    rate_limit_delay,
)
from nlp_skills.data.sources.web.shown import show_url
from nlp_skills.data.sources.web.urls import MAX_REDIRECTS, REDIRECTS, redirected, same_host, split_user
from nlp_skills.errors import NotValid
from nlp_skills.records import Progress, silent

_PROXIES = ("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy")
_CODINGS = ("", "identity", "gzip", "deflate")
_BROKEN = (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.RemoteProtocolError)

Before: TypeAlias = Callable[[str], None]
"""Called with each URL before it is requested, also those of redirects."""


class WebClient:
    """Fetches URLs within limits; counts requests and bytes. For one thread."""

    def __init__(
        self, limits: Limits, surroundings: Surroundings = HERE, progress: Progress = silent
    ) -> None:
        """`progress` hears why a request is repeated."""
        self._progress = progress
        self.limits = limits
        self.requests = 0
        self.bytes = 0
        self._here = surroundings
        self._ends = time.monotonic() + limits.max_seconds
        self._pauses: dict[str, float] = {}
        keep_secrets_out_of_the_log()
        self._guard = Guard(limits.private_hosts, surroundings.resolve)
        self._client = httpx2.Client(transport=GuardedTransport(self._guard), trust_env=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._client.close()

    def fetch(self, request: Request, before: Before | None = None) -> Answer:
        """The answer, whatever its status where another try would not change it.

        Raises RequestFailed (TooLarge, OutOfTime), or NotValid for a URL or an address that is refused.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                answer = self._follow(request, before)
            except _BROKEN as error:
                failure, delay, status = self._broken(request.url, error), None, None
            else:
                delay = asked_delay(answer.headers, self._here.today())
                if not is_temporary(answer.status, delay):
                    return answer
                failure, status = f"it answered with status {answer.status}", answer.status
            if attempt > self.limits.retries:
                raise self._failed(request.url, failure, attempt, status)
            again = backoff(attempt, self._here.jitter()) if delay is None else delay
            tries = f"try {attempt + 1} of {self.limits.retries + 1}"
            self._progress(f"{show_url(request.url)}: {failure}; {tries} in {again:.0f} s", 0, None)
            self.wait(again, request.url)

    def wait(self, seconds: float, url: str) -> None:
        """Wait before the next request to `url`. Raises OutOfTime where the source's time does not allow it."""
        if seconds <= 0:
            return
        if time.monotonic() + seconds > self._ends:
            raise OutOfTime(
                f"{show_url(url)} can be asked again in {seconds:.0f} s, and this source may take"
                f" {self.limits.max_seconds:g} s in all. Raise max_seconds for it{in_file()}, or try later."
            )
        self._here.wait(seconds)

    def _follow(self, request: Request, before: Before | None) -> Answer:
        url, user = split_user(request.url)
        first, method, content = url, request.method, request.content
        headers = {**user, **request.headers, **request.private}
        for _ in range(MAX_REDIRECTS + 1):
            if before:
                before(str(url))
            answer = self._send(method, url, headers, content, request)
            target = answer.headers.get("location")
            if answer.status not in REDIRECTS or not target:
                return answer
            url, left = redirected(url, target), url
            if answer.status == 303 or (answer.status in (301, 302) and method == "POST"):
                method, content = "GET", None
            if not same_host(first, url):
                if content is not None:
                    raise RequestFailed(
                        f"{show_url(str(left))} redirects a POST to another host, {url.host}; what it carries is"
                        f" not sent there. Set endpoint to the right URL{in_file()}."
                    )
                headers = dict(request.headers)
        raise RequestFailed(
            f"{show_url(request.url)} redirects more than {MAX_REDIRECTS} times. Open it in a browser, and write"
            " the URL where it ends."
        )

    def _send(
        self,
        method: str,
        url: httpx2.URL,
        headers: Mapping[str, str],
        content: bytes | None,
        request: Request,
    ) -> Answer:
        self.wait(self._pauses.pop(url.host, 0), str(url))
        now = time.monotonic()
        if now >= self._ends:
            raise self._out_of_time(str(url))
        self._guard.deadline = min(now + self.limits.request_seconds, self._ends)
        self.requests += 1
        headers = {"accept-encoding": "gzip, deflate", **headers}
        seconds = self.limits.request_seconds
        try:
            asked = self._client.build_request(method, url, headers=headers, content=content, timeout=seconds)
            answer = self._client.send(asked, stream=True)
        except (httpcore2.LocalProtocolError, UnicodeEncodeError):
            raise NotValid(  # the error's own text repeats the header, which may be a secret
                f"A header for {show_url(str(url))} holds characters that HTTP does not allow: a line end, or some beyond ASCII."
                f" Check headers{in_file()} and the environment variables that it refers to."
            ) from None
        try:
            body = self._body(answer, url, request) if _is_wanted(answer, request) else b""
        finally:
            answer.close()
        if answer.status_code < 400:  # it may say that it was the last one allowed: the next would be refused
            self._pauses[url.host] = rate_limit_delay(answer.headers, self._here.today()) or 0
        return Answer(str(url), answer.status_code, answer.headers, body)

    def _body(self, answer: httpx2.Response, url: httpx2.URL, request: Request) -> bytes:
        if (coding := answer.headers.get("content-encoding", "identity").strip().lower()) not in _CODINGS:
            raise RequestFailed(
                f"{show_url(str(url))} sent an answer packed as {coding!r}, which was not asked for."
            )
        most = request.max_bytes or self.limits.max_bytes
        body = bytearray()
        try:
            for chunk in answer.iter_bytes():  # decompressed in steps of at most 1 MiB
                body += chunk
                if len(body) > most:
                    break
        except httpx2.DecodingError as error:
            raise RequestFailed(f"{show_url(str(url))} sent a damaged compressed answer: {error}.") from None
        finally:
            self.bytes += answer.num_bytes_downloaded
        if len(body) > most and not request.cut:
            raise TooLarge(
                f"{show_url(str(url))} answered with more than {most:,} bytes; it was cut there. Ask for less at"
                f" a time, or raise max_bytes for this source{in_file()}.",
                answer.status_code,
            )
        return bytes(body[:most])

    def _broken(self, url: str, error: Exception) -> str:
        """Why there was no answer, in words. Raises RequestFailed where another try would not help."""
        if time.monotonic() >= self._ends:
            raise self._out_of_time(url)
        if isinstance(error, httpcore2.TimeoutException):
            return f"there was no complete answer within request_seconds {self.limits.request_seconds:g}"
        text = hide(str(error) or type(error).__name__)
        if "CERTIFICATE_VERIFY_FAILED" in text:
            raise RequestFailed(
                f"{show_url(url)} shows a certificate that is not valid for it: {text}. Check the host's name; for"
                " a certificate authority of your own set SSL_CERT_FILE to its file."
            )
        return f"the connection failed: {text}"

    def _out_of_time(self, url: str) -> OutOfTime:
        return OutOfTime(
            f"The time of this source, max_seconds {self.limits.max_seconds:g}, was over before"
            f" {show_url(url)} had been fetched. Raise max_seconds for it{in_file()}, or ask for less."
        )

    def _failed(self, url: str, failure: str, attempts: int, status: int | None) -> RequestFailed:
        tried = "" if attempts == 1 else f" in {attempts} attempts"
        proxy = next((name for name in _PROXIES if os.environ.get(name)), None) if status is None else None
        hint = f" {proxy} is set, but proxies are not used here." if proxy else ""
        return RequestFailed(
            f"{show_url(url)} could not be fetched{tried}: {failure}.{hint}"
            " Check that the server is up and can be reached from here, then try again.",
            status,
        )


def _is_wanted(answer: httpx2.Response, request: Request) -> bool:
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    unwanted = request.types is not None and kind and kind not in request.types
    return answer.status_code not in REDIRECTS and not unwanted
