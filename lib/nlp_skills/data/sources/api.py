"""The `api` source: rows from an HTTP API that answers in JSON, page after page.

    endpoint, params, headers → ApiRequests → WebClient → JSON → records → rows
                                 (${NAME} here)   ↓
                     Pager: what to ask for next  StoredAnswers: asked again only for what has changed

An answer is masked as soon as it arrives: where the server repeats a secret (in the URL of the next page,
say), ${NAME} stands in what is kept, shown and yielded, and the value only in what is sent.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from itertools import islice
from typing import Any

from nlp_skills.data.secret import hide
from nlp_skills.data.sources.cure import in_file
from nlp_skills.data.sources.fetch import ORIGIN, Fetch, Row
from nlp_skills.data.sources.source import ApiSource
from nlp_skills.data.sources.web.api_requests import ApiRequests
from nlp_skills.data.sources.web.client import WebClient
from nlp_skills.data.sources.web.paging import Page, Pager
from nlp_skills.data.sources.web.records import find_records, parse_json
from nlp_skills.data.sources.web.request import Answer, Limits, RequestFailed
from nlp_skills.data.sources.web.retry import HERE, Surroundings
from nlp_skills.data.sources.web.shown import Mask, show_url
from nlp_skills.data.sources.web.stored_answers import Stored, StoredAnswers
from nlp_skills.errors import NotValid

_SHOWN = 200
_CURES = {
    401: "Check the credentials in headers, params or endpoint, and that they have not expired.",
    403: "Check that these credentials may read this endpoint.",
    404: "Check endpoint, and params.",
    405: "Check endpoint; for GraphQL set graphql: to the query.",
}


def read(source: ApiSource, fetch: Fetch, *, surroundings: Surroundings = HERE) -> Iterator[Row]:
    """The rows of all pages, each numbered from 1, with the page's URL as its origin.

    Nothing more is requested than the rows that are taken need. Raises NotReady for a ${NAME} that is not
    set, NotValid for an answer that is not as described, RequestFailed where a server does not answer well.
    """
    limits = Limits(
        source.max_seconds, source.request_seconds, source.max_bytes, source.retries, source.private_hosts
    )
    with WebClient(limits, surroundings, fetch.progress) as client:
        yield from islice(enumerate(_Reading(source, fetch, client).rows(), start=1), source.max_rows)


class _Reading:
    """One reading of one API."""

    def __init__(self, source: ApiSource, fetch: Fetch, client: WebClient) -> None:
        self.source, self.fetch, self.client = source, fetch, client
        values = (source.endpoint, source.graphql, *source.params.values(), *source.headers.values())
        self.mask = Mask(values)
        self.requests = ApiRequests(source, self.mask)
        self.kept = StoredAnswers(fetch.cache(source.name), keep=not fetch.preview)
        self.where = f"Source {source.name}"
        self.pages = self.from_cache = 0

    def rows(self) -> Iterator[dict[str, Any]]:
        """The rows of one page after the other."""
        pager = self._pager()
        while page := self._page(pager):
            self._note()
            yield from ({**record, ORIGIN: {"url": show_url(page.url)}} for record in page.records)
            if pager is None or not pager.turn(page):
                break
            if self.pages >= pager.paging.max_pages:
                self.fetch.notes["stopped"] = f"max_pages {pager.paging.max_pages}"
                break
            self.fetch.progress(f"{self.source.name}: page {self.pages + 1}", self.pages, None)
        self.kept.forget_unused()

    def _pager(self) -> Pager | None:
        paging = self.source.paging
        if paging and self.source.graphql and paging.style in ("link", "next_url"):
            raise NotValid(
                f"{self.where}: GraphQL has no paging of style {paging.style}. Use cursor, with path:"
                " data.….pageInfo.endCursor and param: the variable of the query that takes it."
            )
        return Pager(paging, self.where) if paging else None

    def _page(self, pager: Pager | None) -> Page | None:
        """The next page, or None where the server says that there is none."""
        stored = self._answer(pager)
        if stored is None:
            return None
        self.pages += 1
        where = show_url(stored.url)
        answer = parse_json(stored.text, where)
        if self.source.graphql:
            _refuse_graphql_errors(answer, where)
        records = find_records(answer, self.source.records_path, where)
        return Page(stored.url, records, answer, stored.link)

    def _answer(self, pager: Pager | None) -> Stored | None:
        request, name = self.requests.request(pager)
        kept = self.kept.get(name) if request.method == "GET" else None
        if kept:
            request = replace(request, headers={**request.headers, **kept.conditions()})
        answer = self.client.fetch(request)
        if kept and answer.status == 304:
            self.from_cache += 1
            return kept
        if answer.status == 404 and pager and self.pages and pager.paging.style in ("page", "offset"):
            return None  # how some servers (Django REST) say that the page before was the last
        _refuse_failure(answer, self.mask, self.requests.private.get("authorization", ""))
        stored = self._stored(answer)
        if request.method == "GET" and stored.conditions():
            self.kept.put(name, stored)
        return stored

    def _stored(self, answer: Answer) -> Stored:
        return Stored(
            url=self.mask.hide_url(answer.url),
            text=self.mask.hide(_decoded(answer)),
            etag=self.mask.hide(answer.headers.get("etag", "")),
            modified=self.mask.hide(answer.headers.get("last-modified", "")),
            link=self.mask.hide(", ".join(answer.headers.get_list("link"))),
        )

    def _note(self) -> None:
        params = {name: value for name, value in self.source.params.items() if value is not None}
        self.fetch.notes.update(
            endpoint=self.source.endpoint,
            params=json.dumps(params, ensure_ascii=False) if params else None,
            graphql=self.source.graphql,
            pages=self.pages,
            requests=self.client.requests,
            from_cache=self.from_cache,
            bytes=self.client.bytes,
        )


def _refuse_failure(answer: Answer, mask: Mask, authorization: str) -> None:
    if answer.status < 300:
        return
    text = answer.body[:2000].decode("utf-8", "replace")
    if credentials := authorization.rpartition(" ")[2]:
        text = text.replace(credentials, "***")  # user and password in base64 are known by no name
    said = " ".join(hide(mask.hide(text)).split())
    says = f" It says: {said[:_SHOWN]!r}." if said and not said.startswith("<") else ""
    cure = _CURES.get(answer.status, f"Check endpoint, params and headers{in_file()}.")
    raise RequestFailed(
        f"{show_url(mask.hide_url(answer.url))} answered with status {answer.status}.{says} {cure}",
        answer.status,
    )


def _decoded(answer: Answer) -> str:
    """JSON is UTF-8 (RFC 8259), but older servers name another charset, and that counts."""
    charset = answer.headers.get("content-type", "").lower().partition("charset=")[2].strip('"; ')
    try:
        return answer.body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        try:
            return answer.body.decode(charset or "utf-8")
        except (LookupError, UnicodeDecodeError):
            raise NotValid(
                f"{show_url(answer.url)} did not answer in UTF-8 (byte {error.start}), and names no other"
                " encoding that fits. Check endpoint."
            ) from None


def _refuse_graphql_errors(answer: Any, where: str) -> None:
    """GraphQL answers with status 200 and `errors`, also where a part of the data is there."""
    errors = answer.get("errors") if isinstance(answer, Mapping) else None
    if errors:
        listed = errors if isinstance(errors, list) else [errors]
        texts = [str(e.get("message", e)) if isinstance(e, Mapping) else str(e) for e in listed[:3]]
        raise RequestFailed(
            f"{where} answered with GraphQL errors: {hide('; '.join(texts))[:500]}. Check graphql and params."
        )
