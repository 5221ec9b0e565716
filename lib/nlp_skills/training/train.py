"""Versions and their runs: make one, start it, watch it, stop it, go on with it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from nlp_skills.base_model import require_reference, require_training
from nlp_skills.data.replacement import settle_data
from nlp_skills.data.report import ValidationReport
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.errors import NotReady, NotValid, RunFailed
from nlp_skills.records import Progress, Record, now, read_mapping, silent
from nlp_skills.task.task import Task, TaskType
from nlp_skills.task.version import (
    Version,
    describe_changes,
    new_version,
    record_lineage,
    version_folder,
    version_names,
)
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import Job, is_running
from nlp_skills.training.metrics_log import read_metrics

STOPPING_SECONDS = 30
"""How long a run may take to stop by itself; checkpoints are whole whenever it is killed."""
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


class TrainingPlan(Record):
    """What `start_training` would do, before it is confirmed."""

    task: str
    version: str
    confirmed: Literal[False] = False
    rows: int
    epochs: float
    base_model: str
    message: str


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


def create_version(
    task: Path,
    *,
    parent: str | None = None,
    changes: list[str] | None = None,
    base_model: str | None = None,
    peft: Literal["lora", "dora", "none"] | None = None,
    lora_r: int | None = None,
    lora_alpha: int | None = None,
    epochs: float | None = None,
    learning_rate: float | None = None,
    per_device_train_batch_size: int | None = None,
    max_length: int | None = None,
    seed: int | None = None,
    settings: dict[str, Any] | None = None,
) -> Version:
    """Make the next version: a frozen configuration and the snapshot of the data that it is for.

    Starts from the parent's configuration (by default the newest version's); `settings` takes any
    other field of config.yaml. Another `lora_r` alone keeps lora_alpha / lora_r as it was. Changes are described from the difference when not given.
    Raises NotReady without data or when its checks found errors, NotValid for a bad setting,
    NotFound for a base model that is none.
    """
    definition = Task.load(task / "task.yaml")
    if definition.type is TaskType.PREFERENCE:
        raise NotValid(
            f"{task.name}: preference pairs cannot be trained with sft, the one method there is in this release."
            " Train on the chosen answers as a generation task, or keep the pairs for a later release."
        )
    if definition.type is TaskType.TOOL_USE:
        raise NotValid(
            f"{task.name}: tool calls cannot be judged yet (calls have to be compared by name and arguments), so no"
            " version is made that could not be tested. That comes with a later release; the data stays valid."
        )
    settle_data(task)
    snapshot_file = task / "data" / "data_snapshot.json"
    if not snapshot_file.is_file():
        raise NotReady(f"{task.name} has no data yet. Make it with: nlp-skills regenerate-data {task.name}")
    _require_no_errors(task)
    names = version_names(task)
    parent = parent or (names[-1] if names else None)
    named = {
        "base_model": base_model,
        "peft": peft,
        "lora_r": lora_r,
        "lora_alpha": lora_alpha,
        "epochs": epochs,
        "learning_rate": learning_rate,
        "per_device_train_batch_size": per_device_train_batch_size,
        "max_length": max_length,
        "seed": seed,
    }
    wanted = {**(settings or {}), **{key: value for key, value in named.items() if value is not None}}
    snapshot = DataSnapshot.load(snapshot_file)
    if parent is not None:
        before = TrainConfig.load(version_folder(task, parent) / "config.yaml")
    else:
        before = default_config(definition, snapshot.splits["train"].count)
    if isinstance(wanted.get("lora_r"), int) and "lora_alpha" not in wanted:
        # The scale of an adapter is alpha / r: another rank alone should not change it.
        wanted["lora_alpha"] = max(1, before.lora_alpha * wanted["lora_r"] // before.lora_r)
    config = TrainConfig.parse({**before.model_dump(mode="json"), **wanted}, "the new version")
    if parent is None or "base_model" in wanted:
        require_reference(config.base_model)
    if changes is None:
        changes = (
            first_changes(config) if parent is None else _changes(task, parent, before, config, snapshot)
        )
    return new_version(
        task,
        {"config.yaml": config.to_bytes(".yaml"), "data_snapshot.json": snapshot.to_bytes()},
        changes,
        parent,
    )


def _require_no_errors(task: Path) -> None:
    """Data whose checks found errors is not trained on; regenerated data counts as not checked yet."""
    file = task / "data" / "validation.json"
    if not file.is_file():
        return
    errors = {f.check: f.message for f in ValidationReport.load(file).findings if f.level == "error"}
    if errors:
        found = " ".join(f"{check}: {message}" for check, message in errors.items())
        raise NotReady(
            f"{task.name}: the checks found errors in the data. {found} See how to mend them with:"
            f" nlp-skills validate-data {task.name}"
        )


def default_config(task: Task, rows: int) -> TrainConfig:
    """Settings that work without thought; fewer than 1,000 rows get half the learning rate."""
    return TrainConfig(base_model=task.base_model, learning_rate=1e-4 if rows < 1000 else 2e-4)


def first_changes(config: TrainConfig) -> list[str]:
    """The words for a version that has no parent."""
    epochs = f"{config.epochs:g} epoch" + ("" if config.epochs == 1 else "s")
    return [f"first version: {config.method} with {config.peft}, rank {config.lora_r}, {epochs}"]


def _changes(
    task: Path, parent: str, before: TrainConfig, config: TrainConfig, snapshot: DataSnapshot
) -> list[str]:
    words = describe_changes(before.model_dump(mode="json"), config.model_dump(mode="json"))
    old = DataSnapshot.load(version_folder(task, parent) / "data_snapshot.json")
    for split, now_is in snapshot.splits.items():
        was = old.splits.get(split)
        if was is None or was.sha256 != now_is.sha256:
            difference = now_is.count - (was.count if was else 0)
            words.append(f"data: {split} {difference:+d} rows" if difference else f"data: {split} changed")
    return words or ["repeated with nothing changed"]


def start_training(
    task: Path, *, version: str | None = None, confirm: bool = False
) -> TrainingPlan | TrainingStatus:
    """Start or resume a version's training on this machine, in a process that outlives this one.

    Without `confirm` it only says what it would do. Raises NotReady without a version, NotValid
    when it is trained or running already.
    """
    folder = version_folder(task, version)
    job = _trainable_job(task, folder)
    if not confirm:
        config = TrainConfig.load(folder / "config.yaml")
        rows = DataSnapshot.load(folder / "data_snapshot.json").splits["train"].count
        return TrainingPlan(
            task=task.name,
            version=folder.name,
            rows=rows,
            epochs=config.epochs,
            base_model=config.base_model,
            message=f"Would {'resume' if job else 'train'} {folder.name} of {task.name} on this machine: {config.method}"
            f" with {config.peft} on {rows} rows for {config.epochs:g} epochs. Call again with confirm=true.",
        )
    process = spawn_run(task, folder)
    # Somebody has to wait for it, or a server that lives long would collect zombies.
    threading.Thread(target=process.wait, daemon=True).start()
    return training_status(task, version=folder.name)


def spawn_run(task: Path, folder: Path) -> subprocess.Popen[Any]:
    """Start the run's process, its own session, its output in train.log. Raises MissingExtra."""
    require_training()
    job = read_job(folder)
    if job is None:
        job = Job(
            id=uuid.uuid4().hex[:12],
            status="queued",
            started=now(),
            log=(folder / "train.log").relative_to(task).as_posix(),
        )
    else:
        job = job.with_changes(status="queued", pid=None, ended=None, error=None, exit_code=None)
    job.save(folder / "job.json")
    command = [sys.executable, "-P", "-m", "nlp_skills.training.run", str(task.resolve()), folder.name]
    detached: dict[str, Any] = (
        {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        if sys.platform == "win32"
        else {"start_new_session": True}
    )
    with (folder / "train.log").open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **detached)
    try:
        while process.poll() is None and not is_running(folder):
            time.sleep(0.05)
    except BaseException:
        _end(process, folder)
        raise
    if process.poll() and (read_job(folder) or job).status == "queued":
        error = "The process ended before it began."
        job.with_changes(status="failed", ended=now(), exit_code=process.returncode, error=error).save(
            folder / "job.json"
        )
    return process


