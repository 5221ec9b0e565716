"""Sitemaps (sitemaps.org): the pages of a site, and sitemaps of sitemaps."""

from __future__ import annotations

import zlib
from typing import Any

from nlp_skills.errors import MissingExtra

_GZIP = b"\x1f\x8b"


def read_sitemap(body: bytes, most: int) -> tuple[list[str], list[str]] | None:
    """(sitemaps, pages) that a sitemap names, in its order; None where it is none.

    XML, also gzipped (`most` bytes unpacked), a plain list of URLs, RSS or Atom.
    """
    try:
        from lxml import etree  # pyright: ignore[reportAttributeAccessIssue]: no stubs
    except ImportError:
        raise MissingExtra("Reading sitemaps", "sources") from None
    if body.startswith(_GZIP):
        try:
            body = zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(body, most)
        except zlib.error:
            return None
    if not body.lstrip().startswith((b"<", b"\xef\xbb\xbf<")):
        return _plain_list(body)
    # Entities are not expanded and nothing is loaded: what is parsed comes from anywhere.
    parser = etree.XMLParser(resolve_entities=False, no_network=True, load_dtd=False, recover=True)
    try:
        root = etree.fromstring(body.strip(), parser)
    except etree.XMLSyntaxError:
        return None
    if root is None or etree.QName(root).localname.lower() == "html":
        return None
    sitemaps = _texts(root, "./*[local-name()='sitemap']/*[local-name()='loc']")
    pages = _texts(root, "./*[local-name()='url']/*[local-name()='loc']")
    feed = _texts(root, "//*[local-name()='item']/*[local-name()='link']")
    entries = root.xpath(
        "./*[local-name()='entry']/*[local-name()='link'][not(@rel) or @rel='alternate']/@href"
    )
    return sitemaps, [*pages, *feed, *map(str, entries)]


def _texts(root: Any, path: str) -> list[str]:
    return [text for found in root.xpath(path) if (text := (found.text or "").strip())]


def _plain_list(body: bytes) -> tuple[list[str], list[str]] | None:
    lines = [line.strip() for line in body.decode("utf-8-sig", "replace").splitlines()]
    urls = [line for line in lines if line.startswith(("http://", "https://"))]
    return ([], urls) if urls else None
