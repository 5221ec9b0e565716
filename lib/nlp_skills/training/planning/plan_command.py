"""The command that makes the version of a plan: everything in which the plan differs from what a new version inherits."""

from __future__ import annotations

import inspect
import json
import shlex
from pathlib import Path
from typing import Any

import yaml

from nlp_skills.task.task import Task
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.defaults import with_defaults
from nlp_skills.training.new_version import create_version, starting_point

COMPUTED = ("replay_sha256", "rewards_sha256")
"""create_version writes them itself."""


def plan_command(task: Path, definition: Task, config: TrainConfig, rows: int) -> str:
    """`nlp-skills create-version …`; `rows`: of training."""
    _, before = starting_point(task, definition, rows)
    asked = needed_settings(before, config, rows)
    if "base_model" in asked:
        # A version that is named as base_model is the parent too, with settings of its own.
        _, before = starting_point(task, definition, rows, base_model=config.base_model)
        asked = {**needed_settings(before, config, rows), "base_model": config.base_model}
    named = inspect.signature(create_version).parameters
    words = ["nlp-skills", "create-version", task.name]
    for setting, value in asked.items():
        if setting in named:
            words += [f"--{setting.replace('_', '-')}", str(value)]
        else:
            words += ["--settings", f"{setting}={_as_yaml(value)}"]
    return shlex.join(words)


def needed_settings(before: TrainConfig, wanted: TrainConfig, rows: int) -> dict[str, Any]:
    """What has to be said so that with_defaults makes `wanted` of `before`.

    What is said changes other fields along with it, which have to be said too where that is not what is wanted.
    """
    goal = {k: v for k, v in wanted.model_dump(mode="json").items() if k not in COMPUTED}
    old = before.model_dump(mode="json")
    asked = {field: value for field, value in goal.items() if value != old[field]}
    found = with_defaults(before, asked, rows).model_dump(mode="json")
    return {field: value for field, value in goal.items() if field in asked or found[field] != value}


def _as_yaml(value: Any) -> str:
    """As `--settings` reads it: text in quotes only where YAML would take it for something else."""
    if isinstance(value, str) and yaml.safe_load(value) == value:
        return value
    return json.dumps(value)
