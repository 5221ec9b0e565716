"""How good predictions are, by the name in task.yaml. One file a family, one row a metric."""

from __future__ import annotations

from nlp_skills.evaluation.metrics.answers import ANSWERS
from nlp_skills.evaluation.metrics.classification import CLASSIFICATION
from nlp_skills.evaluation.metrics.metric import Metric

METRICS: dict[str, Metric] = {**CLASSIFICATION, **ANSWERS}
