"""Making a version: its configuration from the one before it, frozen with the snapshot of its data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nlp_skills.base_model import require_reference
from nlp_skills.data.checked import is_of_present_data
from nlp_skills.data.checks.token_faults import TOOLS_NOT_SHOWN
from nlp_skills.data.present import describe_data, hash_files
from nlp_skills.data.replacement import settle_data
from nlp_skills.data.report import ValidationReport
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.data.token_findings import CHECKS as CHECKS_OF_TOKENS
from nlp_skills.errors import NotReady, counted
from nlp_skills.task.task import Task
from nlp_skills.task.version import (
    Version,
    describe_changes,
    new_version,
    newest_version,
    version_folder,
    version_names,
)
from nlp_skills.training.config import MethodName, Peft, TrainConfig
from nlp_skills.training.defaults import default_config, with_defaults
from nlp_skills.training.fitness import require_fit
from nlp_skills.training.replay import replay_sha256
from nlp_skills.training.rewards import rewards_sha256
from nlp_skills.training.row_kinds import has_marked_rows
from nlp_skills.training.sinks import require_sinks
from nlp_skills.training.version_model import is_version, require_trained


def create_version(
    task: Path,
    *,
    parent: str | None = None,
    changes: list[str] | None = None,
    base_model: str | None = None,
    method: MethodName | None = None,
    peft: Peft | None = None,
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

    Starts from the parent's configuration (by default that of the newest version that is no trial of a search); `settings` takes any
    other field of config.yaml. Another `lora_r` alone keeps lora_alpha / lora_r as it
    was, and another method or adapter brings its own learning rate, where none is given. Changes are described
    from the difference when not given. Raises NotReady without data, when its checks found errors, or
    when somebody edited it and it was not checked since; NotValid for settings that make no sense, alone or for
    this task; NotFound for a base model that is none.
    """
    definition = Task.load(task / "task.yaml")
    settle_data(task)
    snapshot, report = _checked_data(task)
    rows = snapshot.splits["train"].count
    parent, before = starting_point(task, definition, rows, parent=parent, base_model=base_model)
    named = {
        "base_model": base_model,
        "method": method,
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
    config = with_defaults(before, wanted, rows)
    config = config.with_changes(
        replay_sha256=replay_sha256(task, config.replay_file),
        rewards_sha256=rewards_sha256(config.rewards, task),
    )
    if report is not None:
        _require_no_errors(task, report, definition, config)
    require_fit(task, definition, config, snapshot)
    require_sinks(config.report_to)
    if parent is None or "base_model" in wanted:
        if is_version(task, config.base_model):
            require_trained(task, config.base_model)
        else:
            require_reference(config.base_model)
    if changes is None:
        changes = (
            _first_changes(config) if parent is None else _describe(task, parent, before, config, snapshot)
        )
    return new_version(
        task,
        {"config.yaml": config.to_bytes(".yaml"), "data_snapshot.json": snapshot.to_bytes()},
        changes,
        parent,
    )


def starting_point(
    task: Path, definition: Task, rows: int, *, parent: str | None = None, base_model: str | None = None
) -> tuple[str | None, TrainConfig]:
    """The parent of the next version and the settings that it starts from, where only these two are said.

    `rows`: of training. A version that is named as base_model is the parent too. Raises NotFound.
    """
    parent = parent or (base_model if base_model in version_names(task) else newest_version(task))
    if parent is not None:
        return parent, TrainConfig.load(version_folder(task, parent) / "config.yaml")
    return None, default_config(definition, rows, marked=has_marked_rows(task, definition))


def _checked_data(task: Path) -> tuple[DataSnapshot, ValidationReport | None]:
    """The snapshot of the files as they are, which also says whether they were edited, and what the checks say of them.

    Data whose checks found errors is not trained on. Regenerated data may be unchecked; edited data, which nothing
    vouches for, has to have passed the checks as it is, to the byte.
    """
    data = task / "data"
    present = describe_data(data, hash_files(data)) if (data / "data_snapshot.json").is_file() else None
    if present is None or "train" not in present.splits:
        raise NotReady(f"{task.name} has no data yet. Make it with: nlp-skills regenerate-data {task.name}")
    file = data / "validation.json"
    report = ValidationReport.load(file) if file.is_file() else None
    if report is not None and not is_of_present_data(report, task):
        report = None
    if report is None and present.edited:
        raise NotReady(
            f"{task.name}: the files in data/ were edited by hand, and nobody has checked them since. Check them with:"
            f" nlp-skills validate-data {task.name}"
        )
    return present, report


def _require_no_errors(task: Path, report: ValidationReport, definition: Task, config: TrainConfig) -> None:
    """Raises NotReady for errors in the data. What was found with another base model's tokens is looked for again
    before the training."""
    concerned = [f for f in report.findings if f.level == "error"]
    if config.base_model != definition.base_model:
        concerned = [f for f in concerned if f.check not in CHECKS_OF_TOKENS]
    if config.tools_in_prompt:
        concerned = [f for f in concerned if not f.message.startswith(TOOLS_NOT_SHOWN)]
    errors = {f.check: f.message for f in concerned}
    if errors:
        found = " ".join(f"{check}: {message}" for check, message in errors.items())
        raise NotReady(
            f"{task.name}: the checks found errors in the data. {found} See how to mend them with:"
            f" nlp-skills validate-data {task.name}"
        )


def _first_changes(config: TrainConfig) -> list[str]:
    """The words for a version that has no parent."""
    adapter = "all weights" if config.peft == "none" else f"{config.peft}, rank {config.lora_r}"
    return [f"first version: {config.method} with {adapter}, {counted(config.epochs, 'epoch')}"]


def _describe(
    task: Path, parent: str, before: TrainConfig, config: TrainConfig, snapshot: DataSnapshot
) -> list[str]:
    words = describe_changes(before.model_dump(mode="json"), config.model_dump(mode="json"))
    old = DataSnapshot.load(version_folder(task, parent) / "data_snapshot.json")
    for split, now_is in snapshot.splits.items():
        was = old.splits.get(split)
        if was is None or was.sha256 != now_is.sha256:
            difference = now_is.count - (was.count if was else 0)
            words.append(
                f"data: {split} {counted(abs(difference), 'row')} {'more' if difference > 0 else 'fewer'}"
                if difference
                else f"data: {split} changed"
            )
    return words or ["repeated with nothing changed"]
