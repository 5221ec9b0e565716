"""Links between pages, and when two URLs are one."""

from __future__ import annotations

import re
from pathlib import PurePosixPath
from typing import Any
from urllib.parse import urljoin

import httpx2

from nlp_skills.errors import MissingExtra

_NO_PAGES = frozenset(
    ".7z .avi .bmp .bz2 .css .csv .doc .docx .dmg .epub .exe .gif .gz .ico .iso .jpeg .jpg .js .json .m4a .mkv .mov"
    " .mp3 .mp4 .mpeg .msi .odt .ogg .pdf .png .ppt .pptx .rar .rss .svg .tar .tgz .tif .tiff .ttf .wav .webm .webp"
    " .woff .woff2 .xls .xlsx .xml .zip".split()
)


def normal_url(url: str) -> str | None:
    """One spelling for URLs that mean the same page; None for what is no http or https URL."""
    try:
        parsed = httpx2.URL(url.strip())
    except httpx2.InvalidURL:
        return None
    if parsed.scheme not in ("http", "https") or not parsed.host:
        return None
    if parsed.path in ("", "/"):
        parsed = parsed.copy_with(raw_path=b"/" + (b"?" + parsed.query if parsed.query else b""))
    return str(parsed.copy_with(fragment=None))


def host_of(url: str) -> str:
    """`scheme://host:port`: what a robots.txt and a rate limit belong to."""
    parsed = httpx2.URL(url)
    return f"{parsed.scheme}://{parsed.netloc.decode('ascii')}"


def links_of(html: str, url: str) -> list[str]:
    """The pages on the same host that a page links to, each once, in its order.

    Links that say rel="nofollow" and those to pictures, archives and the like are left out.
    """
    tree = parse_html(html)
    if tree is None:
        return []
    base = urljoin(url, next(iter(tree.xpath("//base/@href")), ""))
    found: dict[str, None] = {}
    for anchor in tree.xpath("//a[@href]"):
        if "nofollow" in (anchor.get("rel") or "").lower().split():
            continue
        try:
            target = normal_url(urljoin(base, anchor.get("href").strip()))
        except ValueError:
            continue
        if target and host_of(target) == host_of(url) and _may_be_a_page(target):
            found[target] = None
    return list(found)


def parse_html(html: str) -> Any:
    """The tree of a decoded page, or None where there is nothing to parse. Raises MissingExtra without lxml."""
    try:
        from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]: no stubs
        from lxml import html as lxml_html
    except ImportError:
        raise MissingExtra("Reading web pages", "sources") from None
    if not html.strip():
        return None
    try:
        return lxml_html.document_fromstring(
            html.encode("utf-8", "replace"), parser=lxml_html.HTMLParser(encoding="utf-8")
        )
    except etree.ParserError:
        return None


def _may_be_a_page(url: str) -> bool:
    return PurePosixPath(re.sub(r"/+$", "", httpx2.URL(url).path)).suffix.lower() not in _NO_PAGES
