"""Tables fit a terminal of 80 columns, and hold no column that is empty."""

import io
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from nlp_skills.data.history import KeptSnapshot, SnapshotList
from nlp_skills.pipeline import Outcome
from nlp_skills.records import Record
from nlp_skills.tables import render
from nlp_skills.tables.grid import table
from nlp_skills.tables.results import told_settings
from nlp_skills.task.comparison import Comparison
from nlp_skills.task.index import TaskList
from nlp_skills.task.summary import TaskSummary
from nlp_skills.task.task import Task, TaskType
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job_table import JobLine, JobList
from nlp_skills.training.overview import TaskOverview, VersionOverview
from nlp_skills.training.status import TrainingStatus


def lines(record: Record) -> list[str]:
    console = Console(width=80, highlight=False, markup=False, record=True, file=io.StringIO())
    console.print(render(record), crop=False)
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


def test_after_uv_run_the_closing_words_say_how_the_commands_are_found(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    ended = Outcome(
        task="t", folder="tasks/t", scores=[], advice="", report="", seconds=61, next=["See: nlp-skills list"]
    )
    monkeypatch.delenv("UV_RUN_RECURSION_DEPTH", raising=False)
    assert lines(ended)[-1] == "  See: nlp-skills list"
    monkeypatch.setenv("UV_RUN_RECURSION_DEPTH", "1")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / ".venv"))
    way = r".venv\Scripts\activate" if os.name == "nt" else "source .venv/bin/activate"
    assert lines(ended)[-1] == f"  For these commands, once in each terminal: {way}"


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


def test_a_table_that_is_too_wide_breaks_no_name_and_says_what_it_left_out():
    name = "headline-sentiment-zh-hant-2026"
    found = TaskList(
        home="tasks", tasks=[summary(name, TaskType.ENTITY_CLASSIFICATION, target=0.8, latest="v12")]
    )
    assert lines(found) == [
        "task                             type                   status  latest  metric",
        f"{name}  entity_classification  active  v12     macro_f1",
        "No room for: target (in a wider terminal, or with --json)",
    ]
    line = {"task": "t" * 63, "version": "folds-1a2b3c4d/fold-3", "target": "lab", "started": "2026-11-21"}
    waiting = JobLine.parse({**line, "status": "queued", "place": 2, "behind": ["tickets v3"]}, "a line")
    shown = lines(JobList(jobs=[waiting]))
    assert shown[1] == f"{'t' * 63}  folds-1a2b3c4d/fold-3  queued", "rather longer than the terminal"
    assert " ".join(shown[-2:]).endswith("waits for tickets v3, place 2 in the queue")


def test_a_table_wraps_text_between_its_words_and_folds_only_what_is_longer_than_the_terminal():
    made = table("name", "says")
    made.add_row("a", "word " * 30 + "w" * 90)
    console = Console(width=40, file=io.StringIO())
    with console.capture() as told:
        console.print(made)
    words = told.get().split()
    assert words.count("word") == 30 and "".join(words[33:]) == "w" * 90


def test_a_run_is_told_in_lines():
    found = TrainingStatus(
        task="tickets",
        version="v3",
        status="running",
        step=120,
        total_steps=375,
        epoch=0.96,
        loss=0.4123,
        eval_loss=0.398,
        seconds=130,
        seconds_left=300,
        warnings=["RUN-STALL: the loss does not fall"],
        log="versions/v3/train.log",
        next="Ask again: nlp-skills training-status tickets --version v3",
    )
    assert lines(found) == [
        "v3 of tickets: running",
        "step 120 of 375, epoch 0.96",
        "loss 0.412, validation loss 0.398",
        "2.2 minutes so far, about 5 minutes left",
        "RUN-STALL: the loss does not fall",
        "",
        "Ask again: nlp-skills training-status tickets --version v3",
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


def test_a_version_of_a_task_shows_the_metric_that_decides():
    task = Task(name="news", type=TaskType.QA, goal="g", metric="token_f1", created="2026-11-21")
    results = {"exact_match": 0.5, "token_f1": 0.61234}
    versions = [VersionOverview(version="v1", training="succeeded", results=results)]
    shown = lines(
        TaskOverview(task=task, folder="tasks/news", validation="passed", versions=versions, next="Go on")
    )
    assert [line.split() for line in shown if line.startswith("v1")] == [
        ["v1", "succeeded", "token_f1", "0.612"]
    ]


def test_a_comparison_tells_in_words_what_was_measured_beside_it_and_nothing_of_what_cost_nothing():
    figures = {"latency_p50_ms": (40.0, 52.5), "memory_mb": (1900.0, 1922.4), "usd": (0.0, 0.0)}
    shown = lines(Comparison(task="news", a="v1", b="v2", reason="too few rows", figures=figures))
    assert "Measured beside it: median latency in ms 40 → 52.5; memory in MB 1,900 → 1,922" in shown
