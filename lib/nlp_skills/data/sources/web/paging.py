"""How an API hands out the pages after the first.

page, offset   count up until a page is empty, or shorter than the ones before
cursor         send back a value of the answer until there is none
link           follow rel="next" of the Link header (RFC 8288)
next_url       follow a URL in the answer
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import xxhash

from nlp_skills.data.sources.source import Paging, Scalar
from nlp_skills.data.sources.web.records import MISSING, describe, find
from nlp_skills.data.sources.web.urls import absolute
from nlp_skills.errors import NotValid

_LINK = re.compile(r"<([^<>]*)>((?:\s*;\s*[^\s=;,]+\s*(?:=\s*(?:\"(?:[^\"\\]|\\.)*\"|[^\s;,\"]*))?)*)")
_PARAMETER = re.compile(r";\s*([^\s=;,]+)\s*=\s*(?:\"((?:[^\"\\]|\\.)*)\"|([^\s;,\"]*))")
_MORE = ("hasNextPage", "has_next_page", "hasMore", "has_more", "hasNext", "has_next")


@dataclass(frozen=True)
class Page:
    """What a page brought."""

    url: str
    records: list[dict[str, Any]]
    answer: Any
    link: str
    """Its Link headers, joined by commas."""


@dataclass
class Pager:
    """Says what to ask for next. `url` is None until a server has named one."""

    paging: Paging
    where: str
    params: dict[str, Scalar] = field(default_factory=dict)
    url: str | None = None
    _seen: set[str] = field(default_factory=set)
    _pages: set[str] = field(default_factory=set)
    _longest: int = 0
    _turned: int = 0

    def __post_init__(self) -> None:
        paging = self.paging
        if paging.style in ("cursor", "next_url") and not paging.path:
            raise NotValid(
                f"{self.where}: paging style {paging.style} needs path: where the answer holds the next"
                " cursor or URL, for example meta.next."
            )
        if paging.size_param:
            self.params[paging.size_param] = _required_size(paging, self.where)
        if paging.style in ("page", "offset"):
            start = paging.start if paging.start is not None else int(paging.style == "page")
            self.params[paging.param or paging.style] = start

    def turn(self, page: Page) -> bool:
        """Whether there is another page, after this one; then `params` and `url` say where.

        Raises NotValid when the server sends the same page or cursor again.
        """
        self._turned += 1
        if self.paging.style in ("page", "offset"):
            return self._count(page)
        if self.paging.style == "link":
            return self._follow(next_link(page.link), page)
        found = find(page.answer, self.paging.path or "")
        if found is MISSING and self._turned == 1 and not page.records:
            return False
        if found is MISSING and self._turned == 1 and not self._absent_is_the_end(page):
            raise NotValid(
                f"{self.where}: the answer has nothing at paging path {self.paging.path!r}."
                f" There is: {describe(page.answer)}."
            )
        if found in (MISSING, None, "", False) or self._says_no_more(page.answer):
            return False
        if not isinstance(found, str | int | float):
            raise NotValid(
                f"{self.where}: paging path {self.paging.path!r} leads to an object, not to a value."
            )
        if self.paging.style == "next_url":
            return self._follow(str(found), page)
        self._require_new(str(found), "cursor")
        self.params[self.paging.param or "cursor"] = found
        return True

    def _count(self, page: Page) -> bool:
        if not page.records:
            return False
        identity = xxhash.xxh3_128_hexdigest(repr(page.records).encode())
        name = self.paging.param or self.paging.style
        if identity in self._pages:
            raise NotValid(
                f"{self.where}: {name} {self.params[name]} brought the same rows as a page before: the server"
                f" does not page by {name!r}. Set paging.param to the name that it knows, or another style."
            )
        self._pages.add(identity)
        # A first page shorter than what was asked for may be all that the server gives at once; a size that
        # is not asked for is what the server gives.
        known = self.paging.size if self.paging.size and not self.paging.size_param else self._longest
        if len(page.records) < known:
            return False
        self._longest = max(self._longest, len(page.records))
        step = 1 if self.paging.style == "page" else len(page.records)
        self.params[name] = int(self.params[name] or 0) + step
        return True

    def _follow(self, target: str | None, page: Page) -> bool:
        if not target:
            return False
        url = absolute(page.url, target)
        self._seen.add(page.url)
        self._require_new(url, "URL of the next page")
        self.url = url
        return True

    def _require_new(self, value: str, what: str) -> None:
        if value in self._seen:
            raise NotValid(
                f"{self.where}: the server sent the same {what} twice, so its pages would never end."
                " Check paging.path and paging.param."
            )
        self._seen.add(value)

    def _absent_is_the_end(self, page: Page) -> bool:
        """Many servers leave the cursor out where there is one page only; a misspelt parent they would not."""
        parent = (self.paging.path or "").rpartition(".")[0]
        return isinstance(find(page.answer, parent) if parent else page.answer, Mapping)

    def _says_no_more(self, answer: Any) -> bool:
        """A flag beside the cursor: GraphQL's endCursor stands on the last page too."""
        parent = (self.paging.path or "").rpartition(".")[0]
        beside = [find(answer, parent) if parent else answer, answer]
        return any(
            place.get(name) is False for place in beside if isinstance(place, Mapping) for name in _MORE
        )


def _required_size(paging: Paging, where: str) -> int:
    if paging.size is None:
        raise NotValid(f"{where}: paging.size_param {paging.size_param!r} needs size: how many rows a page.")
    return paging.size


def next_link(header: str) -> str | None:
    """The target of rel="next" in a Link header (RFC 8288), which may name several links and relations."""
    for target, parameters in _LINK.findall(header):
        for name, quoted, plain in _PARAMETER.findall(parameters):
            if name.lower() == "rel" and "next" in (quoted or plain).lower().split():
                return target
    return None
