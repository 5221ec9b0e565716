"""Labels: accuracy and F1 as scikit-learn defines them (over the labels that occur in either list)."""

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
    right = Counter(row.expected for row in rows if row.expected == row.predicted)
    support, claimed = Counter(row.expected for row in rows), Counter(row.predicted for row in rows)
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


def _label_counts(rows: Sequence[Prediction]) -> Any:
    """True positives, predictions and occurrences of each label side by side: sparse, shape (rows, 3 * labels)."""
    import numpy as np
    from scipy.sparse import csr_array

    labels = sorted({row.expected for row in rows} | {row.predicted for row in rows})
    number = {label: i for i, label in enumerate(labels)}
    columns, starts = [], [0]
    for row in rows:
        if row.expected == row.predicted:
            columns.append(number[row.expected])
        columns.append(len(labels) + number[row.predicted])
        columns.append(2 * len(labels) + number[row.expected])
        starts.append(len(columns))
    return csr_array((np.ones(len(columns)), columns, starts), shape=(len(rows), 3 * len(labels)))


def _f1_of_labels(sums: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """F1, whether the label occurs at all, and its true occurrences: each of shape (..., labels)."""
    import numpy as np

    hits, claimed, support = np.split(sums, 3, axis=-1)
    occurs = claimed + support > 0
    return 2 * hits / np.where(occurs, claimed + support, 1), occurs, support


def _macro(sums: np.ndarray) -> np.ndarray:
    f1, occurs, _ = _f1_of_labels(sums)
    return f1.sum(axis=-1) / occurs.sum(axis=-1)


CLASSIFICATION: dict[str, Metric] = {
    "accuracy": mean("accuracy", lambda row: float(row.expected == row.predicted)),
    "macro_f1": Metric("macro F1", _label_counts, _macro),
}
