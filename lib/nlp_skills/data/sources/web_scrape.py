"""The `web_scrape` source: the main text of web pages, one row a page.

    Crawl → extract_article → long enough? → keywords? → like an earlier page? → repeated lines → row

Which lines a host repeats is known only after its last page, so the texts wait in a temporary file. A preview
shows pages as they come, with those lines still in.
"""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterator
from typing import Any

import msgspec
import xxhash

from nlp_skills.data.similarity import NearDuplicates
from nlp_skills.data.sources.cure import in_file
from nlp_skills.data.sources.fetch import ORIGIN, Fetch, Row
from nlp_skills.data.sources.source import WebSource
from nlp_skills.data.sources.web.article import Article, extract_article
from nlp_skills.data.sources.web.client import WebClient
from nlp_skills.data.sources.web.crawl import HTML, Crawl
from nlp_skills.data.sources.web.keywords import Keywords
from nlp_skills.data.sources.web.page_store import PageStore
from nlp_skills.data.sources.web.pages import host_of
from nlp_skills.data.sources.web.repeated_lines import RepeatedLines
from nlp_skills.data.sources.web.request import Limits, RequestFailed
from nlp_skills.data.sources.web.retry import HERE, Surroundings
from nlp_skills.data.sources.web.robots import Robots
from nlp_skills.data.sources.web.shown import show_url
from nlp_skills.data.sources.web.stored_answers import Stored
from nlp_skills.errors import NotValid, counted

RETRIES = 2
"""Of one page."""
_IN_MEMORY = 32 * 1024 * 1024
_NAMED = 5


def read(source: WebSource, fetch: Fetch, *, surroundings: Surroundings = HERE) -> Iterator[Row]:
    """Rows {url, title, text, date}, numbered from 1; title and date are None where a page tells none.

    A page that cannot be had is counted and named in the notes. Raises RequestFailed when none could be had,
    NotValid when none was left, MissingExtra without the extras sources and data.
    """
    if not source.urls and not source.sitemaps:
        raise NotValid(f"Source {source.name} names no page. Set urls or sitemaps{in_file()}.")
    limits = Limits(
        source.max_seconds, source.request_seconds, source.max_bytes, RETRIES, source.private_hosts
    )
    with WebClient(limits, surroundings, fetch.progress) as client:
        robots = Robots(client, source.user_agent, source.seconds_between_requests, surroundings)
        store = PageStore(fetch.cache(source.name), source.digest(), keep=not fetch.preview)
        scrape = _Scrape(source, fetch, Crawl(source, client, robots, store))
        yield from enumerate(scrape.rows(store), start=1)


class _Text(msgspec.Struct):
    """A page that is left."""

    url: str
    text: str
    title: str | None
    date: str | None


class _Scrape:
    """One reading of one source."""

    def __init__(self, source: WebSource, fetch: Fetch, crawl: Crawl) -> None:
        self.source, self.fetch, self.crawl = source, fetch, crawl
        self.left_out: Counter[str] = Counter()
        self.keywords = Keywords(source.keywords)
        self.similar: NearDuplicates[str] = NearDuplicates(source.near_duplicates)
        self.equal: set[str] = set()

    def rows(self, store: PageStore) -> Iterator[dict[str, Any]]:
        """The rows; of a preview as the pages come, otherwise after the last page has been seen."""
        count = 0
        for text in self._texts() if self.fetch.preview else self._stripped(store):
            count += 1
            self._note()
            yield _row(text)
        self._note()
        if not count:
            self._refuse_nothing()

    def _stripped(self, store: PageStore) -> Iterator[_Text]:
        """The texts without the lines that their host repeats, where enough is left."""
        lines = RepeatedLines()
        with tempfile.SpooledTemporaryFile(max_size=_IN_MEMORY) as waiting:
            for text in self._texts():
                lines.see(host_of(text.url), text.text)
                waiting.write(msgspec.json.encode(text) + b"\n")
            store.finish()
            waiting.seek(0)
            for line in waiting:
                text = msgspec.json.decode(line, type=_Text)
                text.text = lines.strip(host_of(text.url), text.text)
                if len(text.text) < self.source.min_characters:
                    self._leave_out("too_short")
                else:
                    yield text

    def _texts(self) -> Iterator[_Text]:
        """The pages that are left, as many as rows are wanted; no page is fetched for more."""
        count = 0
        for page in self.crawl.pages():
            self.fetch.progress(
                f"{self.source.name}: {show_url(page.url)}", self.crawl.tried, self.source.max_pages
            )
            if article := self._article(page):
                yield _Text(page.url, article.text, article.title, article.date)
                count += 1
                if count == self.source.max_rows:
                    return

    def _article(self, page: Stored) -> Article | None:
        if page.type in HTML:
            article = extract_article(page.text, page.url, self.source.snapshot_date)
        else:
            article = Article(page.text.replace("\r\n", "\n").strip())
        if article is None or len(article.text) < self.source.min_characters:
            return self._leave_out("too_short")
        if not self.keywords.stand_in(f"{article.title or ''}\n{article.text}"):
            return self._leave_out("without_keyword")
        identity = xxhash.xxh3_128_hexdigest(article.text.encode("utf-8", "replace"))
        if identity in self.equal or self.similar.find(article.text) is not None:
            return self._leave_out("like_an_earlier_page")
        self.equal.add(identity)
        self.similar.add(page.url, article.text)
        return article

    def _leave_out(self, why: str) -> None:
        self.left_out[why] += 1

    def _note(self) -> None:
        crawl = self.crawl
        skipped = "; ".join(f"{count} {why}" for why, count in sorted(crawl.skipped.items()))
        self.fetch.notes.update(
            urls=_listed(self.source.urls),
            sitemaps=_listed(self.source.sitemaps),
            keywords=", ".join(self.source.keywords) or None,
            pages=crawl.fetched,
            from_cache=crawl.from_cache,
            requests=crawl.client.requests,
            bytes=crawl.client.bytes,
            skipped=skipped or None,
            failed=len(crawl.failures),
            failures=self._failures() or None,
            stopped=crawl.stopped,
            **self.left_out,
        )

    def _failures(self) -> str:
        return " ".join(list(dict.fromkeys(self.crawl.failures))[:_NAMED])

    def _refuse_nothing(self) -> None:
        """A scrape without rows is an error: it would take the place of the data before."""
        crawl = self.crawl
        skipped = ", ".join(f"{count} {why}" for why, count in sorted(crawl.skipped.items()))
        if not crawl.fetched:
            why = " ".join(
                part for part in (self._failures(), f"Skipped: {skipped}." if skipped else "") if part
            )
            raise RequestFailed(
                f"Source {self.source.name}: no page could be fetched. {why or 'The sitemaps name none.'}"
            )
        left = ", ".join(f"{count} {why.replace('_', ' ')}" for why, count in sorted(self.left_out.items()))
        raise NotValid(
            f"Source {self.source.name}: of {counted(crawl.fetched, 'page')} none is left ({left}). Check keywords"
            f" and min_characters{in_file()}, and whether the pages show their text without JavaScript."
        )


def _listed(urls: list[str]) -> str | None:
    more = f" and {len(urls) - _NAMED} more" if len(urls) > _NAMED else ""
    return " ".join(urls[:_NAMED]) + more or None


def _row(text: _Text) -> dict[str, Any]:
    """Its URL is as it was stored: with ${NAME} in place of a secret, and without a user."""
    return {
        "url": text.url,
        "title": text.title,
        "text": text.text,
        "date": text.date,
        ORIGIN: {"url": text.url},
    }
