"""A task with a version whose weights are a few thousand random ones: for what an evaluation does, not for what it finds."""

from pathlib import Path
from typing import Any

from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.sources.source import DataSources
from nlp_skills.data.sourcing import add_source
from nlp_skills.records import sha256_tree, to_json, write_lines
from nlp_skills.task.task import TaskType, create_task
from nlp_skills.training.model_info import ModelInfo
from nlp_skills.training.new_version import create_version
from small_model import save_small_model


def make_version(home: Path, type: TaskType, rows: list[dict[str, Any]], **settings: Any) -> Path:
    """The task's folder, with data of these rows and v1, "trained" to other random weights."""
    base = save_small_model(home / "base")
    write_lines(home / "rows.jsonl", (b" ".join(to_json(row).split(b"\n")) for row in rows))
    create_task(home / "tasks", "small", type=type, goal="g", base_model=str(base))
    task = home / "tasks" / "small"
    sources = DataSources.load(task / "data_source.yaml")
    sources.with_changes(split={"valid": 0.1, "test": 0.4}).save(task / "data_source.yaml")
    add_source(task, str(home / "rows.jsonl"))
    regenerate_data(task)
    create_version(task, **settings)
    weights = save_small_model(task / "models" / "v1" / "model", seed=2)
    ModelInfo(
        path="models/v1/model",
        format="merged",
        sha256=sha256_tree(weights),
        base_model=str(base),
        chat_template_sha256="",
        trainable_parameters=1,
        total_parameters=1,
    ).save(task / "versions" / "v1" / "model_info.json")
    return task
