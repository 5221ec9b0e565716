"""Where a run stands, read from what it has written so far: job.json, metrics.jsonl, its lock."""

from __future__ import annotations

from pathlib import Path

from nlp_skills.errors import NotReady
from nlp_skills.records import Record
from nlp_skills.task.version import version_folder
from nlp_skills.training.job import is_running, read_job
from nlp_skills.training.metrics_log import last_value, read_metrics


class TrainingStatus(Record):
    """Where a run stands."""

    task: str
    version: str
    status: str
    step: int
    total_steps: int | None = None
    epoch: float | None = None
    loss: float | None = None
    eval_loss: float | None = None
    seconds: float | None = None
    seconds_left: float | None = None
    error: str | None = None
    log: str
    next: str


def training_status(task: Path, *, version: str | None = None) -> TrainingStatus:
    """How far a run is, its last losses and the time it still takes; a run that was killed is "failed"."""
    folder = version_folder(task, version)
    job = read_job(folder)
    if job is None:
        raise NotReady(
            f"{task.name} {folder.name} has not been trained. Start with: nlp-skills train-model {task.name}"
        )
    rows = read_metrics(folder / "metrics.jsonl")
    step = rows[-1]["step"] if rows else 0
    seconds = rows[-1]["seconds"] if rows else None
    status, error = job.status, job.error
    if status in ("queued", "running") and job.pid is not None and not is_running(folder):
        status, error = "failed", "The process ended without a word (killed, or out of memory)."
    left = None
    if status == "running" and seconds and step and job.total_steps:
        left = round(seconds / step * (job.total_steps - step), 1)
    return TrainingStatus(
        task=task.name,
        version=folder.name,
        status=status,
        step=step,
        total_steps=job.total_steps,
        epoch=rows[-1]["epoch"] if rows else None,
        loss=last_value(rows, "loss"),
        eval_loss=last_value(rows, "eval_loss"),
        seconds=seconds,
        seconds_left=left,
        error=error,
        log=job.log,
        next=_next(task, folder.name, status),
    )


def _next(task: Path, version: str, status: str) -> str:
    """The command that comes next."""
    name = f"{task.name} --version {version}"
    if status in ("queued", "running"):
        return f"Ask again: nlp-skills training-status {name}"
    if status == "succeeded":
        return f"Evaluate it: nlp-skills evaluate-version {name}"
    if any((task / "models" / version / "checkpoints").glob("checkpoint-*")):
        return f"Go on from the last checkpoint: nlp-skills train-model {name}"
    cause = "Train it" if status == "cancelled" else "When the cause is mended"
    return f"{cause}: nlp-skills train-model {name}"
