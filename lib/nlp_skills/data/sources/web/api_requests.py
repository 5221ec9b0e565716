"""What an `api` source sends: its first request, and those for the pages after it.

Each request comes twice: as it is sent, and as it is written, with ${NAME} in place of every secret.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlsplit

from nlp_skills.data.secret import expand
from nlp_skills.data.sources.source import ApiSource, Scalar
from nlp_skills.data.sources.web.paging import Pager
from nlp_skills.data.sources.web.request import Request
from nlp_skills.data.sources.web.shown import Mask, show_url
from nlp_skills.data.sources.web.urls import expand_url, same_host, split_user
from nlp_skills.errors import NotValid

_HEADERS = {"accept": "application/json", "user-agent": "nlp-skills"}


class ApiRequests:
    """Makes the requests of one source. Raises NotReady for a ${NAME} that is not set."""

    def __init__(self, source: ApiSource, mask: Mask) -> None:
        self.source = source
        self.mask = mask
        headers = {name.lower(): _text(value) for name, value in source.headers.items() if value is not None}
        self.url, user = split_user(expand_url(source.endpoint))
        # A value read from a file often ends with a line end, which no header may hold.
        self.private = {**user, **{name: expand(value).strip() for name, value in headers.items()}}
        # Another account may get another answer of the same age. 16 bits tell the two, and nobody the secret.
        values = json.dumps([str(self.url), self.private, self._values({})], sort_keys=True)
        account = hashlib.sha256(values.encode()).hexdigest()[:4]
        self.written_headers = f"{json.dumps(headers, sort_keys=True, ensure_ascii=False)} {account}"

    def request(self, pager: Pager | None) -> tuple[Request, str]:
        """The request for the page that comes next, and what names it."""
        paged = pager.params if pager else {}
        if self.source.graphql:
            return self._graphql(self.source.graphql, paged)
        if pager and pager.url:
            return self._next(pager.url)
        values = {name: _text(value) for name, value in self._values(paged).items()}
        url = self.url.copy_merge_params(values) if values else self.url
        request = Request(str(url), headers=_HEADERS, private=self.private)
        return request, self._name("GET", self.source.endpoint, {**self.source.params, **paged})

    def _graphql(self, query: str, paged: Mapping[str, Scalar]) -> tuple[Request, str]:
        body = json.dumps({"query": expand(query), "variables": self._values(paged)})
        headers = {**_HEADERS, "content-type": "application/json"}
        request = Request(str(self.url), "POST", headers, self.private, body.encode())
        return request, self._name("POST", query, {**self.source.params, **paged})

    def _next(self, named: str) -> tuple[Request, str]:
        """A URL that the server has named: on the same host the source's credentials go along."""
        name = self._name("GET", named, {})
        url, _ = split_user(named)
        if self.url.scheme == "https" and url.scheme == "http":
            raise NotValid(f"The next page is at {show_url(named)}, which is not https; it is not fetched.")
        if not same_host(self.url, url):
            return Request(str(url), headers=_HEADERS), name
        url, _ = split_user(self.mask.restore(named, in_url=True))
        keys = {key: value for key, value in self._keys().items() if key not in url.params}
        url = url.copy_merge_params(keys) if keys else url
        return Request(str(url), headers=_HEADERS, private=self.private), name

    def _keys(self) -> dict[str, str]:
        """The parameters that refer to a secret: many servers leave them out of the URLs that they name."""
        in_endpoint = dict(parse_qsl(urlsplit(self.source.endpoint).query))
        written = {**in_endpoint, **self.source.params}
        return {
            key: expand(value) for key, value in written.items() if isinstance(value, str) and "${" in value
        }

    def _name(self, method: str, target: str, params: Mapping[str, Scalar]) -> str:
        return f"{method} {target} {json.dumps(params, ensure_ascii=False)} {self.written_headers}"

    def _values(self, paged: Mapping[str, Scalar]) -> dict[str, Scalar]:
        """Parameters with ${NAME} expanded; those of the pager as the server wrote them."""
        own = {name: expand(v) if isinstance(v, str) else v for name, v in self.source.params.items()}
        turned = {name: self.mask.restore(v) if isinstance(v, str) else v for name, v in paged.items()}
        return {name: value for name, value in {**own, **turned}.items() if value is not None}


def _text(value: Scalar) -> str:
    """A value as a query or a header has it: true, not True."""
    return str(value).lower() if isinstance(value, bool) else str(value)
