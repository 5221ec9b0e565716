"""Tables fit a terminal of 80 columns, and hold no column that is empty."""

import io
from typing import Any

import pytest
from rich.console import Console

from nlp_skills.data.history import KeptSnapshot, SnapshotList
from nlp_skills.records import Record
from nlp_skills.tables import render
from nlp_skills.tables.results import told_settings
from nlp_skills.task.index import TaskList
from nlp_skills.task.summary import TaskSummary
from nlp_skills.task.task import Task, TaskType
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.overview import TaskOverview, VersionOverview


def lines(record: Record) -> list[str]:
    console = Console(width=80, highlight=False, markup=False, record=True, file=io.StringIO())
    console.print(render(record))
    return [line.rstrip() for line in console.export_text().splitlines()]


def kept(name: str, **more: Any) -> KeptSnapshot:
    rows = {"train": 70_000, "valid": 15_000, "test": 15_000}
    return KeptSnapshot(
        name=name, date="2026-11-21T15:20:10Z", rows=rows, source_hash="ab" * 32, versions=[], **more
    )


def test_a_snapshot_is_a_line():
    name = "2026-11-21T15-20-10Z-0a1b2c3d"
    shown = lines(SnapshotList(task="t", snapshots=[kept("present"), kept(name)]))
    assert shown == [
        "snapshot                       fetched (UTC)      train   valid    test",
        "present                        2026-11-21 15:20  70,000  15,000  15,000",
        f"{name}  2026-11-21 15:20  70,000  15,000  15,000",
        "",
        "Bring one back with: nlp-skills restore-data t SNAPSHOT",
    ]
    assert "state" in lines(SnapshotList(task="t", snapshots=[kept("present", edited=True)]))[0]


def summary(name: str, type: TaskType, **more: Any) -> TaskSummary:
    fields = {
        "latest": None,
        "best": None,
        "best_value": None,
        "latest_value": None,
        "versions": 0,
        "target": None,
    }
    given = {"goal": "g", "status": "active", "metric": "macro_f1", "updated": "now", **fields, **more}
    return TaskSummary(name=name, type=type, **given)


def test_a_list_of_tasks_leaves_out_what_nobody_has_and_breaks_no_type():
    found = TaskList(
        home="tasks",
        tasks=[
            summary("headline-sentiment", TaskType.ENTITY_CLASSIFICATION, target=0.8),
            summary("tickets", TaskType.CLASSIFICATION),
        ],
    )
    assert lines(found) == [
        "task                type                   status  metric    target",
        "headline-sentiment  entity_classification  active  macro_f1     0.8",
        "tickets             classification         active  macro_f1",
    ]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {},
            "method sft, peft lora, lora_r 16, epochs 3.0, learning_rate 0.0002, per_device_train_batch_size 8",
        ),
        (
            {"peft": "none", "weight_decay": 0.1},
            "method sft, peft none, epochs 3.0, learning_rate 0.0002, per_device_train_batch_size 8, weight_decay 0.1",
        ),
    ],
)
def test_a_version_shows_what_was_chosen_and_not_every_default(changed: dict[str, Any], said: str):
    told = told_settings(TrainConfig(base_model="m", **changed).model_dump(mode="json"))
    assert ", ".join(f"{name} {value}" for name, value in told.items()) == f"base_model m, {said}"


def test_a_version_of_a_task_stands_beside_the_aliases_that_name_it():
    task = Task(
        name="news", type=TaskType.QA, goal="g", base_model="smollm2-135m-instruct", created="2026-11-21"
    )
    versions = [VersionOverview(version=name, training="succeeded") for name in ("v1", "v2")]
    overview = TaskOverview(
        task=task,
        folder="tasks/news",
        validation="passed",
        versions=versions,
        aliases={"prod": "v1"},
        next="Go on",
    )
    shown = lines(overview)
    assert [line.split()[:2] for line in shown if line.startswith("v")] == [
        ["version", "from"],
        ["v1", "(prod)"],
        ["v2", "succeeded"],
    ]
