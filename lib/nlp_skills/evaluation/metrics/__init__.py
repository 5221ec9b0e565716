"""How good predictions are, by the name in task.yaml. One file a family, one row a metric."""

from __future__ import annotations

from nlp_skills.evaluation.metrics.answers import ANSWERS
from nlp_skills.evaluation.metrics.calibration import CALIBRATION
from nlp_skills.evaluation.metrics.classification import CLASSIFICATION
from nlp_skills.evaluation.metrics.code import CODE
from nlp_skills.evaluation.metrics.entity_scores import ENTITIES
from nlp_skills.evaluation.metrics.fields import FIELDS
from nlp_skills.evaluation.metrics.judge import JUDGE
from nlp_skills.evaluation.metrics.likelihood import LIKELIHOOD
from nlp_skills.evaluation.metrics.metric import Metric
from nlp_skills.evaluation.metrics.preference import PREFERENCE
from nlp_skills.evaluation.metrics.rouge import ROUGE
from nlp_skills.evaluation.metrics.tool_calls import TOOL_CALLS
from nlp_skills.evaluation.metrics.translation import TRANSLATION

METRICS: dict[str, Metric] = {
    **CLASSIFICATION,
    **CALIBRATION,
    **ANSWERS,
    **ENTITIES,
    **FIELDS,
    **ROUGE,
    **TRANSLATION,
    **CODE,
    **PREFERENCE,
    **JUDGE,
    **TOOL_CALLS,
    **LIKELIHOOD,
}
