"""The pages of a scrape, one after the other, in an order that is always the same.

urls, then sitemaps → links of the urls' pages → links of those …
       each: fetched by this scrape already? → robots.txt, pace → fetch, or "not changed" → page
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from itertools import chain

import httpx2

from nlp_skills.data.sources.source import WebSource
from nlp_skills.data.sources.web.charset import decode_page
from nlp_skills.data.sources.web.client import WebClient
from nlp_skills.data.sources.web.page_store import PageStore
from nlp_skills.data.sources.web.pages import host_of, links_of, normal_url
from nlp_skills.data.sources.web.request import OutOfTime, Request, RequestFailed
from nlp_skills.data.sources.web.robots import Disallowed, Robots
from nlp_skills.data.sources.web.shown import Mask, show_url
from nlp_skills.data.sources.web.sitemaps import read_sitemap
from nlp_skills.data.sources.web.stored_answers import Stored
from nlp_skills.data.sources.web.urls import absolute, expand_url
from nlp_skills.errors import NotValid, counted

MOST_SITEMAPS = 1_000
HTML = ("text/html", "application/xhtml+xml")
_TYPES = (*HTML, "text/plain")


class Crawl:
    """Fetches the pages of one source; counts what it leaves out, and remembers what failed."""

    def __init__(self, source: WebSource, client: WebClient, robots: Robots, store: PageStore) -> None:
        self.source, self.client, self.robots, self.store = source, client, robots, store
        self.skipped: Counter[str] = Counter()
        self.failures: list[str] = []
        self.tried = self.fetched = self.from_cache = 0
        self.stopped: str | None = None
        self._mask = Mask([*source.urls, *source.sitemaps])
        self._headers = {"user-agent": source.user_agent, "accept": "text/html,text/plain;q=0.9"}

    def pages(self) -> Iterator[Stored]:
        """The pages that could be had. Raises OutOfTime; what was fetched until then is kept."""
        linked: deque[tuple[str, int]] = deque()
        seen: set[str] = set()
        given = ((url, steps, False) for url, steps in self._given())
        for url, steps, is_linked in chain(given, _drained(linked)):
            if url in seen:
                continue
            if self.tried >= self.source.max_pages:
                self.stopped = f"max_pages {self.source.max_pages}"
                return
            seen.add(url)
            page = self._try(url)
            if page is None:
                continue
            final = normal_url(page.url) or page.url
            if final in seen and final != self._mask.hide_url(url):
                self.skipped["redirected to a page that was seen"] += 1
                continue
            if is_linked and host_of(final) != host_of(url):
                self.skipped["redirected to another host"] += 1
                continue
            seen.add(final)
            if steps and page.type in HTML:
                linked.extend((link, steps - 1) for link in links_of(page.text, page.url))
            yield page

    def _given(self) -> Iterator[tuple[str, int]]:
        """The URLs of the source, and how many steps to follow links from each."""
        steps = self.source.follow_links
        given = chain(((url, steps) for url in self._urls()), ((url, 0) for url in self._sitemap_pages()))
        for url, follow in given:
            normal = normal_url(url)
            if normal is None:
                self.failures.append(f"{show_url(url)} is no http or https URL.")
            else:
                yield normal, follow

    def _urls(self) -> Iterator[str]:
        return (expand_url(url) for url in self.source.urls)

    def _try(self, url: str) -> Stored | None:
        """The page, or None where it is left out, for a reason that is counted or noted."""
        self.tried += 1
        try:
            page = self._page(url)
        except OutOfTime as error:
            kept = f" The {counted(self.fetched, 'page')} fetched so far are kept: run it again to go on."
            raise OutOfTime(f"{error}{kept}") from None
        except Disallowed:
            self.tried -= 1  # it has cost no request
            self.skipped["forbidden by robots.txt"] += 1
        except (RequestFailed, NotValid) as error:
            self.failures.append(str(error))
        else:
            self.fetched += page is not None
            return page
        return None

    def _page(self, url: str) -> Stored | None:
        name = self._mask.hide_url(url)
        kept, current = self.store.get(name)
        if kept and current:
            self.from_cache += 1
            return kept
        headers = {**self._headers, **(kept.conditions() if kept else {})}
        answer = self.client.fetch(Request(url, headers=headers, types=_TYPES), self.robots.before)
        if kept and answer.status == 304:
            self.from_cache += 1
            return self.store.put(name, kept)
        if answer.status >= 300:
            raise RequestFailed(f"{show_url(name)} answered with status {answer.status}.", answer.status)
        kind = _kind(answer.headers, answer.body)
        if kind not in _TYPES:
            self.skipped[f"of type {kind}"] += 1
            return None
        page = Stored(
            url=self._mask.hide_url(answer.url),
            text=self._mask.hide(decode_page(answer.body, answer.headers.get("content-type", ""))),
            type=kind,
            etag=answer.headers.get("etag", ""),
            modified=answer.headers.get("last-modified", ""),
        )
        return self.store.put(name, page)

    def _sitemap_pages(self) -> Iterator[str]:
        """What the sitemaps name, each sitemap fetched only when the pages before it are done."""
        seen: set[str] = set()
        for given in self.source.sitemaps:
            waiting = deque([expand_url(given)])
            while waiting and len(seen) < MOST_SITEMAPS:
                url = waiting.popleft()
                if url in seen:
                    continue
                seen.add(url)
                sitemaps, pages = self._sitemap(url)
                waiting.extend(sitemaps)
                yield from pages

    def _sitemap(self, url: str) -> tuple[list[str], list[str]]:
        """(sitemaps, pages) that a sitemap, or a site where one is looked for, names."""
        try:
            if httpx2.URL(url).path in ("", "/"):
                return self.robots.sitemaps(url) or [absolute(url, "/sitemap.xml")], []
            request = Request(url, headers={"user-agent": self.source.user_agent})
            answer = self.client.fetch(request, self.robots.before)
            found = read_sitemap(answer.body, self.source.max_bytes) if answer.status < 300 else None
            if found is None:
                said = "is no sitemap" if answer.status < 300 else f"answered with status {answer.status}"
                self.failures.append(f"{show_url(url)} {said}.")
                return [], []
            return [absolute(url, sitemap) for sitemap in found[0]], [
                absolute(url, page) for page in found[1]
            ]
        except OutOfTime:
            raise
        except (RequestFailed, NotValid, httpx2.InvalidURL) as error:
            self.failures.append(str(error))
        return [], []


def _drained(linked: deque[tuple[str, int]]) -> Iterator[tuple[str, int, bool]]:
    """What stands in the queue, also what comes into it meanwhile."""
    while linked:
        yield (*linked.popleft(), True)


def _kind(headers: httpx2.Headers, body: bytes) -> str:
    """The content type; where a server names none, what the bytes look like."""
    named = headers.get("content-type", "").partition(";")[0].strip().lower()
    if named:
        return named
    return "text/html" if body.lstrip()[:1] == b"<" else "application/octet-stream"