def read_job(folder: Path) -> Job | None:
    """The version's job, when it has one."""
    file = folder / "job.json"
    return Job.load(file) if file.is_file() else None


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
        loss=_last(rows, "loss"),
        eval_loss=_last(rows, "eval_loss"),
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


def _last(rows: list[dict[str, Any]], key: str) -> float | None:
    return next((row[key] for row in reversed(rows) if key in row), None)


def stop_training(task: Path, *, version: str | None = None) -> TrainingStatus:
    """Stop a run; its checkpoints stay, and training can go on from the newest.

    Raises NotValid when nothing runs.
    """
    folder = version_folder(task, version)
    job = read_job(folder)
    if job is None or job.pid is None or not is_running(folder):
        raise NotValid(f"{task.name} {folder.name} is not being trained at the moment.")
    with suppress(ProcessLookupError):  # it has ended just now
        os.kill(job.pid, signal.SIGTERM)
    waiting = time.monotonic()
    while is_running(folder):
        time.sleep(0.05)
        if time.monotonic() - waiting > STOPPING_SECONDS:
            with suppress(ProcessLookupError):
                os.kill(job.pid, KILL)
    _record_cancelled(folder)
    return training_status(task, version=folder.name)


def _end(process: subprocess.Popen[Any], folder: Path) -> None:
    """End a run that is not wanted any more."""
    process.terminate()
    process.wait()
    _record_cancelled(folder)


