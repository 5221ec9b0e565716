"""Labels: accuracy, F1 and their kin as scikit-learn defines them (over the labels that occur in either list)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from nlp_skills.evaluation.metrics.metric import Metric, mean
from nlp_skills.evaluation.results import LabelScore, Prediction

if TYPE_CHECKING:
    import numpy as np


def per_label(rows: Sequence[Prediction]) -> dict[str, LabelScore]:
    """Precision, recall and F1 of each label that occurs; 0 where nothing was predicted."""
    return score_each(
        Counter(row.expected for row in rows if row.expected == row.predicted),
        Counter(row.predicted for row in rows),
        Counter(row.expected for row in rows),
    )


def score_each(right: Counter[str], claimed: Counter[str], support: Counter[str]) -> dict[str, LabelScore]:
    """The scores of each label, type of entity or field, in sorted order, from what was counted of it."""
    scores = {}
    for label in sorted(support.keys() | claimed.keys()):
        precision = right[label] / claimed[label] if claimed[label] else 0.0
        recall = right[label] / support[label] if support[label] else 0.0
        f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
        scores[label] = LabelScore(precision=precision, recall=recall, f1=f1, support=support[label])
    return scores


def confusion(rows: Sequence[Prediction]) -> dict[str, dict[str, int]]:
    """expected → predicted → rows, without the zeros, in sorted order."""
    table: dict[str, dict[str, int]] = {}
    for (expected, predicted), count in sorted(Counter((r.expected, r.predicted) for r in rows).items()):
        table.setdefault(expected, {})[predicted] = count
    return table


def count_labels(pairs: Sequence[tuple[Sequence[str], Sequence[str], Sequence[str]]]) -> Any:
    """How often each label is a hit, claimed and true in each row, side by side: sparse, (rows, 3 * labels).

    A row is its hits, what was claimed, and what is true: one label each, or any number of entities.
    """
    import numpy as np
    from scipy.sparse import csr_array

    labels = sorted({label for _, claimed, true in pairs for label in (*claimed, *true)})
    number = {label: i for i, label in enumerate(labels)}
    columns, starts = [], [0]
    for row in pairs:
        for block, named in enumerate(row):
            columns += [block * len(labels) + number[label] for label in named]
        starts.append(len(columns))
    table = csr_array((np.ones(len(columns)), columns, starts), shape=(len(pairs), 3 * len(labels)))
    table.sum_duplicates()
    return table


def f1_of_labels(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """F1, whether the label occurs at all, and its true occurrences: each of shape (..., labels)."""
    import numpy as np

    hits, claimed, support = np.split(sums, 3, axis=-1)
    occurs = claimed + support > 0
    return 2 * hits / np.where(occurs, claimed + support, 1), occurs, support


def micro_f1(sums: np.ndarray) -> np.ndarray:
    """F1 over all labels together; 0 where there is none."""
    import numpy as np

    hits, claimed, support = (part.sum(axis=-1) for part in np.split(sums, 3, axis=-1))
    return _ratio(2 * hits, claimed + support)


def macro_f1(sums: np.ndarray) -> np.ndarray:
    """The mean of the labels' F1, over the labels that occur; 0 where there is none."""
    f1, occurs, _ = f1_of_labels(sums)
    return _ratio(f1.sum(axis=-1), occurs.sum(axis=-1))


def weighted_f1(sums: np.ndarray) -> np.ndarray:
    """The mean of the labels' F1, each weighted by how often the label is true."""
    f1, _, support = f1_of_labels(sums)
    return _ratio((f1 * support).sum(axis=-1), support.sum(axis=-1))


def _balanced_accuracy(sums: np.ndarray) -> np.ndarray:
    """The mean recall of the labels that are true somewhere."""
    import numpy as np

    hits, _, support = np.split(sums, 3, axis=-1)
    return _ratio(_ratio(hits, support).sum(axis=-1), (support > 0).sum(axis=-1))


def _matthews(sums: np.ndarray) -> np.ndarray:
    """Gorodkin's R_K (2004), -1 to 1; 0 where all rows have one label or one prediction."""
    import numpy as np

    hits, claimed, support = np.split(sums, 3, axis=-1)
    rows, right = support.sum(axis=-1), hits.sum(axis=-1)
    together = right * rows - (claimed * support).sum(axis=-1)
    apart = (rows**2 - (claimed**2).sum(axis=-1)) * (rows**2 - (support**2).sum(axis=-1))
    return _ratio(together, np.sqrt(apart))


def _ratio(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    """`part / whole`, and 0 where the whole is 0."""
    import numpy as np

    return np.where(whole == 0, 0.0, part / np.where(whole == 0, 1.0, whole))


def _label_counts(rows: Sequence[Prediction]) -> Any:
    return count_labels(
        [((r.expected,) if r.expected == r.predicted else (), (r.predicted,), (r.expected,)) for r in rows]
    )


CLASSIFICATION: dict[str, Metric] = {
    "accuracy": mean("accuracy", lambda row: float(row.expected == row.predicted)),
    "macro_f1": Metric("macro F1", _label_counts, macro_f1),
    "micro_f1": Metric("micro F1", _label_counts, micro_f1),
    "weighted_f1": Metric("weighted F1", _label_counts, weighted_f1),
    "balanced_accuracy": Metric("balanced accuracy", _label_counts, _balanced_accuracy),
    "matthews_correlation": Metric("Matthews correlation", _label_counts, _matthews),
}
