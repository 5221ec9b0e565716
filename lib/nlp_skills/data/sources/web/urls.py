"""URLs: how secrets get into them, where a redirect may lead, and what may go along."""

from __future__ import annotations

import re
from urllib.parse import quote, urljoin

import httpx2

from nlp_skills.data.secret import expand, hide
from nlp_skills.data.sources.cure import in_file
from nlp_skills.data.sources.web.request import RequestFailed
from nlp_skills.data.sources.web.shown import show_url
from nlp_skills.errors import NotValid

REDIRECTS = (301, 302, 303, 307, 308)
MAX_REDIRECTS = 10


def expand_url(url: str) -> str:
    """The URL with every ${NAME} replaced, in the spelling that its place needs. Raises NotReady.

    A value may hold any character; only at the start of a URL (`${API_URL}/items`, `https://${HOST}/`)
    it is a part of a URL already.
    """

    def value(match: re.Match[str]) -> str:
        found = expand(match[0])
        before, after = url[: match.start()], url[match.end() :]
        if "?" in before or before.endswith("="):
            return quote(found, safe="")
        _, scheme, behind = before.partition("://")
        if "/" in behind:
            return quote(found, safe="/")
        in_user = scheme and "@" in re.split("[/?#]", after)[0]
        return quote(found, safe="") if in_user else found

    return re.sub(r"\$\{[A-Za-z_]\w*\}", value, url)


def split_user(url: str) -> tuple[httpx2.URL, dict[str, str]]:
    """The URL without user, password and fragment, and the header that says the two (RFC 7617).

    Raises NotValid for what is no http or https URL.
    """
    try:
        parsed = httpx2.URL(url)
    except httpx2.InvalidURL:  # its text may hold a part of a secret
        raise NotValid(f"{show_url(url)} is not a valid URL. Check it{in_file()}.") from None
    if parsed.scheme not in ("http", "https") or not parsed.host or not 0 < (parsed.port or 1) < 65536:
        raise NotValid(f"{show_url(url)} is no http or https URL; only those are fetched.")
    bare = parsed.copy_with(username=None, password=None, fragment=None)
    if not parsed.userinfo:
        return bare, {}
    flow = httpx2.BasicAuth(parsed.username, parsed.password).auth_flow(httpx2.Request("GET", bare))
    return bare, {"authorization": next(flow).headers["authorization"]}


def absolute(base: str, target: str) -> str:
    """The URL that `target` means on the page `base`. Raises NotValid for what is none."""
    try:
        return urljoin(base, target.strip())
    except ValueError:
        raise NotValid(f"{show_url(base)} names something that is no URL: {hide(target)[:80]!r}.") from None


def same_host(one: httpx2.URL, other: httpx2.URL) -> bool:
    """Whether credentials for one may go to the other: host and port are equal, or only http became https."""
    if one.host != other.host:
        return False
    upgraded = one.scheme == "http" and other.scheme == "https" and one.port is None and other.port is None
    return upgraded or (one.scheme, one.port) == (other.scheme, other.port)


def redirected(url: httpx2.URL, target: str) -> httpx2.URL:
    """The URL that `target` means, seen from `url`. Raises RequestFailed or NotValid where it is refused."""
    new, _ = split_user(absolute(str(url), target))
    if url.scheme == "https" and new.scheme == "http":
        raise RequestFailed(
            f"{show_url(str(url))} redirects from https to http, {show_url(str(new))}; that is not followed."
        )
    return new
