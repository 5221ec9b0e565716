"""BLEU and chrF over a whole set of answers, as sacrebleu gives them (Post 2018), from 0 to 1.

Counts come from sacrebleu itself, one row of them an answer; they are summed, and a score is made of the sums. So
resampling the rows gives what sacrebleu gives for the resampled texts, and not a mean of sentences' scores.
BLEU cuts Chinese into characters ("zh"), Japanese too ("char"), all else with "13a": the reference texts decide.
"""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any

from nlp_skills.errors import MissingExtra
from nlp_skills.evaluation.metrics.metric import Metric
from nlp_skills.evaluation.results import Prediction

if TYPE_CHECKING:
    import numpy as np

BLEU_ORDER, CHRF_ORDER, CHRF_BETA = 4, 6, 2
"""sacrebleu's defaults: words up to four in a row, characters up to six, recall twice as important."""


def bleu_tokenizer(references: Sequence[str]) -> str:
    """sacrebleu's name of the tokenizer for the script that most letters of the references are of."""
    scripts: Counter[str] = Counter()
    for character, count in Counter(chain.from_iterable(references)).items():
        if character.isalpha():
            scripts[_script(character)] += count
    if scripts["kana"] * 10 > scripts["kana"] + scripts["han"]:  # Japanese also writes Chinese characters
        return "char" if scripts["kana"] + scripts["han"] > scripts["other"] else "13a"
    return "zh" if scripts["han"] > scripts["other"] else "13a"


def _script(character: str) -> str:
    name = unicodedata.name(character, "")
    if name.startswith("CJK"):
        return "han"
    return "kana" if name.startswith(("HIRAGANA", "KATAKANA", "HALFWIDTH KATAKANA")) else "other"


def _bleu_counts(rows: Sequence[Prediction]) -> np.ndarray:
    """Length, length of the nearest reference, n-grams that match, n-grams: shape (rows, 2 + 2 * BLEU_ORDER)."""
    metrics = _sacrebleu()
    tokenize = bleu_tokenizer([row.expected for row in rows])
    return _counts(metrics.BLEU(tokenize=tokenize, force=True), rows)


def _chrf_counts(rows: Sequence[Prediction]) -> np.ndarray:
    """Of each length of n-grams: in the answer, in the reference, in both: shape (rows, 3 * CHRF_ORDER)."""
    return _counts(_sacrebleu().CHRF(), rows)


def _sacrebleu() -> Any:
    try:
        from sacrebleu import metrics
    except ModuleNotFoundError:
        raise MissingExtra("BLEU and chrF", "train") from None
    return metrics


def _counts(metric: Any, rows: Sequence[Prediction]) -> np.ndarray:
    """What sacrebleu counts in each row; its own significance tests are made of the same table."""
    import numpy as np

    most = max(len(row.answers) for row in rows)
    references = [[row.expected for row in rows]] + [
        [row.answers[n] if n < len(row.answers) else None for row in rows] for n in range(most)
    ]
    counted = metric._extract_corpus_statistics([row.predicted for row in rows], references)
    return np.array(counted, dtype=np.float64)


def _bleu(sums: np.ndarray) -> np.ndarray:
    """sacrebleu's compute_bleu with its default smoothing ("exp"): an order without a match counts 1/2, 1/4 … of one."""
    import numpy as np

    given, wanted = sums[..., 0], sums[..., 1]
    right, all_ = np.split(sums[..., 2:], 2, axis=-1)
    halved = 2.0 ** np.cumsum(right == 0, axis=-1)
    matches = np.where(right == 0, 1 / halved, right)
    precision = matches / np.maximum(all_, 1)
    brevity = np.exp(np.minimum(0.0, 1 - wanted / np.maximum(given, 1)))
    score = brevity * np.exp(np.log(precision).mean(axis=-1))
    return np.where((all_ == 0).any(axis=-1) | (right == 0).all(axis=-1), 0.0, score)


def _chrf(sums: np.ndarray) -> np.ndarray:
    """sacrebleu's chrF2: the mean precision and recall of the lengths that occur, and their F-measure."""
    import numpy as np

    given, wanted, both = (sums[..., part::3] for part in range(3))
    occurs = (given > 0) & (wanted > 0)
    orders = np.maximum(occurs.sum(axis=-1), 1)
    precision, recall = (
        (np.where(occurs, both, 0.0) / np.maximum(side, 1)).sum(axis=-1) / orders for side in (given, wanted)
    )
    factor = CHRF_BETA**2
    whole = factor * precision + recall
    return np.where(whole > 0, (1 + factor) * precision * recall / np.where(whole > 0, whole, 1.0), 0.0)


TRANSLATION: dict[str, Metric] = {
    "bleu": Metric("BLEU", _bleu_counts, _bleu),
    "chrf": Metric("chrF", _chrf_counts, _chrf),
}
