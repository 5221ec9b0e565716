"""Labels as a simple classifier would give them that has never seen the row: TF-IDF with logistic regression, out of fold.

The rows are divided into five; each fifth gets its probabilities from a model of the other four. One model a label
(one against the rest, liblinear): as accurate as the multinomial one and ten times as fast with many labels.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlp_skills.evaluation.baselines import vectorise

if TYPE_CHECKING:
    import numpy as np

FOLDS = 5
FEW, REPEATS = 3_000, 3
"""Up to so many rows the folds are drawn so often and the probabilities averaged: which rows stand together is chance."""


@dataclass(frozen=True)
class Opinion:
    """What the classifier thinks of rows."""

    labels: list[str]
    given: np.ndarray
    """Number of each row's own label: int, shape (rows,)."""
    probabilities: np.ndarray
    """Shape (rows, labels); each row sums to 1."""

    @property
    def said(self) -> np.ndarray:
        """Number of the most probable label of each row."""
        return self.probabilities.argmax(axis=1)

    @property
    def accuracy(self) -> float:
        """How often it agrees with the rows' labels."""
        return float((self.said == self.given).mean())


def out_of_fold(texts: Sequence[str], labels: Sequence[str], seed: int = 13) -> Opinion | None:
    """Probabilities of rows whose labels all have FOLDS rows or more (`kept_rows`); None with fewer than two labels."""
    import numpy as np
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    names = sorted(set(labels))
    if len(names) < 2 or not any(text.strip() for text in texts):
        return None
    _, rows = vectorise(texts)
    given = np.searchsorted(np.array(names), np.array(labels))
    divisions = [
        StratifiedKFold(FOLDS, shuffle=True, random_state=seed + n)
        for n in range(REPEATS if len(texts) <= FEW else 1)
    ]
    model = _classifier(len(names))
    opinions: Any = [
        cross_val_predict(model, rows, given, cv=folds, method="predict_proba") for folds in divisions
    ]
    return Opinion(names, given, np.mean(opinions, axis=0))


def judge_others(
    texts: Sequence[str], labels: Sequence[str], asked: Sequence[str], expected: Sequence[str]
) -> Opinion | None:
    """What the classifier trained on rows thinks of other rows, whose labels are all among them; None as above, or with none of these."""
    import numpy as np

    names = sorted(set(labels))
    if len(names) < 2 or not asked or not any(text.strip() for text in texts):
        return None
    vectoriser, rows = vectorise(texts)
    model = _classifier(len(names)).fit(rows, np.searchsorted(np.array(names), np.array(labels)))
    given = np.searchsorted(np.array(names), np.array(expected))
    return Opinion(names, given, np.asarray(model.predict_proba(vectoriser.transform(asked))))


def _classifier(labels: int) -> Any:
    """Two labels are one question, which one against the rest would ask twice."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier

    simple = LogisticRegression(solver="liblinear", C=10.0)
    return simple if labels == 2 else OneVsRestClassifier(simple)


def kept_rows(labels: Sequence[str]) -> list[int]:
    """Numbers of the rows whose label has enough rows to stand in every fold."""
    counts = Counter(labels)
    return [number for number, label in enumerate(labels) if counts[label] >= FOLDS]
