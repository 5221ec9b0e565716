"""What an extraction is made of, each with its own scores: types of entities, or fields."""

from __future__ import annotations

from collections.abc import Sequence

from nlp_skills.evaluation.metrics.entity_scores import expect_entities, per_type
from nlp_skills.evaluation.metrics.fields import per_field
from nlp_skills.evaluation.metrics.json_values import expect_structures
from nlp_skills.evaluation.results import LabelScore, Prediction


def per_part(rows: Sequence[Prediction]) -> dict[str, LabelScore]:
    """Precision, recall and F1 of each type or field; empty where the right answers have neither."""
    if expect_entities(rows):
        return per_type(rows)
    return per_field(rows) if expect_structures(rows) else {}
