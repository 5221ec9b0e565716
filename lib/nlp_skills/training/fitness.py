"""Whether settings fit the task, its data and this machine: asked when a version is made, before anything is loaded."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path

from nlp_skills.data.report import Finding
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.errors import NotValid, counted
from nlp_skills.task.task import Task, TaskType
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.defaults import FEW_ROWS, default_learning_rate
from nlp_skills.training.methods import METHODS
from nlp_skills.training.methods.arguments import steps_per_epoch, total_steps
from nlp_skills.training.preflight.trainable_model import require_separating_attention, require_target_modules
from nlp_skills.training.row_kinds import require_learnable
from nlp_skills.training.version_model import is_version

OF_PAIRS = ("dpo", "orpo", "kto")
HIGH = 25
"""Times the usual learning rate and more are warned of (measured: docs/benchmarks.md, "Learning rates")."""


def require_fit(task: Path, definition: Task, config: TrainConfig, snapshot: DataSnapshot) -> None:
    """Raises NotValid with the reason when the settings cannot be trained, or not as they are meant."""
    _require_method(task.name, definition.type, config)
    _require_tools_where_judged(task.name, definition.type, config)
    require_learnable(task, definition, config)
    _require_validation(task.name, config, snapshot)
    if config.packing:
        require_separating_attention()
    if isinstance(config.target_modules, list) and not is_version(task, config.base_model):
        require_target_modules(config)


def _require_method(name: str, kind: TaskType, config: TrainConfig) -> None:
    method = config.method
    if method not in METHODS:
        raise NotValid(
            f"{name}: there is no method {method} in this release. Choose from: {', '.join(METHODS)}."
        )
    if kind is TaskType.PREFERENCE and method not in OF_PAIRS:
        raise NotValid(
            f"{name}: preference pairs cannot be trained with {method}. Choose one of {', '.join(OF_PAIRS)}, or train"
            " on the chosen answers as a generation task."
        )
    if kind is not TaskType.PREFERENCE and method in OF_PAIRS:
        raise NotValid(
            f"{name}: {method} learns from better and worse answers, and a {kind.value} task has one answer in a row."
            " Choose sft, or make a task of type preference."
        )
    if method == "cpt" and kind is not TaskType.GENERATION:
        raise NotValid(
            f"{name}: cpt learns plain text, which is what a generation task takes; this is a {kind.value} task."
            " Choose sft."
        )


def _require_tools_where_judged(name: str, kind: TaskType, config: TrainConfig) -> None:
    if config.tools_in_prompt and kind is not TaskType.TOOL_USE:
        raise NotValid(
            f"{name}: tools_in_prompt is for tool_use tasks; this is a {kind.value} task. Leave it out."
        )


def _require_validation(name: str, config: TrainConfig, snapshot: DataSnapshot) -> None:
    """What goes by the validation loss needs validation rows, and enough looks at them."""
    if config.keep == "last" and config.early_stopping_patience is None:
        return
    valid = snapshot.splits.get("valid")
    if valid is None or not valid.count:
        raise NotValid(
            f"{name}: keep: best and early_stopping_patience go by the validation loss, and there are no validation"
            " rows. Set split.valid in data_source.yaml."
        )
    patience, rows = config.early_stopping_patience, snapshot.splits["train"].count
    looks = math.ceil(total_steps(config, rows) / (config.eval_steps or steps_per_epoch(config, rows)))
    if patience is not None and patience >= looks and config.method != "cpt":
        raise NotValid(
            f"{name}: a patience of {counted(patience, 'evaluation')} never ends a run of {looks}. Take more epochs, a smaller"
            " patience, or eval_steps."
        )


def rate_findings(config: TrainConfig) -> Iterator[Finding]:
    """RUN-DIVERGE: a learning rate that is far above what the method and the adapter usually take."""
    usual = default_learning_rate(config.method, config.peft, FEW_ROWS)
    if config.learning_rate > HIGH * usual:
        yield Finding(
            check="RUN-DIVERGE",
            level="warning",
            message=f"learning_rate {config.learning_rate:g} is {config.learning_rate / usual:,.0f} times what {config.method} with"
            f" {config.peft} usually takes ({usual:g}), and may destroy the model.",
            count=0,
            fix="Make a version with a smaller --learning-rate",
        )
