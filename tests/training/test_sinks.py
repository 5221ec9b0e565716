"""Sinks get what metrics.jsonl gets, and one that fails or is absent costs no run."""

import sqlite3
import time
from importlib.util import find_spec
from pathlib import Path

import pytest
from small_task import make_small_task

from nlp_skills.errors import NotReady
from nlp_skills.task.version import version_names
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.environment import Stopwatch
from nlp_skills.training.new_version import create_version
from nlp_skills.training.preflight.machine_faults import machine_findings
from nlp_skills.training.run.metrics_log import read_metrics
from nlp_skills.training.sinks import require_sinks
from nlp_skills.training.train import train_model
from nlp_skills.training.train_log import training_log


@pytest.fixture(autouse=True)
def own_places(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NLP_SKILLS_QUEUE", str(tmp_path / "queue"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.delenv("TRACKIO_DIR", raising=False)


def test_trackio_gets_every_loss_in_the_task_folder(tmp_path: Path) -> None:
    task = make_small_task(tmp_path / "tasks", report_to=["trackio"])
    train_model(task)
    with sqlite3.connect(task / "tracking" / "trackio" / "support.db") as database:
        rows = database.execute(
            "select json_extract(metrics, '$.\"train/global_step\"'), json_extract(metrics, '$.\"train/loss\"')"
            " from metrics where run_name = 'v1' order by id"
        ).fetchall()
    database.close()
    expected = [
        (row["step"], row["loss"])
        for row in read_metrics(task / "versions/v1/metrics.jsonl")
        if "loss" in row
    ]
    assert [row for row in rows if row[1] is not None] == expected


def test_sink_that_fails_is_left_out_and_the_run_succeeds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKIO_SERVER_URL", "127.0.0.1:9")
    task = make_small_task(tmp_path / "tasks", report_to=["trackio"])
    assert train_model(task).cost["seconds"] > 0
    told = [line for line in training_log(task).lines if "INFO report_to: trackio failed" in line]
    assert len(told) == 1
    assert "metrics.jsonl has it all" in told[0]


@pytest.mark.skipif(find_spec("mlflow") is not None, reason="MLflow is installed here")
def test_sink_that_is_not_installed_is_refused_before_there_is_a_version(tmp_path: Path) -> None:
    task = make_small_task(tmp_path / "tasks")
    with pytest.raises(NotReady, match="uv pip install mlflow"):
        create_version(task, settings={"report_to": ["mlflow"]})
    assert version_names(task) == ["v1"]
    require_sinks(["trackio"])
    found = list(machine_findings(TrainConfig(report_to=["trackio", "mlflow"])))
    assert [(f.check, f.level, f.message) for f in found] == [
        ("ENV-DOCTOR", "error", "report_to names mlflow, which is not installed here.")
    ]


def test_waiting_for_a_sink_is_no_time_of_the_run() -> None:
    stopwatch = Stopwatch(100.0)
    with stopwatch.stopped():
        before = stopwatch.seconds()
        ended = time.monotonic() + 0.05
        while time.monotonic() < ended:
            pass
        waited = stopwatch.seconds() - before
    assert waited >= 0.05
    assert stopwatch.seconds() < before + waited
