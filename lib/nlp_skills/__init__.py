"""nlp-skills as a library: `from nlp_skills import LoRATrainer, PresetConfigs, load_training_data`.

    rows = load_training_data("reviews.csv")
    adapter = LoRATrainer(PresetConfigs.rtx_3060(), name="reviews").train(rows)

Whole tasks, with checks, versions and reports, are made with the operations (create_task …), which
are the commands too. A name is imported when it is used, so `import nlp_skills` costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nlp_skills.cli import app
    from nlp_skills.data.prepare import load_training_data, prepare_dataset
    from nlp_skills.data.regenerate import regenerate_data
    from nlp_skills.data.sourcing import add_source
    from nlp_skills.data.validation import validate_data
    from nlp_skills.evaluation.compare import compare_versions
    from nlp_skills.evaluation.evaluate import evaluate_version
    from nlp_skills.evaluation.report import write_report
    from nlp_skills.task.index import list_tasks
    from nlp_skills.task.task import Task, TaskType, create_task
    from nlp_skills.training.config import LoRAConfig, TrainConfig
    from nlp_skills.training.config import TrainConfig as TrainingConfig
    from nlp_skills.training.new_version import create_version
    from nlp_skills.training.presets import PresetConfigs
    from nlp_skills.training.train import train_model
    from nlp_skills.training.trainer import LoRATrainer

    __version__: str

__all__ = [
    "LoRAConfig",
    "LoRATrainer",
    "PresetConfigs",
    "Task",
    "TaskType",
    "TrainConfig",
    "TrainingConfig",
    "__version__",
    "add_source",
    "app",
    "compare_versions",
    "create_task",
    "create_version",
    "evaluate_version",
    "list_tasks",
    "load_training_data",
    "prepare_dataset",
    "regenerate_data",
    "train_model",
    "validate_data",
    "write_report",
]

_PLACES = {
    "LoRAConfig": "training.config",
    "LoRATrainer": "training.trainer",
    "PresetConfigs": "training.presets",
    "Task": "task.task",
    "TaskType": "task.task",
    "TrainConfig": "training.config",
    "TrainingConfig": "training.config:TrainConfig",
    "add_source": "data.sourcing",
    "app": "cli",
    "compare_versions": "evaluation.compare",
    "create_task": "task.task",
    "create_version": "training.new_version",
    "evaluate_version": "evaluation.evaluate",
    "list_tasks": "task.index",
    "load_training_data": "data.prepare",
    "prepare_dataset": "data.prepare",
    "regenerate_data": "data.regenerate",
    "train_model": "training.train",
    "validate_data": "data.validation",
    "write_report": "evaluation.report",
}
"""Name → module, and the name there where it is another."""


def __getattr__(name: str) -> Any:
    """Import a name of `__all__` when it is asked for the first time (PEP 562)."""
    if name == "__version__":
        from importlib.metadata import version

        found: Any = version("nlp-skills")
    elif name in _PLACES:
        from importlib import import_module

        module, _, there = _PLACES[name].partition(":")
        found = getattr(import_module(f"nlp_skills.{module}"), there or name)
    else:
        raise AttributeError(f"module 'nlp_skills' has no attribute {name!r}")
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
