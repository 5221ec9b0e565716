"""How good predictions are: plain functions of (expected, predicted), one value each.

Classification follows scikit-learn's definitions (macro F1 over the labels that occur in either
list). Text answers follow SQuAD's (Rajpurkar et al. 2016, arXiv:1606.05250): lower case, no
punctuation, no articles; scripts without blanks are compared character by character. An answer that is
a JSON object or list matches by its value: without punctuation -1.50 would be 150.
"""

from __future__ import annotations

import json
import re
import string
import unicodedata
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from nlp_skills.evaluation.results import LabelScore

if TYPE_CHECKING:
    import numpy as np

Metric = Callable[[Sequence[str], Sequence[str]], float]


def accuracy(expected: Sequence[str], predicted: Sequence[str]) -> float:
    """Share of rows that are right."""
    return sum(e == p for e, p in zip(expected, predicted, strict=True)) / len(expected)


def macro_f1(expected: Sequence[str], predicted: Sequence[str]) -> float:
    """Mean F1 over labels, each label counting the same."""
    scores = per_label(expected, predicted)
    return sum(score.f1 for score in scores.values()) / len(scores)


def per_label(expected: Sequence[str], predicted: Sequence[str]) -> dict[str, LabelScore]:
    """Precision, recall and F1 of each label that occurs; 0 where nothing was predicted."""
    right = Counter(e for e, p in zip(expected, predicted, strict=True) if e == p)
    support, claimed = Counter(expected), Counter(predicted)
    scores = {}
    for label in sorted(support.keys() | claimed.keys()):
        precision = right[label] / claimed[label] if claimed[label] else 0.0
        recall = right[label] / support[label] if support[label] else 0.0
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        scores[label] = LabelScore(precision=precision, recall=recall, f1=f1, support=support[label])
    return scores


def confusion(expected: Sequence[str], predicted: Sequence[str]) -> dict[str, dict[str, int]]:
    """expected → predicted → rows, without the zeros, in sorted order."""
    table: dict[str, dict[str, int]] = {}
    for (e, p), count in sorted(Counter(zip(expected, predicted, strict=True)).items()):
        table.setdefault(e, {})[p] = count
    return table


def exact_match(expected: Sequence[str], predicted: Sequence[str]) -> float:
    """Share of answers that match."""
    return sum(is_match(e, p) for e, p in zip(expected, predicted, strict=True)) / len(expected)


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


def token_f1(expected: Sequence[str], predicted: Sequence[str]) -> float:
    """Mean overlap of words between answer and reference."""
    return sum(row_token_f1(e, p) for e, p in zip(expected, predicted, strict=True)) / len(expected)


def row_token_f1(expected: str, predicted: str) -> float:
    """F1 of the words of one answer; 1 when both are empty."""
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


METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "macro_f1": macro_f1,
    "exact_match": exact_match,
    "token_f1": token_f1,
}
"""By the name in task.yaml."""


def row_scores(name: str, expected: Sequence[str], predicted: Sequence[str]) -> np.ndarray:
    """A metric that is a mean over rows, row by row: shape (rows,), float64. Not for macro_f1."""
    import numpy as np

    one = {
        "accuracy": lambda e, p: float(e == p),
        "exact_match": lambda e, p: float(is_match(e, p)),
        "token_f1": row_token_f1,
    }[name]
    return np.array([one(e, p) for e, p in zip(expected, predicted, strict=True)], dtype=np.float64)
