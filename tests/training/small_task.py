"""A task that is trained in seconds: sample rows, a model of random weights (small_model.py)."""

from pathlib import Path

from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.sample import SUPPORT_MESSAGES
from nlp_skills.data.sources.source import DataSources
from nlp_skills.data.sourcing import add_source
from nlp_skills.task.task import TaskType, create_task
from nlp_skills.training.new_version import create_version
from small_model import save_small_model


def make_small_task(home: Path, name: str = "support", *, rows: int = 32, **settings: object) -> Path:
    """`home/name` with a version v1 that is not trained; `settings` are fields of config.yaml."""
    model = home.parent / "small-model"
    if not model.exists():
        save_small_model(model)
    create_task(home, name, type=TaskType.CLASSIFICATION, goal="Route the message.", instruction="Team?")
    task = home / name
    sources = DataSources.load(task / "data_source.yaml")
    split = {"train": rows, "valid": 8, "test": 8}
    sources.with_changes(split=split).save(task / "data_source.yaml")
    add_source(task, str(SUPPORT_MESSAGES), copy=True)
    regenerate_data(task)
    wanted = {"epochs": 1, "learning_rate": 5e-3, "threads": 1, "lora_r": 4, **settings}
    create_version(task, base_model=str(model), settings=wanted)
    return task
