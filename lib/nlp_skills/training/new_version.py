"""Making a version: its configuration from the one before it, frozen with the snapshot of its data."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from nlp_skills.base_model import require_reference
from nlp_skills.data.replacement import settle_data
from nlp_skills.data.report import ValidationReport
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.errors import NotReady, NotValid
from nlp_skills.task.task import Task, TaskType
from nlp_skills.task.version import Version, describe_changes, new_version, version_folder, version_names
from nlp_skills.training.config import TrainConfig


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
    other field of config.yaml. Another `lora_r` alone keeps lora_alpha / lora_r as it
    was. Changes are described from the difference when not given. Raises NotReady without data or when its
    checks found errors, NotValid for a bad setting, NotFound for a base model that is none.
    """
    definition = Task.load(task / "task.yaml")
    _require_method(definition, task.name)
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
    config = _changed(before, wanted)
    if parent is None or "base_model" in wanted:
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


def _require_method(task: Task, name: str) -> None:
    """What this release cannot train, or not judge, makes no version."""
    if task.type is TaskType.PREFERENCE:
        raise NotValid(
            f"{name}: preference pairs cannot be trained with sft, the one method there is in this release."
            " Train on the chosen answers as a generation task, or keep the pairs for a later release."
        )
    if task.type is TaskType.TOOL_USE:
        raise NotValid(
            f"{name}: tool calls cannot be judged yet (calls have to be compared by name and arguments), so no"
            " version is made that could not be tested. That comes with a later release; the data stays valid."
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


def _changed(before: TrainConfig, wanted: dict[str, Any]) -> TrainConfig:
    """The configuration with some settings changed, in the proportions that it had."""
    if isinstance(wanted.get("lora_r"), int) and "lora_alpha" not in wanted:
        # The scale of an adapter is alpha / r: another rank alone should not change it.
        alpha = max(1, before.lora_alpha * wanted["lora_r"] // before.lora_r)
        wanted = {**wanted, "lora_alpha": alpha}
    return TrainConfig.parse({**before.model_dump(mode="json"), **wanted}, "the new version")


def _first_changes(config: TrainConfig) -> list[str]:
    """The words for a version that has no parent."""
    epochs = f"{config.epochs:g} epoch" + ("" if config.epochs == 1 else "s")
    return [f"first version: {config.method} with {config.peft}, rank {config.lora_r}, {epochs}"]


def _describe(
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
