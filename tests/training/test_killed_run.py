"""A run that is killed at any moment goes on where it was and ends as if nothing had happened.

NLP_SKILLS_KILLS sets how often it is killed (3 by default; 10 for the figure in docs/benchmarks.md).
"""

import json
import os
import random
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_task import make_small_task

from nlp_skills.task.version import Version, derive_lineage
from nlp_skills.training.job import is_running, read_job
from nlp_skills.training.model_info import ModelInfo
from nlp_skills.training.run.metrics_log import read_metrics
from nlp_skills.training.status import training_status
from nlp_skills.training.targets.local import start_run
from nlp_skills.training.train import start_training, stop_training, train_model

KILLS = int(os.environ.get("NLP_SKILLS_KILLS", "3"))

STEPS = 40

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def untrained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task with 32 training rows and a version of 40 steps that saves every second one."""
    home = tmp_path_factory.mktemp("home") / "tasks"
    return make_small_task(home, epochs=10, save_steps=2)


@pytest.fixture(scope="module")
def undisturbed(untrained: Path) -> Path:
    """The same task, trained without a disturbance."""
    task = copy(untrained, "undisturbed")
    train_model(task)
    return task


def copy(task: Path, name: str) -> Path:
    return Path(shutil.copytree(task, task.parent.parent / name / task.name))


def whole_files(task: Path) -> None:
    """Every file under its final name can be read; only hidden temporary files may be cut off."""
    for path in task.rglob("*"):
        if not path.is_file() or any(part.startswith(".") for part in path.relative_to(task).parts):
            continue
        if path.suffix == ".json":
            json.loads(path.read_bytes())
        elif path.suffix == ".yaml":
            yaml.safe_load(path.read_bytes())
        elif path.suffix == ".jsonl":
            assert path.read_bytes()[-1:] in (b"\n", b""), path
            for line in path.read_bytes().splitlines():
                json.loads(line)
        elif path.suffix == ".safetensors":
            from safetensors import safe_open

            with safe_open(path, framework="pt") as tensors:
                assert list(tensors.keys()), path
    for checkpoint in (task / "models" / "v1" / "checkpoints").glob("checkpoint-*"):
        names = {p.name for p in checkpoint.iterdir()}
        assert {"adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth"} <= names
        assert "trainer_state.json" in names


def values(task: Path) -> list[dict[str, Any]]:
    """The run's metrics without the clock."""
    rows = read_metrics(task / "versions" / "v1" / "metrics.jsonl")
    return [{key: value for key, value in row.items() if key != "seconds"} for row in rows]


def test_run_killed_at_random_moments_ends_as_an_undisturbed_one(untrained: Path, undisturbed: Path) -> None:
    task = copy(untrained, "killed")
    folder = task / "versions" / "v1"
    chance = random.Random(7)
    for _ in range(KILLS):
        process = start_run(task, folder)
        wanted = chance.randrange(0, STEPS)
        until_step(process, folder, wanted)
        try:
            process.wait(timeout=chance.random() * 2)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        whole_files(task)
    job = read_job(folder)
    if job is None or job.status != "succeeded":
        train_model(task)
    whole_files(task)
    assert_close(task, undisturbed)
    info, expected = (ModelInfo.load(t / "versions" / "v1" / "model_info.json") for t in (task, undisturbed))
    assert info == expected
    lineage = Version.load(folder / "lineage.yaml")
    assert lineage == derive_lineage(folder, "v1", lineage.created, None, lineage.changes)


def until_step(process: subprocess.Popen[Any], folder: Path, step: int) -> None:
    """Wait until the run has logged a step, or has ended."""
    while process.poll() is None:
        rows = read_metrics(folder / "metrics.jsonl")
        if rows and rows[-1]["step"] >= step:
            return
        try:
            process.wait(timeout=0.05)
        except subprocess.TimeoutExpired:
            continue


def assert_close(a: Path, b: Path) -> None:
    """Row by row the same keys, and numbers within 1e-4."""
    rows_a, rows_b = values(a), values(b)
    assert [list(row) for row in rows_a] == [list(row) for row in rows_b]
    for x, y in zip(rows_a, rows_b, strict=True):
        assert x == pytest.approx(y, abs=1e-4)


def test_stopped_run_says_so_and_goes_on_later(untrained: Path, undisturbed: Path) -> None:
    task = copy(untrained, "stopped")
    folder = task / "versions" / "v1"
    start_training(task, confirm=True)
    while not is_running(folder) or not read_metrics(folder / "metrics.jsonl"):
        assert training_status(task).status in ("queued", "running")
    stopped = stop_training(task)
    assert (stopped.status, is_running(folder)) == ("cancelled", False)
    trained = train_model(task)
    assert trained.cost["seconds"] > 0
    assert values(task)[-1] == pytest.approx(values(undisturbed)[-1], abs=1e-4)


def test_an_interrupted_training_is_cancelled_and_leaves_no_process(untrained: Path) -> None:
    task = copy(untrained, "interrupted")

    def interrupt(message: str, done: float, total: float | None) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train_model(task, progress=interrupt)
    folder = task / "versions" / "v1"
    assert (training_status(task).status, is_running(folder)) == ("cancelled", False)
    assert training_status(task).next == "Train it: nlp-skills train-model support --version v1"