def _record_cancelled(folder: Path) -> None:
    """Say so in job.json, unless the run got to its own end before it was stopped."""
    job = read_job(folder)
    if job is not None and job.status in ("queued", "running"):
        job.with_changes(status="cancelled", ended=now()).save(folder / "job.json")


def train_model(task: Path, *, version: str | None = None, progress: Progress = silent) -> Version:
    """Train a version and wait for it: the newest that is not trained, or a new one.

    Resumes where a run was cut off. Interrupting stops the run; its checkpoints stay.
    Raises RunFailed with the reason, NotReady without data.
    """
    require_training()
    folder = _untrained(task, version)
    process = spawn_run(task, folder)
    try:
        _follow(process, folder, progress)
    except BaseException:
        _end(process, folder)
        raise
    status = training_status(task, version=folder.name)
    if status.status != "succeeded":
        raise RunFailed(
            f"{task.name} {folder.name} was not trained: {status.error} See {task / status.log}. {status.next}"
        )
    return record_lineage(task, version=folder.name)


def _untrained(task: Path, version: str | None) -> Path:
    if version is None:
        names = version_names(task)
        newest = read_job(task / "versions" / names[-1]) if names else None
        wanted = not names or (newest is not None and newest.status == "succeeded")
        version = create_version(task).version if wanted else names[-1]
    folder = version_folder(task, version)
    _trainable_job(task, folder)
    return folder


def _trainable_job(task: Path, folder: Path) -> Job | None:
    """The job so far. Raises NotValid when there is nothing to train, or somebody is at it."""
    job = read_job(folder)
    if job and job.status == "succeeded":
        raise NotValid(
            f"{task.name} {folder.name} is trained already. Make a new version with: nlp-skills create-version {task.name}"
        )
    if is_running(folder):
        raise NotValid(f"{task.name} {folder.name} is being trained already.")
    return job


def _follow(process: subprocess.Popen[Any], folder: Path, progress: Progress) -> None:
    """Report steps until the process ends."""
    progress("loading the model", 0, None)
    while True:
        try:
            process.wait(timeout=0.5)
            break
        except subprocess.TimeoutExpired:
            pass
        rows = read_metrics(folder / "metrics.jsonl")
        if rows:
            total = read_mapping(folder / "job.json").get("total_steps")
            losses = [f"loss {_last(rows, 'loss'):.3f}"] if _last(rows, "loss") is not None else []
            if _last(rows, "eval_loss") is not None:
                losses.append(f"validation loss {_last(rows, 'eval_loss'):.3f}")
            step = rows[-1]["step"]
            if step == total:  # which takes its time where there are many validation rows
                progress(f"{folder.name}: last validation, saving", 0, None)
            else:
                progress(f"training {folder.name}: {', '.join(losses)}", step, total)
