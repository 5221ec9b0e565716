"""Folds: the rows of train and valid divided anew, so that each row is held out once. Test rows are never among them.

    benchmarks/folds-<key>/  folds.yaml  fold-1/ … fold-5/  result.json

A fold is a task folder of its own: its data, its version v1, its run. Rows of one group, with one input and (where
data_source.yaml says `similar`) with similar inputs stay in one fold, and the labels keep their shares
(data/split.py).
"""

from __future__ import annotations

import shutil
from pathlib import Path

from nlp_skills.data.example import Example, encode, read_examples, write_examples
from nlp_skills.data.identity import Identities
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.data.sources.source import DataSources, SplitSettings
from nlp_skills.data.split import choose_sides
from nlp_skills.data.writing import describe_split
from nlp_skills.errors import NotFound, NotValid, RunFailed
from nlp_skills.records import Progress, to_json, unfinished, write_atomic
from nlp_skills.task.task import Task
from nlp_skills.task.version import new_version
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import is_running, read_job
from nlp_skills.training.run_name import run_name
from nlp_skills.training.train import train_model
from nlp_skills.training.version_model import is_version, resolve_model


def divide(examples: list[Example], folds: int, settings: SplitSettings) -> list[list[int]]:
    """Row numbers of each fold; `settings` gives seed, stratify and similar.

    Raises NotValid where groups are too large to divide the rows so often.
    """
    known = Identities(settings.seed)
    for example in examples:
        known.add(example, by_id=True, size=len(encode(example)) + 1)
    left = list(range(len(examples)))
    found: list[list[int]] = []
    for fold in range(folds, 1, -1):
        wanted = settings.with_changes(train=None, valid=len(left) // fold, test=0)
        sides = choose_sides(
            known,
            left,
            wanted,
            lambda row: examples[row].meta.group or "",
            lambda row: examples[row].input_text,
        )
        found.append([row for row in left if sides[row] == 1])
        left = [row for row in left if sides[row] != 1]
    found.append(left)
    if small := [fold for fold in found if not fold]:
        raise NotValid(
            f"{len(examples)} rows cannot be divided into {folds} folds: {len(small)} would be empty, because rows of one"
            " group or with one input stay together. Take fewer folds."
        )
    return found


def rows_to_fold(task: Path) -> list[Example]:
    """The rows of train and valid."""
    rows = list(read_examples(task / "data" / "train.jsonl"))
    try:
        return rows + list(read_examples(task / "data" / "valid.jsonl"))
    except NotFound:
        return rows


def make_folds(task: Path, folder: Path, config: TrainConfig, folds: int, seed: int) -> list[Path]:
    """The folds' task folders, each made whole or found; `config` is that of every fold's v1.

    Raises NotValid where the rows cannot be divided so often.
    """
    examples = rows_to_fold(task)
    settings = _split_settings(task).with_changes(seed=seed)
    held_out = divide(examples, folds, settings)
    config = _own(task, config)
    return [
        _make_fold(task, folder / f"fold-{number}", config, examples, set(rows), seed)
        for number, rows in enumerate(held_out, start=1)
    ]


def _split_settings(task: Path) -> SplitSettings:
    file = task / "data_source.yaml"
    return DataSources.load(file).split if file.is_file() else SplitSettings()


def _own(task: Path, config: TrainConfig) -> TrainConfig:
    """The configuration as a folder of its own can use it: a version of the task as base model by its folder."""
    if not is_version(task, config.base_model):
        return config
    return config.with_changes(base_model=resolve_model(task, config.base_model).path)


def _make_fold(
    task: Path, place: Path, config: TrainConfig, examples: list[Example], held_out: set[int], seed: int
) -> Path:
    sides = {
        "train": [e for row, e in enumerate(examples) if row not in held_out],
        "valid": [e for row, e in enumerate(examples) if row in held_out],
    }
    return _lay(task, place, config, sides, seed, f"{place.name} of a cross-validation")


def make_part(
    task: Path, place: Path, config: TrainConfig, sides: dict[str, list[Example]], seed: int, change: str
) -> Path:
    """A task folder of its own with these rows and one version v1, made whole or found; `change` says what it is."""
    return _lay(task, place, _own(task, config), sides, seed, change)


def _lay(
    task: Path, place: Path, config: TrainConfig, sides: dict[str, list[Example]], seed: int, change: str
) -> Path:
    """`train` and `valid`, task.yaml and v1; held_out.json lists the ids of `valid`."""
    if place.is_dir():
        return place
    place.parent.mkdir(parents=True, exist_ok=True)
    staging = unfinished(place)
    try:
        data = staging / "data"
        data.mkdir(parents=True)
        for name, rows in sides.items():
            write_examples(data / f"{name}.jsonl", rows)
        before = DataSnapshot.load(task / "data" / "data_snapshot.json")
        snapshot = DataSnapshot(
            source_hash=before.source_hash,
            sources={},
            splits={name: describe_split(data / f"{name}.jsonl") for name in sides},
            seed=seed,
        ).save(data / "data_snapshot.json")
        Task.load(task / "task.yaml").save(staging / "task.yaml")
        for name in _files_of(config):
            (staging / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(task / name, staging / name)
        new_version(
            staging,
            {"config.yaml": config.to_bytes(".yaml"), "data_snapshot.json": snapshot.to_bytes()},
            [change],
            None,
        )
        write_atomic(staging / "held_out.json", to_json(sorted(row.meta.id for row in sides["valid"])))
        staging.rename(place)
    finally:
        shutil.rmtree(staging, ignore_errors=True)
    return place


def _files_of(config: TrainConfig) -> list[str]:
    """The files in the task folder that a run reads beside its data."""
    rewards = [name.partition(":")[0] for name in config.rewards if ":" in name]
    return [*dict.fromkeys(rewards), *([config.replay_file] if config.replay_file else [])]


def train_part(place: Path, what: str, progress: Progress) -> None:
    """Train the v1 of such a folder. Raises RunFailed with `what` ("Fold 3 was not trained"), the reason and the log;
    NotValid where another process is at it."""
    folder = place / "versions" / "v1"
    if is_running(folder):
        raise NotValid(
            f"{what}: another process trains {' '.join(run_name(place, 'v1'))} at this moment. See how far it is: nlp-skills"
            " list-jobs. When it has ended, go on with the same command."
        )
    try:
        train_model(place, version="v1", progress=progress)
    except RunFailed:
        job = read_job(folder)
        reason = job.error if job is not None else None
        raise RunFailed(
            f"{what}: {reason or 'the process ended without a word.'} See {folder / 'train.log'}. Go on with the same command."
        ) from None
