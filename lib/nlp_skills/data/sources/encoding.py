"""In which encoding a text is written, and its lines.

    byte order mark → strict UTF-8 → UTF-16/32 by its zero bytes → chardet, checked → NotValid

Only the encodings that browsers still meet are guessed; a guess has to decode without an error
and to give plausible text, otherwise the person is asked. docs/decisions/003-encodings.md has
the figures.
"""

from __future__ import annotations

import codecs
import io
import unicodedata
from collections.abc import Iterator
from typing import BinaryIO

import chardet

from nlp_skills.data.sources.cure import cure
from nlp_skills.errors import NotValid

MAX_LINE = 16 * 1024 * 1024
"""Characters in one line, one CSV record or one JSON value of a list; longer ones are refused."""


def how_to_say() -> str:
    """How the encoding is given."""
    written = "Set encoding: for this source in data_source.yaml (for example utf-8, utf-16, cp1252, gb18030, cp950 or cp932)."
    adding = (
        "Give its encoding, for example --encoding cp1252 (others are utf-8, utf-16, gb18030, cp950, cp932)."
    )
    return cure(written, adding)


_BOMS = (  # UTF-32 before UTF-16: its mark begins with the other's
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# What is written under these names is nearly always the vendor's larger set. Where the two give
# different characters for the same bytes, Windows' reading stands first: it wrote most such files.
_READ_AS = {
    "big5": ("cp950", "big5hkscs"),
    "big5hkscs": ("cp950", "big5hkscs"),
    "euc_jis_2004": ("euc_jp", "euc_jis_2004"),
    "euc_kr": ("cp949",),
    "gb2312": ("gb18030",),
    "gbk": ("gb18030",),
    "iso8859-1": ("cp1252",),
    "shift_jis": ("cp932",),
    "shift_jis_2004": ("cp932", "shift_jis_2004"),
    "tis-620": ("cp874",),
}
_BEYOND_ASCII = bytes(range(128, 256))
_MULTIBYTE = {"big5hkscs", "cp932", "cp949", "euc_jis_2004", "euc_jp", "gb18030", "johab", "shift_jis_2004"}
_SCAN = 64 * 1024 * 1024  # so much is looked at before the first row; the rest is decoded strictly
_SAMPLE = 256 * 1024  # so much of it goes to chardet
_CHUNK = 64 * 1024
_MAX_ODD = 0.1  # of the characters beyond ASCII
_MIN_EVIDENCE = 8  # bytes beyond ASCII: from fewer, chardet takes a French é for Hebrew


def detect_encoding(stream: BinaryIO, where: str) -> str:
    """The codec that reads the text; looks at the first 64 MiB at most.

    Raises NotValid when the bytes are no text, are damaged UTF-8, or cannot be told.
    """
    head = stream.read(_CHUNK)
    for mark, name in _BOMS:
        if head.startswith(mark):
            return name
    if b"\0" in head:
        return _wide(head, where)
    sample = _first_that_is_not_utf8(head, stream)
    if sample is None:
        return "utf-8"
    _refuse_damaged_utf8(sample, where)
    if name := guess(sample):
        return name
    raise NotValid(f"{where}: its encoding cannot be told for sure; it is not UTF-8. {how_to_say()}")


def _wide(head: bytes, where: str) -> str:
    """UTF-16 or UTF-32 without a byte order mark; other zero bytes mean that this is no text."""
    found = chardet.detect(head, compat_names=False, no_match_encoding="utf-8")["encoding"] or ""
    if found.startswith(("utf-16", "utf-32")):
        return found
    raise NotValid(
        f"{where} holds NUL bytes: it is not a text file, or it is damaged."
        " Export it again as UTF-8, or, if it is UTF-16, "
        + cure("set encoding: utf-16-le in data_source.yaml.", "give --encoding utf-16-le.")
    )


def _first_that_is_not_utf8(head: bytes, stream: BinaryIO) -> bytes | None:
    """None where all that is scanned is UTF-8; else the bytes to guess from, in whole lines."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    kept, scanned, chunk = b"", 0, head
    while chunk and scanned < _SCAN:
        try:
            decoder.decode(chunk)
        except UnicodeDecodeError:
            return _whole_lines(kept + chunk + stream.read(_SAMPLE))
        # Text of another encoding may begin far behind the start: guess from where it begins.
        kept = b"" if chunk.isascii() and not decoder.getstate()[0] else (kept + chunk)[-_SAMPLE:]
        scanned += len(chunk)
        chunk = stream.read(_CHUNK)
    try:
        decoder.decode(b"", final=not chunk)
    except UnicodeDecodeError:
        return _whole_lines(kept)
    return None


def _whole_lines(data: bytes) -> bytes:
    end = data.rfind(b"\n") + 1
    return data[:end] if len(data) > _SAMPLE and end else data


def _refuse_damaged_utf8(sample: bytes, where: str) -> None:
    """UTF-8 with a few bad bytes would be guessed as something else and garbled from end to end."""
    text = sample.decode("utf-8", "replace")
    bad = text.count("\N{REPLACEMENT CHARACTER}")
    good = sum(not char.isascii() for char in text) - bad
    if good > 4 * bad:
        raise NotValid(
            f"{where} is UTF-8 except for a few bytes ({bad} in the part looked at): it is damaged, or two"
            f" encodings are mixed. Repair it, or export it again as UTF-8. {how_to_say()}"
        )


def guess(sample: bytes) -> str | None:
    """The most likely legacy encoding of a sample, or None where no candidate convinces."""
    if len(sample) - len(sample.translate(None, _BEYOND_ASCII)) < _MIN_EVIDENCE:
        return None
    found = chardet.detect_all(
        sample,
        ignore_threshold=True,
        encoding_era=chardet.EncodingEra.MODERN_WEB,
        prefer_superset=True,
        compat_names=False,
    )
    for place, candidate in enumerate(found[:3]):
        encoding = candidate["encoding"] or ""
        if place and encoding not in _MULTIBYTE:
            # Among single-byte sets every one decodes: when the best does not convince, none does.
            continue
        for name in _READ_AS.get(encoding, (encoding,)):
            if name and name != "utf-8" and _plausible(sample, name):
                return name
    return None


def _plausible(sample: bytes, encoding: str) -> bool:
    try:
        # Not final: a sample may end inside a character.
        text = codecs.getincrementaldecoder(encoding)().decode(sample)
    except UnicodeDecodeError:
        return False
    strange = [i for i, char in enumerate(text) if not char.isascii()]
    odd = sum(_odd(text[i - 1 : i], text[i], text[i + 1 : i + 2]) for i in strange)
    return bool(strange) and odd <= _MAX_ODD * len(strange)


def _odd(before: str, char: str, after: str) -> bool:
    """Whether a character stands where no writer puts it: `dŽcada`, `Tr„ger`, `¤å`, `d¢n`, `cafเs`."""
    kind = unicodedata.category(char)
    if kind in ("Cc", "Cn", "Co"):
        return True
    inside = before.isascii() and before.isalpha() and after.isascii() and after.isalpha()
    if kind[0] == "S" or kind == "No":
        if after.isdigit():  # £1.50, whatever stands before it
            return False
        return inside or any(near.isalpha() and not near.isascii() for near in (before, after))
    if not inside or char in "’‘­·‐–":
        return False
    if not char.isalpha():
        return True
    latin = unicodedata.name(char, "").startswith("LATIN")
    return not latin or (kind == "Lu" and before.islower() and after.islower())


def text_stream(stream: BinaryIO, encoding: str, where: str) -> io.TextIOWrapper:
    """The bytes as strictly decoded text, line ends as they are. Raises NotValid for an unknown name."""
    name = "utf-8-sig" if encoding.lower().replace("_", "-") in ("utf-8", "utf8") else encoding
    try:
        return io.TextIOWrapper(stream, encoding=name, errors="strict", newline="")
    except LookupError:
        raise NotValid(f"{where}: there is no text encoding named {encoding!r}. {how_to_say()}") from None


def read_lines(text: io.TextIOWrapper, where: str) -> Iterator[str]:
    """The lines with their ends (LF, CRLF or CR), each of at most MAX_LINE characters."""
    number = 0
    try:
        while line := text.readline(MAX_LINE + 1):
            number += 1
            if len(line) > MAX_LINE:
                raise NotValid(
                    f"{where}:{number}: the line is longer than {MAX_LINE // 2**20} Mi characters."
                    " Put every row on a line of its own."
                )
            yield line
    except UnicodeError as error:
        raise NotValid(undecodable(where, text.encoding, f"near line {number + 1}", error)) from None


def undecodable(where: str, encoding: str, place: str, error: UnicodeError) -> str:
    """What to say when strict decoding fails behind the part that was looked at."""
    reason = getattr(error, "reason", str(error))
    return f"{where} is not valid {encoding.removesuffix('-sig')} ({place}: {reason}). {how_to_say()}"
