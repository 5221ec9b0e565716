"""Results as people read them: one renderer for each record that an operation returns."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from rich.console import Console, RenderableType

from nlp_skills.records import Record
from nlp_skills.tables import (
    artefacts,
    behaviour,
    benchmarks,
    data,
    deployment,
    diagnosis,
    hub,
    jobs,
    judging,
    ollama,
    plan,
    preflight,
    quickstart,
    repeats,
    results,
    search,
    serving,
    sources,
    tasks,
    tokens,
    tool_use,
)


def show(record: Record) -> None:
    """Print a record to standard output."""
    # No markup, no emoji codes: a text of the user's that says "[/INST]" or ":tea:" is shown as it is.
    Console(highlight=False, markup=False, emoji=False).print(render(record), crop=False)


def render(record: Record) -> RenderableType:
    """The record as something that rich prints."""
    return RENDERERS[type(record).__name__](record)


RENDERERS: dict[str, Callable[[Any], RenderableType]] = {
    "TaskList": tasks.task_list,
    "Task": tasks.task,
    "TaskOverview": tasks.task_overview,
    "DataSnapshot": data.snapshot,
    "SnapshotList": data.snapshots,
    "Restored": data.restored,
    "FixReport": data.fixes,
    "ValidationReport": data.validation,
    "Diagnosis": diagnosis.diagnosis,
    "LearningCurve": diagnosis.learning_curve,
    "EvalResult": results.evaluation,
    "Comparison": results.comparison,
    "Judgement": judging.judgement,
    "Promotion": results.promotion,
    "TestSize": results.test_size,
    "Preview": sources.preview,
    "AddedSource": sources.added_source,
    "Outcome": quickstart.outcome,
    "Examples": quickstart.examples,
    "Report": tasks.report,
    "Version": results.version,
    "Plan": plan.plan,
    "StartingPlan": plan.starting,
    "Advice": plan.advice,
    "TokenPreview": tokens.token_preview,
    "JobList": jobs.job_list,
    "TrainingStatus": jobs.status,
    "TrainingLog": jobs.training_log,
    "PreflightReport": preflight.preflight,
    "SearchReport": search.search,
    "CrossValidation": repeats.cross_validation,
    "Reproduction": repeats.reproduction,
    "ToolUseResult": tool_use.tool_use,
    "ContextCost": tool_use.context,
    "BehaviourResult": behaviour.behaviour,
    "HubUpload": hub.upload,
    "BenchmarkResult": benchmarks.benchmark,
    "ModelInfo": artefacts.model,
    "ArtefactList": artefacts.artefacts,
    "OllamaModels": ollama.models,
    "OllamaModel": ollama.model,
    "OllamaDetails": ollama.details,
    "OllamaRemoval": ollama.removal,
    "OllamaStatus": ollama.status,
    "OllamaCreation": ollama.creation,
    "Recommendation": ollama.recommendation,
    "Generation": ollama.generation,
    "Code": ollama.code,
    "ParityReport": deployment.parity,
    "DeployedVersion": deployment.deployed,
    "AliasMove": deployment.alias_move,
    "AliasList": deployment.aliases,
    "Served": serving.served,
    "Chatted": serving.chatted,
    "Predicted": serving.predicted,
}
"""By the record's name, so that nothing is imported that is not shown."""
