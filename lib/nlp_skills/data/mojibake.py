"""Garbled text: bytes that were read in another encoding than they were written in.

"cafÃ©"         UTF-8 read as Windows-1252          → "café"       (ftfy knows the European ones)
"浣犲ソ"         UTF-8 read as GBK                   → "你好"
"ä½\\xa0å¥½"       UTF-8 read as Latin-1               → "你好"
"\\x93so\\x94"     Windows-1252 read as Latin-1        → "“so”"
"caf\\ufffd", "锟斤拷"   the character is lost           → cannot be repaired
"""

from __future__ import annotations

import re

from nlp_skills.errors import MissingExtra

_LOST = re.compile("\ufffd|锟斤拷|ï¿½")
_C1 = re.compile("[\x80-\x84\x86-\x9f]")
_FOREIGN = re.compile(r"[^\x00-\xff\ufffd]{3,}")
_READ_AS = ("gbk", "cp950", "cp932")
"""East Asian encodings as which UTF-8 is often read: mainland China's, Taiwan's, Japan's Windows."""
LOST = 2
"""Characters at the ends of a stretch that may be lost."""
_EAST_ASIAN = re.compile(r"[\u3000-\u30ff\u4e00-\u9fff\uac00-\ud7a3\uff01-\uff65]+")


def is_garbled(text: str) -> bool:
    """Whether characters of a text are garbled or lost. Raises MissingExtra without ftfy.

    Also where no encoding is known that would undo it: "å£1.50" stands for "£1.50", by two readings in a row.
    """
    return not text.isascii() and (bool(_LOST.search(text)) or _read_again(text) != text or _is_bad(text))


_LOOSE_MARK = re.compile("(?:^|\\W)[\u0300-\u036f]")
"""An accent that stands on no letter: what was read as UTF-8 was something else."""


def repair(text: str) -> str:
    """The text as it was written, where that can be told; otherwise as it is. Raises MissingExtra without ftfy."""
    again = _read_again(text)
    return text if _LOOSE_MARK.search(again) and not _LOOSE_MARK.search(text) else again


def _is_bad(text: str) -> bool:
    """Whether the text holds sequences of characters that hardly ever stand in a text which was read rightly."""
    from ftfy.badness import is_bad  # there: _read_again has asked for it

    return is_bad(text)


def _read_again(text: str) -> str:
    """The text as it reads when the reading that garbled it is undone."""
    if text.isascii():
        return text
    try:
        from ftfy import fix_encoding
        from ftfy.badness import is_bad
        from ftfy.fixes import fix_c1_controls
    except ImportError:
        raise MissingExtra("Looking for garbled text", "data") from None
    if is_bad(text):
        text = fix_encoding(text)
    if _C1.search(text):
        text = fix_c1_controls(text)
    return _FOREIGN.sub(_reread, text)


def _reread(match: re.Match[str]) -> str:
    """A stretch of the characters that UTF-8 looks like in an East Asian encoding, read as UTF-8.

    Text that was read rightly is hardly ever UTF-8 when written in these encodings, and if so no
    East Asian text. At both ends bytes may be lost, which an editor has shown as "?" or left out.
    """
    text = match[0]
    for encoding in _READ_AS:
        try:
            written = text.encode(encoding)
        except UnicodeEncodeError:
            continue
        read = written.decode("utf-8", errors="replace")
        whole = read.strip("\ufffd")
        if len(whole) > 1 and len(read) - len(whole) <= LOST and _EAST_ASIAN.fullmatch(whole):
            return read
    return text
