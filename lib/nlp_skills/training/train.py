"""Training a version: start it and let it go, or wait for it; stop it, go on with it."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from nlp_skills.base_model import require_training
from nlp_skills.confirmation import call_again
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.errors import NlpSkillsError, NotValid, RunFailed, counted
from nlp_skills.records import Progress, Record, silent
from nlp_skills.task.version import Version, newest_version, record_lineage, version_folder
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.devices import CPU, visible_devices
from nlp_skills.training.fitness import rate_findings
from nlp_skills.training.job import Job, is_running, read_job
from nlp_skills.training.new_version import create_version
from nlp_skills.training.planning.forecast import Forecast, forecast_version
from nlp_skills.training.preflight.check import sentence
from nlp_skills.training.present_job import followed_version
from nlp_skills.training.queue import waiting
from nlp_skills.training.run.metrics_log import last_value, read_metrics
from nlp_skills.training.status import TrainingStatus, training_status
from nlp_skills.training.targets import load_target
from nlp_skills.training.targets.before_sending import check_before_sending
from nlp_skills.training.targets.definition import Target, read_target
from nlp_skills.training.targets.local import end_run, start_run


class StartingPlan(Record):
    """What `start_training` would do, before it is confirmed."""

    task: str
    version: str
    confirmed: Literal[False] = False
    target: str
    rows: int
    epochs: float
    base_model: str
    predicted: Forecast | None = None
    """Memory, time and cost; None where it cannot be predicted, as for a target that names no hardware."""
    usd_per_hour: float | None = None
    """The target's price, where the file or the service tells it."""
    message: str


def start_training(
    task: Path, *, version: str | None = None, target: str = "local", confirm: bool = False
) -> StartingPlan | TrainingStatus:
    """Start or resume a version's training, on this machine or on a target of configs/targets.yaml; it outlives this process.

    Without `confirm` it only says what it would do and what it costs. Where the device is taken it waits its turn.
    What needs no weights is checked here before anything is sent, rented or ordered. Raises NotReady without a version,
    NotValid when it is trained or running already, or with what these checks found.
    """
    folder = version_folder(task, version)
    job = _trainable_job(task, folder)
    place = None if target == "local" else read_target(task, target)
    kind = place.type if place else "local"
    if not confirm:
        return _starting_plan(task, folder, job, target, place, load_target(kind).usd_per_hour(place))
    if place:
        check_before_sending(task, folder, job, place)
    load_target(kind).start(task, folder, place)
    return training_status(task, version=folder.name)


def _starting_plan(
    task: Path, folder: Path, job: Job | None, target: str, place: Target | None, usd_per_hour: float | None
) -> StartingPlan:
    config = TrainConfig.load(folder / "config.yaml")
    rows = DataSnapshot.load(folder / "data_snapshot.json").splits["train"].count
    predicted = _predicted(task, folder, place, usd_per_hour)
    takes = [f"It takes {predicted.words()}; {predicted.correction.words()}."] if predicted else []
    if predicted and not predicted.fits:
        takes.append(f"HW-FIT: that is not enough; see what would fit: nlp-skills plan-training {task.name}.")
    takes += map(sentence, rate_findings(config))
    if place is None:
        takes += _too_many_processes(config)
    else:
        known = "not known: put usd_per_hour into configs/targets.yaml"
        takes.append(
            f"The price there is {known if usd_per_hour is None else f'{usd_per_hour:g} USD an hour'}."
        )
        if place.hardware is None:
            takes.append("What it takes there is not known: put hardware into configs/targets.yaml.")
    where = f"on {target}" if place else "on this machine"
    what = f"Would {'resume' if job else 'train'} {folder.name} of {task.name} {where}: {config.method} with {config.peft}"
    return StartingPlan(
        task=task.name,
        version=folder.name,
        target=target,
        usd_per_hour=usd_per_hour,
        rows=rows,
        epochs=config.epochs,
        base_model=config.base_model,
        predicted=predicted,
        message=" ".join(
            [
                f"{what} on {counted(rows, 'row')} for {counted(config.epochs, 'epoch')}.",
                *takes,
                call_again(),
            ]
        ),
    )


def _too_many_processes(config: TrainConfig) -> list[str]:
    """num_processes is meant for GPUs: of these there may be fewer here, or none."""
    devices = visible_devices()
    if config.num_processes == 1 or (devices != [CPU] and len(devices) >= config.num_processes):
        return []
    if devices == [CPU]:
        found = "no GPU here, so that the processes share one processor and are no faster"
    else:
        found = f"{counted(len(devices), 'GPU')} here, so that the run would be refused"
    return [
        f"num_processes is {config.num_processes}, and there is {found}; make a version with --settings num_processes=1."
    ]


