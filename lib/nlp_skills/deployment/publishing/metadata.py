"""The part of a model card that the Hub reads: licence, base model, data sets, language, results.

https://huggingface.co/docs/hub/model-cards#model-card-metadata
"""

from __future__ import annotations

from typing import NamedTuple

from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.deployment.publishing.licences import Licensing
from nlp_skills.deployment.publishing.origin import Origin
from nlp_skills.evaluation.promotion import Promotion
from nlp_skills.evaluation.results import EvalResult
from nlp_skills.evaluation.verdict import capitalize, metric_name
from nlp_skills.task.task import Task, TaskType
from nlp_skills.task.version import Version
from nlp_skills.training.model_info import ModelInfo


class CardFacts(NamedTuple):
    """What a card is made from."""

    repo_id: str
    task: Task
    version: Version
    info: ModelInfo
    origin: Origin
    licensing: Licensing
    snapshot: DataSnapshot | None
    result: EvalResult | None
    """Measured of these weights; None: not measured."""
    result_missing: str
    """Why there is none."""
    system: str | None
    """The system prompt of the rows that it was trained on; None: they have none, or each its own."""
    system_is_known: bool
    """False: the rows are not here any more, and `system` is what the task says now."""
    promotion: Promotion | None
    """What was asked of it before it may go to users."""


LIBRARIES = {"adapter": "peft", "merged": "transformers"}
"""Of https://huggingface.co/docs/hub/models-libraries; GGUF files are known by their ending."""

_HUB_METRICS = {
    **dict.fromkeys(("macro_f1", "micro_f1", "weighted_f1", "token_f1", "entity_f1", "span_f1"), "f1"),
    **dict.fromkeys(("rouge_1", "rouge_2", "rouge_l"), "rouge"),
}
"""Metrics that have another id at https://huggingface.co/metrics."""

_KINDS = {
    TaskType.CLASSIFICATION: "text-classification",
    TaskType.ENTITY_CLASSIFICATION: "text-classification",
    TaskType.QA: "question-answering",
}
"""What was measured, in the Hub's words; the others are text-generation."""


def metadata(facts: CardFacts) -> str:
    """As YAML. Raises ValueError for what huggingface_hub does not take."""
    from huggingface_hub import EvalResult as HubResult
    from huggingface_hub import ModelCardData

    task, info, result = facts.task, facts.info, facts.result
    measured = result.metrics if result else {}
    kind = _KINDS.get(task.type, "text-generation")
    values = [
        HubResult(
            task_type=kind,
            dataset_type=task.name,
            dataset_name=f"{task.name} ({result.split} split)",
            dataset_split=result.split,
            metric_type=_HUB_METRICS.get(name, name),
            metric_name=capitalize(metric_name(name)),
            metric_value=round(found.value, 4),
            metric_args={"interval_95": [round(found.low, 4), round(found.high, 4)], "rows": result.count},
        )
        for name, found in measured.items()
        if result
    ]
    relation = "adapter" if info.format == "adapter" else "finetune"
    data = ModelCardData(
        language=_language(task.language),
        license=facts.licensing.license,
        license_name=facts.licensing.license_name,
        license_link=facts.licensing.license_link,
        library_name=LIBRARIES.get(info.format),
        pipeline_tag="text-generation",
        tags=[
            "nlp-skills",
            task.type.value.replace("_", "-"),
            facts.version.config["method"],
            *_format_tags(facts),
        ],
        base_model=facts.origin.hub_id,
        base_model_relation=relation if facts.origin.hub_id else None,
        datasets=list(facts.licensing.data) or None,
        metrics=sorted({value.metric_type for value in values}) or None,
        model_name=facts.repo_id.partition("/")[2],
        eval_results=values or None,
    )
    if not values:
        data.pop("model_name")
    return data.to_yaml()


def _format_tags(facts: CardFacts) -> list[str]:
    if facts.info.format == "gguf":
        return ["gguf", "conversational"]
    return [facts.version.config.get("peft", "lora")] if facts.info.format == "adapter" else []


def _language(language: str | None) -> str | None:
    """The Hub takes ISO 639 codes: zh-Hant is zh there."""
    return language.partition("-")[0].lower() if language else None
