"""A task whose v1 was trained and measured for real, where conversations begin that have a version already.

It is made once, by the operations, and kept in the cache; each conversation gets a copy.
"""

import hashlib
from pathlib import Path

from nlp_skills.base_model import BaseModelFiles, cache_folder
from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.sources.source import DataSources
from nlp_skills.data.sourcing import add_source
from nlp_skills.data.validation import validate_data
from nlp_skills.evaluation.evaluate import evaluate_version
from nlp_skills.records import sha256_file
from nlp_skills.task.task import TaskType, create_task
from nlp_skills.training.new_version import create_version
from nlp_skills.training.train import train_model


def kept_folder(smollm2: BaseModelFiles, table: str) -> Path:
    """Where what was trained for the conversations is kept: made otherwise it is another folder."""
    made_of = f"{smollm2.weights_sha256} {sha256_file(Path(__file__))} {table}"
    return cache_folder() / "tests" / f"conversations-{hashlib.sha256(made_of.encode()).hexdigest()[:16]}"


def train_tickets(project: Path, table: str) -> None:
    """The task `tickets` as its v1 left it: checked data, a few real steps, measured beside its baselines."""
    (project / "tickets.csv").write_text(table, encoding="utf-8")
    create_task(
        project / "tasks",
        "tickets",
        type=TaskType.CLASSIFICATION,
        goal="Send each message to the team that answers it",
        pain="One message in four goes to the wrong team",
        language="en",
        labels=["cards", "transfers", "top-up"],
        metric="macro_f1",
        target=0.9,
    )
    task = project / "tasks" / "tickets"
    sources = DataSources.load(task / "data_source.yaml")
    sources.with_changes(split={"train": 24, "valid": 12, "test": 24}).save(task / "data_source.yaml")
    add_source(task, str(project / "tickets.csv"), copy=True)
    regenerate_data(task)
    validate_data(task)
    create_version(task, epochs=1, learning_rate=5e-4, settings={"threads": 1})
    train_model(task)
    evaluate_version(task)
