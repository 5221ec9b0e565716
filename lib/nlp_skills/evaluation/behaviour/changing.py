"""A text changed in a way that leaves its meaning: the same change for the same random numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from random import Random

from nlp_skills.evaluation.behaviour.scripts import other_script
from nlp_skills.evaluation.behaviour.tests_file import Invariance

TYPOS = 0.05
"""Of the words with four letters or more, at least one: two neighbouring letters inside change places."""


def changed(text: str, test: Invariance, draw: Random) -> str:
    """The text after a test's change; the same text where there is nothing to change."""
    if test.change == "words":
        return other_words(text, test.words, draw)
    return CHANGES[test.change](text, draw)


def typos(text: str, draw: Random) -> str:
    """Neighbouring inner letters of some words change places."""
    words = [match.span() for match in re.finditer(r"[^\W\d_]{4,}", text) if match[0].isascii()]
    letters = list(text)
    for start, end in sorted(draw.sample(words, min(len(words), max(1, round(len(words) * TYPOS))))):
        places = [i for i in range(start + 1, end - 2) if letters[i] != letters[i + 1]]
        if places:
            place = draw.choice(places)
            letters[place], letters[place + 1] = letters[place + 1], letters[place]
    return "".join(letters)


def punctuation(text: str, draw: Random) -> str:  # noqa: ARG001
    """The mark at the end goes; where there is none, one comes."""
    bare = text.rstrip(" .。!！")
    if not bare:
        return text
    if bare != text.rstrip():
        return bare
    if not bare[-1].isalnum():
        return text
    return bare + ("。" if ord(bare[-1]) >= 0x3040 else ".")


def whitespace(text: str, draw: Random) -> str:
    """A blank at either end, and one that is there becomes two."""
    blanks = [match.start() for match in re.finditer(" ", text)]
    if blanks:
        place = draw.choice(blanks)
        text = f"{text[:place]} {text[place:]}"
    return f" {text} "


def width(text: str, draw: Random) -> str:  # noqa: ARG001
    """Letters and digits in full width; where there are some, in half width again."""
    narrow = re.sub(r"[０-９Ａ-Ｚａ-ｚ]", lambda found: chr(ord(found[0]) - 0xFEE0), text)
    if narrow != text:
        return narrow
    return re.sub(r"[0-9A-Za-z]", lambda found: chr(ord(found[0]) + 0xFEE0), text)


def other_words(text: str, groups: list[list[str]], draw: Random) -> str:
    """Each word of a group that stands in the text becomes another of its group, everywhere the same one."""
    for group in groups:
        others = {word: draw.choice([o for o in group if o != word]) for word in group if len(set(group)) > 1}
        if others:
            longest = sorted(others, key=len, reverse=True)
            pattern = "|".join(_as_word(word) for word in longest)
            text = re.sub(pattern, lambda found, o=others: o[found[0]], text)
    return text


def _as_word(word: str) -> str:
    """A word of letters stands alone; where words are not divided by blanks it may stand anywhere."""
    edge = r"\b" if word.isascii() else ""
    return f"{edge}{re.escape(word)}{edge}"


CHANGES: dict[str, Callable[[str, Random], str]] = {
    "typos": typos,
    "upper case": lambda text, draw: text.upper(),  # noqa: ARG005
    "lower case": lambda text, draw: text.lower(),  # noqa: ARG005
    "punctuation": punctuation,
    "whitespace": whitespace,
    "width": width,
    "script": lambda text, draw: other_script(text),  # noqa: ARG005
}
