"""What a run elsewhere has left, put into its places here when every file is what it was there."""

from __future__ import annotations

import shutil
from pathlib import Path

from nlp_skills.errors import NotFound, RunFailed
from nlp_skills.records import read_mapping, sha256_tree, to_json, write_atomic
from nlp_skills.task.version import record_lineage
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import Job
from nlp_skills.training.model_info import ModelInfo
from nlp_skills.training.targets.parcel import differing
from nlp_skills.training.version_model import resolve_model


def settle(
    task: Path, folder: Path, job: Job, staging: Path, expected: dict[str, str], usd_per_hour: float | None
) -> Job:
    """Put results that have arrived in `staging` into their places; the job that succeeded is saved last.

    Raises RunFailed when a file is not what it was there.
    """
    wrong = differing(staging, expected)
    info_file = staging / "versions" / folder.name / "model_info.json"
    if wrong or not info_file.is_file():
        raise RunFailed(
            f"The results of {task.name} {folder.name} are not whole ({', '.join(wrong)}). Ask again."
        )
    info = ModelInfo.load(info_file)
    model = staging / info.path
    if sha256_tree(model) != info.sha256:
        raise RunFailed(
            f"The model of {task.name} {folder.name} is not the one that its run has saved. Ask again."
        )
    info = _at_home(task, info, model, TrainConfig.load(folder / "config.yaml"))
    target = task / info.path
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(target, ignore_errors=True)
    model.rename(target)
    shutil.rmtree(target.parent / "checkpoints", ignore_errors=True)  # of a part that was trained here
    info.save(folder / "model_info.json")
    for name in ("metrics.jsonl", "preflight.json", "train.log"):
        found = staging / "versions" / folder.name / name
        if found.is_file():
            write_atomic(folder / name, found.read_bytes())
    if job.cost and usd_per_hour:
        usd = round(usd_per_hour * job.cost.seconds / 3600, 4)
        job = job.with_changes(cost=job.cost.with_changes(usd=usd).model_dump(mode="json"))
    job.save(folder / "job.json")
    record_lineage(task, version=folder.name)
    shutil.rmtree(staging)
    return job


def _at_home(task: Path, info: ModelInfo, model: Path, config: TrainConfig) -> ModelInfo:
    """The base model by its name and place here, as if the run had been here."""
    settings, card = model / "adapter_config.json", model / "README.md"
    if settings.is_file():
        found = read_mapping(settings)
        there = found["base_model_name_or_path"]
        try:
            here = resolve_model(task, config.base_model, config.base_revision).path
        except NotFound:
            here = config.base_model  # it is not on this machine
        write_atomic(settings, to_json({**found, "base_model_name_or_path": here}))
        if card.is_file():  # PEFT writes it, with the path
            write_atomic(card, card.read_bytes().replace(there.encode(), here.encode()))
    return info.with_changes(base_model=config.base_model, sha256=sha256_tree(model))
