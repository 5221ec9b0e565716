"""Whether a text holds one of some keywords.

In scripts that put spaces between words a keyword stands at word boundaries ("art" is not in "start"); in
Chinese, Japanese or Thai it stands anywhere. Cases and compatible forms (full width) are the same.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

_UNSPACED = re.compile(
    r"[\u0e00-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


class Keywords:
    """Some keywords, made ready. Without any, every text holds one."""

    def __init__(self, keywords: Sequence[str]) -> None:
        words = {" ".join(_plain(word).split()) for word in keywords if word.strip()}
        self._patterns = {word: re.compile(_pattern(word)) for word in sorted(words)}

    def stand_in(self, text: str) -> bool:
        """Whether one of them stands in the text."""
        text = " ".join(_plain(text).split())
        found = (word in text and pattern.search(text) for word, pattern in self._patterns.items())
        return not self._patterns or any(found)


def _pattern(keyword: str) -> str:
    left = "" if not _is_word(keyword[0]) else r"(?<![^\W_])"
    right = "" if not _is_word(keyword[-1]) else r"(?![^\W_])"
    # A boundary is also where another script begins: GPU in 用GPU訓練.
    unspaced = _UNSPACED.pattern[1:-1]
    left = left and rf"(?:{left}|(?<=[{unspaced}]))"
    right = right and rf"(?:{right}|(?=[{unspaced}]))"
    return left + re.escape(keyword) + right


def _is_word(character: str) -> bool:
    return character.isalnum() and not _UNSPACED.match(character)


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text).casefold()
