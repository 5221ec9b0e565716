"""Reproducing a version: its data and its model made again from its records, in a folder beside, and compared.

    benchmarks/reproduced-v3/   a task folder: data/ as the records say, versions/v1 with v3's config.yaml, models/v1
    benchmarks/reproduced-v3/reproduction.json   what is the same and what differs

On the same machine with the same packages and threads a run gives the same bytes.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from nlp_skills.base_model import require_training
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.data.writing import describe_split
from nlp_skills.errors import NotReady, NotValid, RunFailed, counted
from nlp_skills.records import Progress, Record, now, sha256_file, silent
from nlp_skills.task.version import derive_lineage, version_folder
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import Environment, Job, is_running, read_job
from nlp_skills.training.model_info import ModelInfo
from nlp_skills.training.reproduce_data import Difference, Found, reproduce_data
from nlp_skills.training.run.metrics_log import read_metrics
from nlp_skills.training.train import train_model
from nlp_skills.training.version_model import is_version, resolve_model

VERSION = "v1"
"""What the version is called in the folder of its reproduction."""


class RebuiltData(Record):
    """`prepared.json`: the rows are in place, and how they compare."""

    data_from: str
    same: list[str]
    different: list[Difference]


class Reproduction(Record):
    """`reproduction.json`."""

    task: str
    version: str
    folder: str
    """Relative to the task folder."""
    data_from: str
    """Where the rows come from, in words."""
    same: list[str]
    """What came out as it was recorded."""
    different: list[Difference]
    passed: bool
    """Whether nothing differs."""
    message: str


def reproduce(task: Path, *, version: str | None = None, progress: Progress = silent) -> Reproduction:
    """Make a version's data and model again from its records, in a folder of its own, and say where they differ.

    The rows are converted and divided anew from the raw rows that are kept, and compared; where neither those nor the
    splits are kept, the sources are read again. The model is trained with config.yaml (and what its run changed by itself), on as
    many threads as then. Compared are splits, packages, machine, base model, losses, and the model's files by their
    SHA-256. Cut off, it goes on with the same call; after its end it begins anew.

    Raises NotReady for a version that was not trained, or whose rows are nowhere, RunFailed with the run's reason.
    """
    require_training()
    source = version_folder(task, version)
    job = read_job(source)
    if job is None or job.status != "succeeded":
        raise NotReady(
            f"{task.name} {source.name} has no model to compare with. Train it: nlp-skills train-model {task.name}"
            f" --version {source.name}"
        )
    place = task / "benchmarks" / f"reproduced-{source.name}"
    if not (place / "prepared.json").is_file() or (place / "reproduction.json").is_file():
        _prepare(task, source, job, place, progress)
    data = RebuiltData.load(place / "prepared.json")
    ended = read_job(place / "versions" / VERSION)
    if ended is None or ended.status != "succeeded":
        _train(task, source.name, place, progress)
    same, different = compare(source, place / "versions" / VERSION, task, place)
    different = [*data.different, *different]
    told = (
        "nothing differs"
        if not different
        else f"{counted(len(different), 'thing')} differ" + "s" * (len(different) == 1)
    )
    return Reproduction(
        task=task.name,
        version=source.name,
        folder=place.relative_to(task).as_posix(),
        data_from=data.data_from,
        same=[*data.same, *same],
        different=different,
        passed=not different,
        message=f"{source.name} of {task.name} was made again from {data.data_from}: {told}."
        f" It lies in {place.relative_to(task).as_posix()} of the task's folder.",
    ).save(place / "reproduction.json")


def _train(task: Path, version: str, place: Path, progress: Progress) -> None:
    """Train the version in `place`, which is no task of the tasks folder: no command takes it by its name."""
    again = f"nlp-skills reproduce {task.name} --version {version}"
    folder = place / "versions" / VERSION
    if is_running(folder):
        raise NotValid(
            f"{task.name} {version} is being made again by another process at this moment, in {place}. When it has"
            f" ended, compare: {again}"
        )
    try:
        train_model(place, version=VERSION, progress=progress)
    except RunFailed:
        job = read_job(folder)
        said = (job and job.error) or "it was stopped"
        raise RunFailed(
            f"{task.name} {version} could not be made again: {said} See {folder / 'train.log'}. When the cause is mended,"
            f" the same command goes on: {again}"
        ) from None


def _prepare(task: Path, source: Path, job: Job, place: Path, progress: Progress) -> None:
    """The folder with rows and version, ready to be trained."""
    shutil.rmtree(place, ignore_errors=True)
    (place / "data").mkdir(parents=True)
    snapshot = DataSnapshot.load(source / "data_snapshot.json")
    found: Found = reproduce_data(task, snapshot, place / "data", progress)
    shutil.copyfile(task / "task.yaml", place / "task.yaml")
    config = _config(task, source, job)
    for name in [*config.rewards_sha256, *([config.replay_file] if config.replay_file else [])]:
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(task / name, place / name)
    folder = place / "versions" / VERSION
    folder.mkdir(parents=True)
    config.save(folder / "config.yaml")
    # Of the rows that are there: where they are others than those of the version, that is said, and trained.
    splits = {
        name: describe_split(place / "data" / f"{name}.jsonl").model_dump(mode="json")
        for name in snapshot.splits
    }
    made = snapshot.with_changes(splits=splits)
    made.save(folder / "data_snapshot.json").save(place / "data" / "data_snapshot.json")
    derive_lineage(folder, VERSION, now(), None, [f"{source.name} made again"]).save(folder / "lineage.yaml")
    RebuiltData(data_from=found.words, same=found.same, different=found.different).save(
        place / "prepared.json"
    )


def _config(task: Path, source: Path, job: Job) -> TrainConfig:
    """What was really trained, on as many threads; sinks get nothing of a repetition."""
    config = TrainConfig.load(source / "config.yaml").with_changes(**job.adjusted, report_to=[])
    if job.environment is not None:
        config = config.with_changes(threads=job.environment.threads)
    if is_version(task, config.base_model):
        config = config.with_changes(base_model=resolve_model(task, config.base_model).path)
    return config


def compare(source: Path, made: Path, task: Path, place: Path) -> tuple[list[str], list[Difference]]:
    """Two trained versions by their records and files: what is the same, and what is not."""
    pairs = _pairs(source, task)
    others = _pairs(made, place)
    same: list[str] = []
    different: list[Difference] = []
    for what in dict.fromkeys([*pairs, *others]):
        then, now_is = pairs.get(what, "none"), others.get(what, "none")
        if then == now_is:
            same.append(what)
        else:
            different.append(Difference(what=what, recorded=then, reproduced=now_is))
    return same, different


def _pairs(version: Path, task: Path) -> dict[str, str]:
    """What is compared of a version, by name, as text."""
    info = ModelInfo.load(version / "model_info.json")
    job = Job.load(version / "job.json")
    found = {
        f"data: {name}": split.sha256
        for name, split in DataSnapshot.load(version / "data_snapshot.json").splits.items()
    }
    found |= _machine(job.environment) if job.environment else {}
    found |= {
        "base model: weights": info.base_sha256 or info.base_revision or "not recorded",
        "base model: chat template": info.chat_template_sha256,
        "parameters trained": f"{info.trainable_parameters} of {info.total_parameters}",
    }
    rows = [row for row in read_metrics(version / "metrics.jsonl") if {"loss", "eval_loss"} & set(row)]
    for name in ("loss", "eval_loss"):
        values = [row[name] for row in rows if name in row]
        if values:
            found[f"{name}, last"] = repr(values[-1])
            found[f"{name}, all {len(values)} values"] = (
                repr(values) if len(values) < 8 else f"sum {sum(values)!r}"
            )
    model = task / info.path
    if model.is_dir():
        found |= {
            f"model: {file.name}": sha256_file(file) for file in sorted(model.iterdir()) if file.is_file()
        }
    found["model"] = info.sha256
    return found


def _machine(environment: Environment) -> dict[str, str]:
    packages = {f"package {name}": release for name, release in environment.packages.items()}
    return {
        "python": environment.python,
        "platform": environment.platform,
        "gpu": environment.gpu or "none",
        "threads": str(environment.threads),
        **packages,
    }