def _predicted(task: Path, folder: Path, place: Target | None, usd_per_hour: float | None) -> Forecast | None:
    """The estimate, elsewhere for the hardware that the target names; a Hub model whose config.json cannot be fetched now has none."""
    if place is not None and place.hardware is None:
        return None
    try:
        return forecast_version(
            task, folder.name, hardware=place.hardware if place else None, usd_per_hour=usd_per_hour
        )
    except NlpSkillsError:
        return None


def stop_training(task: Path, *, version: str | None = None) -> TrainingStatus:
    """Stop a run, wherever it is, or take it out of the queue; its checkpoints stay, and training can go on from the newest.

    Raises NotValid when nothing runs.
    """
    folder = followed_version(task, version)
    job = read_job(folder)
    if job is None:
        raise NotValid(
            f"{task.name} {folder.name} is not being trained at the moment. Train it: nlp-skills"
            f" train-model {task.name} --version {folder.name}"
        )
    load_target(job.target).stop(task, folder, job)
    return training_status(task, version=folder.name)


def train_model(
    task: Path,
    *,
    version: str | None = None,
    progress: Progress = silent,
    tell: Callable[[str], None] = lambda _: None,
) -> Version:
    """Train a version and wait for it: the newest that is not trained, or a new one. What it warns of is told at once.

    Resumes where a run was cut off. Interrupting stops the run; its checkpoints stay.
    Raises RunFailed with the reason, NotReady without data.
    """
    require_training()
    folder = _untrained(task, version)
    process = start_run(task, folder)
    try:
        _follow(process, folder, progress, tell)
    except BaseException:
        end_run(process, folder)
        raise
    status = training_status(task, version=folder.name)
    if status.status != "succeeded":
        raise RunFailed(
            f"{task.name} {folder.name} was not trained: {status.error} See {task / status.log}. {status.next}"
        )
    return record_lineage(task, version=folder.name)


def _untrained(task: Path, version: str | None) -> Path:
    if version is None:
        newest = newest_version(task)
        job = read_job(task / "versions" / newest) if newest else None
        is_trained = job is not None and job.status == "succeeded"
        version = create_version(task).version if newest is None or is_trained else newest
    folder = version_folder(task, version)
    _trainable_job(task, folder)
    return folder


def _trainable_job(task: Path, folder: Path) -> Job | None:
    """The job so far. Raises NotValid when there is nothing to train, or somebody is at it."""
    job = read_job(folder)
    if job:
        job = load_target(job.target).refresh(task, folder, job)
    if job and job.status == "succeeded":
        raise NotValid(
            f"{task.name} {folder.name} is trained already. Make a new version with: nlp-skills create-version {task.name}"
        )
    if is_running(folder) or (job and job.target != "local" and job.status in ("queued", "running")):
        name = f"{task.name} --version {folder.name}"
        raise NotValid(
            f"{task.name} {folder.name} is being trained already. See how far it is: nlp-skills training-status {name}. To"
            f" end it: nlp-skills stop-training {name}"
        )
    return job


def _follow(
    process: subprocess.Popen[Any], folder: Path, progress: Progress, tell: Callable[[str], None]
) -> None:
    """Report steps, and each warning once, until the process ends."""
    progress("loading the model", 0, None)
    told: list[str] = []
    while process.poll() is None:
        with suppress(subprocess.TimeoutExpired):
            process.wait(timeout=0.5)
        job = Job.load(folder / "job.json")
        for warning in job.warnings:
            if warning not in told:
                told.append(warning)
                tell(warning)
        turn = waiting(folder.parent.parent, folder.name)
        if turn:
            progress(f"waiting behind {', '.join(turn.behind)}, place {turn.place}", 0, None)
            continue
        rows = read_metrics(folder / "metrics.jsonl")
        if rows:
            losses = [f"loss {last_value(rows, 'loss'):.3f}"] if last_value(rows, "loss") is not None else []
            if last_value(rows, "eval_loss") is not None:
                losses.append(f"validation loss {last_value(rows, 'eval_loss'):.3f}")
            step = rows[-1]["step"]
            if step == job.total_steps:  # which takes its time where there are many validation rows
                progress(f"{folder.name}: last validation, saving", 0, None)
            else:
                progress(f"training {folder.name}: {', '.join(losses)}", step, job.total_steps)
