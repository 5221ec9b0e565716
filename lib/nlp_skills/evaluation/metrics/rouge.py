"""ROUGE-1, ROUGE-2 and ROUGE-L of a text against one reference or several (Lin 2004, aclanthology.org/W04-1013).

The F-measure of each row as the package rouge-score gives it without stemming; its mean over the rows. That package
knows the letters a-z and digits only, so that a Chinese answer has no words: here words of other scripts count too, and
of those that write no blanks each character. ROUGE-L takes minutes there for 10,000 answers; here the longest
common subsequence is one addition of long integers a word (Hyyrö 2004, "Bit-parallel LCS-length computation revisited").
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence

from nlp_skills.evaluation.metrics.answers import split_unspaced
from nlp_skills.evaluation.metrics.metric import Metric, mean
from nlp_skills.evaluation.results import Prediction

_WORD = re.compile(r"[a-z0-9]+|[^\W\d_\u0000-\u024f\u1e00-\u1eff\ua720-\ua7ff\uab30-\uab6f]+")
"""Runs of ASCII letters and digits, as rouge-score has them, or of letters of any script but the Latin one."""


def rouge_tokens(text: str) -> list[str]:
    """The words that ROUGE compares."""
    return _WORD.findall(split_unspaced(text.lower()))


def rouge_n(reference: list[str], answer: list[str], n: int) -> float:
    """F-measure of the n-grams that both have."""
    r, a = _ngrams(reference, n), _ngrams(answer, n)
    return _f_measure(sum((r & a).values()), sum(a.values()), sum(r.values()))


def rouge_l(reference: list[str], answer: list[str]) -> float:
    """F-measure of the longest common subsequence of words."""
    return _f_measure(common_length(reference, answer), len(answer), len(reference))


def _ngrams(tokens: list[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(zip(*(tokens[start:] for start in range(n)), strict=False))


def _f_measure(shared: int, given: int, wanted: int) -> float:
    return 2 * shared / (given + wanted) if shared else 0.0


def common_length(a: Sequence[str], b: Sequence[str]) -> int:
    """Words in the longest common subsequence of two texts."""
    places: dict[str, int] = {}
    for place, token in enumerate(a):
        places[token] = places.get(token, 0) | 1 << place
    every = (1 << len(a)) - 1
    free = every
    for token in b:
        hit = free & places.get(token, 0)
        free = (free + hit | free - hit) & every
    return len(a) - free.bit_count()


def _best(score: Callable[[list[str], list[str]], float]) -> Callable[[Prediction], float]:
    def one(row: Prediction) -> float:
        answer = rouge_tokens(row.predicted)
        return max(score(rouge_tokens(right), answer) for right in (row.expected, *row.answers))

    return one


ROUGE: dict[str, Metric] = {
    "rouge_1": mean("ROUGE-1", _best(lambda reference, answer: rouge_n(reference, answer, 1))),
    "rouge_2": mean("ROUGE-2", _best(lambda reference, answer: rouge_n(reference, answer, 2))),
    "rouge_l": mean("ROUGE-L", _best(rouge_l)),
}
