"""Where a run stands, read from what it has written so far: job.json, metrics.jsonl, its lock."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from nlp_skills.errors import NotReady
from nlp_skills.records import Record, read_mapping
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.eta import seconds_left
from nlp_skills.training.job import Job, read_job
from nlp_skills.training.present_job import as_it_is, followed_version
from nlp_skills.training.queue import Waiting, waiting
from nlp_skills.training.run.metrics_log import last_value, read_metrics
from nlp_skills.training.targets import load_target

MEASURED = (
    "eval_loss",
    "eval_rewards/accuracies",
    "eval_rewards/margins",
    "eval_reward",
    "rewards/accuracies",
    "reward",
)
"""Figures of metrics.jsonl by which a run is judged while it has no results: losses, pairs in the right order, rewards."""


class TrainingStatus(Record):
    """Where a run stands."""

    task: str
    version: str
    status: str
    target: str = "local"
    """Where it runs: the name in configs/targets.yaml, or local."""
    waiting: Waiting | None = None
    """Its place in the queue of the machine, while another run has the device."""
    step: int
    total_steps: int | None = None
    epoch: float | None = None
    loss: float | None = None
    eval_loss: float | None = None
    measured: dict[str, float] = {}
    """The newest of each figure beside the loss: the share of pairs in the right order, the reward."""
    seconds: float | None = None
    seconds_left: float | None = None
    warnings: list[str] = []
    adjustments: list[str] = []
    error: str | None = None
    log: str
    next: str


def training_status(task: Path, *, version: str | None = None) -> TrainingStatus:
    """How far a run is, its last losses and the time it still takes; a run that was killed is "failed".

    Asks the target where the run is elsewhere, and brings the model here when it has ended there.
    """
    folder = followed_version(task, version)
    job = read_job(folder)
    if job is None:
        raise NotReady(
            f"{task.name} {folder.name} has not been trained. Start with: nlp-skills train-model {task.name}"
        )
    job = as_it_is(folder, load_target(job.target).refresh(task, folder, job))
    rows = read_metrics(folder / "metrics.jsonl")
    step = last_value(rows, "step")
    return TrainingStatus(
        task=task.name,
        version=folder.name,
        status=job.status,
        target=job.remote.get("target", job.target),
        waiting=place_in_queue(task, folder.name, job),
        step=int(step or 0),
        total_steps=job.total_steps,
        epoch=last_value(rows, "epoch"),
        loss=last_value(rows, "loss"),
        eval_loss=last_value(rows, "eval_loss"),
        measured={name: value for name, value in newest_figures(rows).items() if name != "eval_loss"},
        seconds=last_value(rows, "seconds"),
        seconds_left=_left(folder, job, rows) if job.status == "running" else None,
        warnings=job.warnings,
        adjustments=job.adjustments,
        error=job.error,
        log=job.log,
        next=_next(task, folder.name, job),
    )


def newest_figures(rows: list[dict[str, Any]]) -> dict[str, float]:
    """The last value of each figure by which a run can be judged, of those that it has."""
    found = {name: last_value(rows, name) for name in MEASURED}
    return {name: value for name, value in found.items() if value is not None}


def place_in_queue(task: Path, version: str, job: Job) -> Waiting | None:
    """Why the run has not begun, here or on the machine where it is; None when it does not wait."""
    if job.status != "queued":
        return None
    return waiting(task, version) if job.target == "local" else job.waiting


def _left(folder: Path, job: Job, rows: list[dict[str, Any]]) -> float | None:
    if not rows or not job.total_steps:
        return None
    config = TrainConfig.load(folder / "config.yaml")
    splits = read_mapping(folder / "data_snapshot.json")["splits"]
    valid = splits.get("valid", {}).get("count", 0)
    rows_a_step = config.per_device_train_batch_size * config.gradient_accumulation_steps
    each_epoch = max(1, round(job.total_steps / config.epochs))
    return seconds_left(
        rows,
        job.total_steps,
        steps_between_evaluations=(config.eval_steps or each_epoch) if valid else None,
        evaluation_ratio=valid / (rows_a_step * config.num_processes),
        since_last=max(0.0, time.time() - (folder / "metrics.jsonl").stat().st_mtime),
    )


def _next(task: Path, version: str, job: Job) -> str:
    """The command that comes next."""
    status = job.status
    name = f"{task.name} --version {version}"
    if status in ("queued", "running"):
        return f"Ask again: nlp-skills training-status {name}"
    if status == "succeeded":
        return f"Evaluate it: nlp-skills evaluate-version {name}"
    if job.repeats:
        return f"It would end so again: make a version that does what the error says: nlp-skills create-version {task.name}"
    if job.target != "local":
        again = f"nlp-skills start-training {name} --target {job.remote.get('target', job.target)} --confirm"
        return f"See what it said (nlp-skills training-log {name}), then go on: {again}"
    if any((task / "models" / version / "checkpoints").glob("checkpoint-*")):
        return f"Go on from the last checkpoint: nlp-skills train-model {name}"
    cause = "Train it" if status == "cancelled" else "When the cause is mended"
    return f"{cause}: nlp-skills train-model {name}"
