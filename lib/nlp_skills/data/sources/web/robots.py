"""What a site asks of robots (RFC 9309), and how often it is asked.

a URL → robots.txt of its host, once → allowed? → wait until the host may be asked again
"""

from __future__ import annotations

from typing import Any

from nlp_skills.data.sources.web.client import WebClient
from nlp_skills.data.sources.web.pages import host_of
from nlp_skills.data.sources.web.request import Answer, OutOfTime, Request, RequestFailed
from nlp_skills.data.sources.web.retry import Surroundings
from nlp_skills.data.sources.web.shown import show_url
from nlp_skills.errors import MissingExtra, NotValid

MOST_READ = 512 * 1024
"""Bytes of a robots.txt; RFC 9309 asks for 500 KiB at least."""


class Disallowed(RequestFailed):
    """The robots.txt of a host forbids a URL."""


class Robots:
    """Lets through what the hosts allow, at their pace."""

    def __init__(
        self, client: WebClient, user_agent: str, seconds: float, surroundings: Surroundings
    ) -> None:
        self.client = client
        self.user_agent = user_agent
        self._seconds = seconds
        self._clock = surroundings.clock
        self._rules: dict[str, Any] = {}
        self._next: dict[str, float] = {}

    def before(self, url: str) -> None:
        """Wait for the host's turn. Raises Disallowed where its robots.txt forbids the URL.

        Raises RequestFailed where the robots.txt cannot be had, which forbids everything (RFC 9309, 2.3.1.4).
        """
        rules = self.rules(url)
        if not rules.can_fetch(url, self.user_agent):
            raise Disallowed(f"{show_url(url)} is forbidden to {self.user_agent} by its robots.txt.")
        asked = rules.crawl_delay(self.user_agent) or 0.0
        if rate := rules.request_rate(self.user_agent):
            asked = max(asked, rate.seconds / max(1, rate.requests))
        self._wait(url, max(self._seconds, asked))

    def rules(self, url: str) -> Any:
        """The rules of the URL's host (protego)."""
        host = host_of(url)
        if host not in self._rules:
            self._rules[host] = self._fetch(host)
        if isinstance(self._rules[host], Exception):
            raise self._rules[host]
        return self._rules[host]

    def sitemaps(self, url: str) -> list[str]:
        """The sitemaps that the robots.txt of a site names."""
        return list(self.rules(url).sitemaps)

    def _fetch(self, host: str) -> Any:
        try:
            from protego import Protego
        except ImportError:
            raise MissingExtra("Reading robots.txt", "sources") from None
        headers = {"user-agent": self.user_agent}
        request = Request(f"{host}/robots.txt", headers=headers, max_bytes=MOST_READ, cut=True)
        try:
            answer = self.client.fetch(request, before=lambda url: self._wait(url, self._seconds))
        except OutOfTime:
            raise
        except (RequestFailed, NotValid) as error:
            return error
        return Protego.parse(_text(answer))

    def _wait(self, url: str, seconds: float) -> None:
        host = host_of(url)
        self.client.wait(self._next.get(host, 0.0) - self._clock(), url)
        self._next[host] = self._clock() + seconds


def _text(answer: Answer) -> str:
    """The file's text; where there is none (4xx), everything is allowed."""
    return answer.body.decode("utf-8-sig", "replace") if answer.status < 300 else ""
