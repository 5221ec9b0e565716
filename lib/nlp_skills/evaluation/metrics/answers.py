"""Free answers against one right answer, as SQuAD compares them (Rajpurkar et al. 2016, arXiv:1606.05250).

Lower case, no punctuation, no articles; scripts without blanks are compared character by character. An
answer that is a JSON object or list matches by its value: without punctuation -1.50 would be 150.
"""

from __future__ import annotations

import json
import re
import string
import unicodedata
from collections import Counter
from typing import Any

from nlp_skills.evaluation.metrics.metric import Metric, mean


def is_match(expected: str, predicted: str) -> bool:
    """Equal as JSON where an object or a list is expected, otherwise equal after normalising."""
    wanted = _structure(expected)
    if wanted is not None:
        return wanted == _structure(predicted)
    return normal(expected) == normal(predicted)


def _structure(text: str) -> dict[str, Any] | list[Any] | None:
    """The JSON object or list that a text is; None when it is neither."""
    try:
        value = json.loads(text) if text.lstrip()[:1] in ("{", "[") else None
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) else None


def token_f1(expected: str, predicted: str) -> float:
    """Overlap of the words of answer and reference (F1); 1 when both are empty."""
    e, p = Counter(words(expected)), Counter(words(predicted))
    if not e or not p:
        return float(e == p)
    shared = sum((e & p).values())
    return 2 * shared / (sum(e.values()) + sum(p.values()))


_ARTICLES = re.compile(r"\b(a|an|the)\b")
_UNSPACED = re.compile(r"[぀-ヿ㐀-䶿一-鿿豈-﫿]")


def normal(text: str) -> str:
    """The text as SQuAD compares it."""
    text = "".join(c for c in unicodedata.normalize("NFKC", text).lower() if not _is_punctuation(c))
    return " ".join(_ARTICLES.sub(" ", text).split())


def _is_punctuation(character: str) -> bool:
    """SQuAD's ASCII punctuation, and that of all other scripts (。「」、…)."""
    return character in string.punctuation or unicodedata.category(character).startswith("P")


def words(text: str) -> list[str]:
    """Words; a Chinese or Japanese character is a word of its own."""
    return _UNSPACED.sub(lambda m: f" {m.group()} ", normal(text)).split()


ANSWERS: dict[str, Metric] = {
    "exact_match": mean("exact match", lambda row: float(is_match(row.expected, row.predicted))),
    "token_f1": mean("token F1", lambda row: token_f1(row.expected, row.predicted)),
}
