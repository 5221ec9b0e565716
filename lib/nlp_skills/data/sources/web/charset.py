"""In which encoding a web page is written, and its text.

    byte order mark → UTF-8 beyond doubt → Content-Type header → <meta charset> → UTF-8 → detection

As browsers do it (WHATWG HTML, 13.2.3), except that a charset that does not fit the bytes is not believed:
servers say ISO-8859-1 of everything, and any bytes are ISO-8859-1.
"""

from __future__ import annotations

import codecs
import re

from nlp_skills.data.sources.encoding import guess

_LOOKED_AT = 4096
_META = re.compile(
    rb"<meta[^>]+charset\s*=\s*[\"']?\s*([\w.:-]+)|<\?xml[^>]+encoding\s*=\s*[\"']([\w.:-]+)", re.I
)
_HEADER = re.compile(r"charset\s*=\s*[\"']?\s*([\w.:-]+)", re.I)
_MARKS = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))
# What pages call these is what Windows wrote (WHATWG Encoding, 4.2).
_MEANT = {
    "ascii": "cp1252",
    "iso8859-1": "cp1252",
    "iso8859-9": "cp1254",
    "iso8859-11": "cp874",
    "tis-620": "cp874",
    "gb2312": "gb18030",
    "gbk": "gb18030",
    "shift_jis": "cp932",
    "euc_kr": "cp949",
    "big5": "big5hkscs",
}
_SECOND = {"big5hkscs": "cp950"}
_SAMPLE = 256 * 1024
_BEYOND_ASCII = bytes(range(128, 256))
_EVIDENCE = 12  # bytes beyond ASCII: so many are UTF-8 in no other encoding by chance


def decode_page(body: bytes, content_type: str) -> str:
    """The page as text. Bytes that fit no encoding become U+FFFD, as in a browser."""
    for mark, name in _MARKS:
        if body.startswith(mark):
            return body.decode(name, "replace")
    named = [*_HEADER.findall(content_type), *_in_page(body)]
    believed = [codec for name in named if (codec := _codec(name))]
    sure = ["utf-8"] if len(body) - len(body.translate(None, _BEYOND_ASCII)) >= _EVIDENCE else []
    for codec in [*sure, *believed, *(_SECOND[c] for c in believed if c in _SECOND), "utf-8"]:
        try:
            return body.decode(codec)
        except UnicodeError:
            continue
    return body.decode(guess(body[:_SAMPLE]) or next(iter(believed), "utf-8"), "replace")


def _in_page(body: bytes) -> list[str]:
    found = _META.search(body[:_LOOKED_AT])
    # UTF-16 in a page that could be read up to here as ASCII is a lie.
    names = [name.decode() for name in found.groups() if name] if found else []
    return [name for name in names if not name.lower().startswith("utf-16")]


def _codec(name: str) -> str | None:
    try:
        known = codecs.lookup(name.strip().strip("\"'").lower().removeprefix("x-")).name
        "".encode(known)  # not those that are no text encodings, such as base64
    except (LookupError, TypeError, UnicodeError):
        return None
    return _MEANT.get(known, known)
