"""The Modelfile of a version: TEMPLATE and stop tokens from its own chat template, settings as it was evaluated with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec

from nlp_skills.base_model import BaseModelFiles, load_tokenizer
from nlp_skills.data.example import read_examples
from nlp_skills.deployment.artefact import TRAINED, artefact
from nlp_skills.deployment.go_template.modelfile import Modelfile, modelfile
from nlp_skills.task.task import Task, TaskType
from nlp_skills.task.version import version_folder
from nlp_skills.training.config import TrainConfig

SMALLEST_WINDOW = 4096

ENOUGH_TOOLS = 32
"""Schemas that show how the rows write theirs."""


def version_modelfile(task: Path, version: str, weights: Path, *, system: str | None = None) -> Modelfile:
    """The Modelfile of a version: its own chat template, the settings it was evaluated with, a window for its rows.

    Raises NotValid for a chat template that a Go template cannot equal.
    """
    config = TrainConfig.load(version_folder(task, version) / "config.yaml")
    trained, info = artefact(task, version, TRAINED)
    tokenizer = load_tokenizer(BaseModelFiles(name=info.path, path=str(trained)))
    return modelfile(
        tokenizer,
        f"./{weights.name}",
        tools=False if config.tools_in_prompt else shown_tools(task),
        thinking=config.enable_thinking,
        system=system,
        parameters=settings(config.max_length),
    )


def settings(max_length: int) -> dict[str, Any]:
    """Greedy, as the version was evaluated, and room for a row of the longest kind with its answer.

    Ollama's own are temperature 0.8 and, in older ones, a penalty of 1.1 on what was said before.
    """
    window = max(SMALLEST_WINDOW, 1 << (2 * max_length - 1).bit_length())
    return {"temperature": 0, "repeat_penalty": 1, "num_ctx": window}


def shown_tools(task: Path) -> list[dict[str, Any]] | bool:
    """The tools of the task's rows, each once; without any, whether the kind of the task asks for tools at all."""
    rows = task / "data" / "train.jsonl"
    found: dict[bytes, dict[str, Any]] = {}
    for example in read_examples(rows) if rows.is_file() else ():
        found |= {msgspec.json.encode(tool): tool for tool in example.tools or ()}
        if len(found) >= ENOUGH_TOOLS:
            break
    return list(found.values())[:ENOUGH_TOOLS] or Task.load(task / "task.yaml").type is TaskType.TOOL_USE
