"""The language that a text is written in, where it is long and plain enough to tell.

    text → without code, addresses and numbers → scripts → Chinese, Japanese, Korean by script,
    everything else by py3langid (byte n-grams, naive Bayes) → BCP 47 tag, or None

None is the answer for names, numbers, code, short and mixed texts: a wrong answer costs more than none.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any

from nlp_skills.errors import MissingExtra

CERTAIN = 0.9
"""The probability from which py3langid is believed."""
READ = 1_000
"""Characters of a text that are looked at: more make it slower and hardly surer."""
CODE = 0.08
"""The share of brackets, operators and the like from which on a text is code, whose words are English anywhere."""
LETTERS = 20
"""A text with fewer letters is too short for py3langid."""
WORDS = 4
EAST_ASIAN = 4
"""Han, kana or Hangul characters from which on a script tells the language."""
HAN_ONLY = 12
"""Han characters without any kana from which on a text is not Japanese."""
VARIANTS = 2
"""Different characters of one variant of Chinese from which on it is told."""

_NOT_WORDS = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|<[^<>]{1,200}>|\{\{.*?\}\}|(?:https?://|www\.)\S+|\S+@\S+|[@#][\w-]+"
    r"|\b\w*[\d_]\w*\b|\b\w+(?:\.\w+)+\b|[A-Za-z]:?[\\/]\S+",
    re.S | re.A,
)
_HAN = re.compile(r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_KANA = re.compile(r"[\u3041-\u309f\u30a1-\u30fa\u30fc-\u30ff\uff66-\uff9f]")
_HANGUL = re.compile(r"[\u1100-\u11ff\uac00-\ud7a3]")
_CODE = re.compile(r"[(){}\[\];=<>+*/\\|&^~$%]|::|->")
_LETTER = re.compile(r"[^\W\d_]")
_ALIKE: tuple[frozenset[str], ...] = tuple(
    frozenset(group.split())
    for group in (
        "no nb nn da sv",
        "hr bs sr sl",
        "id ms jv su",
        "cs sk",
        "pt gl",
        "es gl an ast ca oc",
        "ru uk be bg mk",
        "hi mr ne sa",
        "fa ur ps",
        "af nl",
        "de lb",
        "kk ky tt ba",
        "az tr",
        "xh zu",
        "ga gd",
        "as bn",
    )
)
"""Languages that a sentence or two do not tell apart: among them a text is not called wrong."""
_CHINESE = frozenset(("zh", "cmn", "yue", "wuu"))
_NO_ANSWER = _CHINESE | {"zxx", "und"}
"""Chinese is told by its script; what the model calls no language is none."""
_REGIONS = {"tw": "Hant", "hk": "Hant", "mo": "Hant", "cn": "Hans", "sg": "Hans"}


@dataclass(frozen=True)
class Letters:
    """How many letters of a text are of which kind."""

    han: int
    kana: int
    hangul: int
    all: int

    @property
    def east_asian(self) -> int:
        return self.han + self.kana + self.hangul


def detect_language(text: str) -> str | None:
    """`en`, `ja`, `zh-Hant`, `zh-Hans`, `zh` where both write it alike …; None where it cannot be told.

    Raises MissingExtra without py3langid.
    """
    plain = _NOT_WORDS.sub(" ", text[:READ])
    letters = _count(plain)
    if letters.east_asian >= EAST_ASIAN and 2 * letters.east_asian >= letters.all:
        return _by_script(plain, letters)
    if 20 * letters.east_asian > letters.all or letters.all < LETTERS or len(plain.split()) < WORDS:
        return None
    if len(_CODE.findall(plain)) > CODE * len("".join(plain.split())):
        return None
    language, probability = _identifier().classify(_even(plain))
    return language if probability >= CERTAIN and language not in _NO_ANSWER else None


def contradicts(expected: str, text: str, detected: str | None) -> bool:
    """Whether a text is certainly not in the language with this BCP 47 tag. `detected`: what detect_language said of it."""
    if detected is None:
        return False
    wanted, wanted_script = split_tag(expected)
    language, script = split_tag(detected)
    if wanted == language == "zh":
        return bool(wanted_script and script and wanted_script != script)
    if wanted == "ja" and language == "zh":
        return len(_HAN.findall(text)) >= HAN_ONLY
    return wanted != language and not any(wanted in group and language in group for group in _ALIKE)


def split_tag(tag: str) -> tuple[str, str | None]:
    """Language and script of a BCP 47 tag; of Chinese the script that the region writes: zh-TW → zh, Hant."""
    language, *others = tag.replace("_", "-").split("-")
    language = "zh" if language.lower() in _CHINESE else language.lower()
    scripts = [part.title() for part in others if len(part) == 4 and part.isalpha()]
    if not scripts and language == "zh":
        scripts = [_REGIONS[part.lower()] for part in others if part.lower() in _REGIONS]
    return language, scripts[0] if scripts else None


def knows(language: str) -> bool:
    """Whether texts of this BCP 47 tag can be told from others. Raises MissingExtra without py3langid."""
    return split_tag(language)[0] in {"zh", "ja", "ko", *_identifier().labels}


def variant(text: str) -> str | None:
    """`Hant` or `Hans`, by characters that only one of the two has; None where they do not tell, or tell both."""
    traditional, simplified = _variants()
    characters = set(text)
    hant, hans = len(characters & traditional), len(characters & simplified)
    if hant >= VARIANTS and hant >= 10 * hans:
        return "Hant"
    if hans >= VARIANTS and hans >= 10 * hant:
        return "Hans"
    return None


def _by_script(text: str, letters: Letters) -> str:
    if 10 * letters.kana >= letters.east_asian:
        return "ja" if letters.kana >= EAST_ASIAN or letters.kana > letters.han else "zh"
    if 3 * letters.hangul >= letters.east_asian:
        return "ko"
    script = variant(text)
    return f"zh-{script}" if script else "zh"


def _count(text: str) -> Letters:
    han, kana, hangul, every = (len(p.findall(text)) for p in (_HAN, _KANA, _HANGUL, _LETTER))
    return Letters(han, kana, hangul, every)


def _even(text: str) -> str:
    """Capitals mislead the model, which has seen names in capitals of many languages."""
    return " ".join(text.split()).casefold()


@cache
def _variants() -> tuple[frozenset[str], frozenset[str]]:
    """Han characters of Taiwan's Big5 only, and of mainland China's GB 2312 only.

    Each standard lists the common characters of its variant, so what stands in one of them alone
    belongs to that variant: 這 to Traditional, 这 to Simplified; 台, 里 and 着 are in both.
    """
    han = [chr(code) for code in range(0x4E00, 0xA000)]
    big5 = {character for character in han if _can_write(character, "big5")}
    gb2312 = {character for character in han if _can_write(character, "gb2312")}
    return frozenset(big5 - gb2312), frozenset(gb2312 - big5)


def _can_write(character: str, encoding: str) -> bool:
    try:
        character.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


@cache
def _identifier() -> Any:
    try:
        from py3langid.langid import MODEL_FILE, LanguageIdentifier
    except ImportError:
        raise MissingExtra("Telling languages", "data") from None
    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
