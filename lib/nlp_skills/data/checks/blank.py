"""Texts in which there is nothing to read: empty, white space, or only characters that show nothing."""

from __future__ import annotations

from collections.abc import Sequence

_RANGES = (
    (0x00, 0x20), (0x7F, 0xA0), (0xAD, 0xAD), (0x034F, 0x034F), (0x061C, 0x061C), (0x115F, 0x1160),
    (0x1680, 0x1680), (0x17B4, 0x17B5), (0x180B, 0x180F), (0x2000, 0x200F), (0x2028, 0x202F),
    (0x205F, 0x206F), (0x2800, 0x2800), (0x3000, 0x3000), (0x3164, 0x3164), (0xFE00, 0xFE0F),
    (0xFEFF, 0xFEFF), (0xFFA0, 0xFFA0), (0xFFF9, 0xFFFB), (0xE0000, 0xE0FFF),
)  # fmt: skip
"""Control characters, white space, and what Unicode calls Default_Ignorable_Code_Point; the empty Braille cell too."""

INVISIBLE = "".join(chr(code) for low, high in _RANGES for code in range(low, high + 1))
_STARTS = frozenset(("", *INVISIBLE))


def is_blank(text: str) -> bool:
    """Whether nothing of a text can be seen."""
    return text[:1] in _STARTS and not text.strip(INVISIBLE)


def blank_places(texts: Sequence[str], *, are_ascii: bool = False) -> list[int]:
    """Which of the texts are blank. Texts that all start with a visible ASCII character are told at once."""
    if texts and min(texts) > "!" and (are_ascii or max(texts) < "\x7f"):
        return []
    return [place for place, text in enumerate(texts) if text[:1] in _STARTS and is_blank(text)]
