"""Free answers against one right answer or several, as SQuAD compares them (arXiv:1606.05250, 1806.03822).

Lower case, no punctuation, no articles; the best of several right answers counts. In Latin script this is SQuAD's own
script to the letter. In text of other scripts width and their punctuation do not count either, and a Chinese or
Japanese character is a word of its own, as in MLQA's script (arXiv:1910.07475). An answer that is a JSON object or list
matches by its value: without punctuation -1.50 would be 150.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections import Counter
from collections.abc import Sequence

from nlp_skills.data.sources.formats.squad import UNANSWERABLE
from nlp_skills.evaluation.metrics.json_values import is_same, read_json, read_structure
from nlp_skills.evaluation.metrics.metric import Metric, mean
from nlp_skills.evaluation.results import Prediction


def is_match(expected: str, predicted: str, others: Sequence[str] = ()) -> bool:
    """Equal as JSON where an object or a list is expected, otherwise equal after normalising.

    `others` are further right answers. To a question without an answer, saying nothing is right too.
    """
    return any(_is_match(right, predicted) for right in (expected, *others))


def _is_match(expected: str, predicted: str) -> bool:
    wanted = read_structure(expected)
    if wanted is not None:
        return is_same(wanted, read_json(predicted))
    if is_unanswerable(expected):
        return _says_nothing(predicted)
    return normal(expected) == normal(predicted)


def token_f1(expected: str, predicted: str, others: Sequence[str] = ()) -> float:
    """Overlap of the words of answer and reference (F1), the best over all right answers; 1 when both are empty."""
    return max(_token_f1(right, predicted) for right in (expected, *others))


def _token_f1(expected: str, predicted: str) -> float:
    if is_unanswerable(expected):
        return float(_says_nothing(predicted))
    e, p = Counter(words(expected)), Counter(words(predicted))
    if not e or not p:
        return float(e == p)
    shared = sum((e & p).values())
    return 2 * shared / (sum(e.values()) + sum(p.values()))


def is_unanswerable(expected: str) -> bool:
    """Whether the right answer is that there is none, as rows of SQuAD 2.0 say it."""
    return expected.strip() == UNANSWERABLE


def _says_nothing(predicted: str) -> bool:
    return normal(predicted) in ("", UNANSWERABLE)


_ARTICLES = re.compile(r"\b(a|an|the)\b")
_OTHER_SCRIPT = re.compile(
    r"[^\u0000-\u024f\u0300-\u036f\u1e00-\u1eff\u2000-\u2bff\ua720-\ua7ff\ufb00-\ufb06\U0001f000-\U0001faff]"
)
"""What is neither Latin script nor a sign that it uses: then the whole text counts as written in another one."""
_UNSPACED = re.compile(r"[぀-ヿ㐀-䶿一-鿿豈-﫿]")


def normal(text: str) -> str:
    """The text as SQuAD compares it, or MLQA where it is not in Latin script."""
    if _OTHER_SCRIPT.search(text):
        text = "".join(c for c in unicodedata.normalize("NFKC", text).lower() if not _is_punctuation(c))
    else:
        text = text.lower().translate(_ASCII_PUNCTUATION)
    return " ".join(_ARTICLES.sub(" ", text).split())


_ASCII_PUNCTUATION = str.maketrans("", "", string.punctuation)


def _is_punctuation(character: str) -> bool:
    """SQuAD's ASCII punctuation, and that of all other scripts (。「」、…)."""
    return character in string.punctuation or unicodedata.category(character).startswith("P")


def words(text: str) -> list[str]:
    """Words; a Chinese or Japanese character is a word of its own."""
    return split_unspaced(normal(text)).split()


def split_unspaced(text: str) -> str:
    """The text with a blank around each character of a script that writes none between words."""
    return _UNSPACED.sub(lambda m: f" {m.group()} ", text)


def _exact_match(row: Prediction) -> float:
    return float(is_match(row.expected, row.predicted, row.answers))


ANSWERS: dict[str, Metric] = {
    "exact_match": mean("exact match", _exact_match),
    "token_f1": mean("token F1", lambda row: token_f1(row.expected, row.predicted, row.answers)),
}
