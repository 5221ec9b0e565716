"""Preferences: does the model find the better answer more probable than the worse one?

A row's choices are `chosen` and `rejected`, its scores their probabilities or log-probabilities under the model.
"""

from __future__ import annotations

from collections.abc import Sequence

from nlp_skills.evaluation.metrics.metric import Metric, mean
from nlp_skills.evaluation.results import Prediction

CHOSEN, REJECTED = "chosen", "rejected"


def has_choices(rows: Sequence[Prediction]) -> bool:
    """Whether both answers of every row were scored."""
    return bool(rows) and all({CHOSEN, REJECTED} <= (row.scores or {}).keys() for row in rows)


def _prefers_chosen(row: Prediction) -> float:
    """1 for the better answer; equal scores are no preference, as in TRL's rewards/accuracies."""
    scores = row.scores or {}
    return float(scores[CHOSEN] > scores[REJECTED])


PREFERENCE: dict[str, Metric] = {
    "preference_accuracy": mean("preference accuracy", _prefers_chosen, applies=has_choices),
}
