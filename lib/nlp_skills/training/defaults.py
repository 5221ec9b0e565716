"""Settings that work without thought, and what another method, adapter or rank changes along with it."""

from __future__ import annotations

from typing import Any

from nlp_skills.task.task import Task, TaskType
from nlp_skills.training.config import MethodName, Peft, TrainConfig

FEW_ROWS = 1000
"""Below so many a run is short: half the rows in a step, so that an epoch still has some steps."""
STEP_ROWS = 16
"""Rows of an optimiser step; the learning rates are for that, and presets and plans keep to it."""
FEW_STEP_ROWS = 8

LEARNING_RATES: dict[MethodName, float] = {
    "sft": 2e-4,
    "cpt": 2e-4,
    "dpo": 5e-5,
    "orpo": 5e-5,
    "kto": 5e-5,
    "grpo": 5e-5,
}
"""For an adapter. Preferences move a model that answers well already, so they take smaller steps."""

FULL_SHARE = 0.1
"""All weights want about a tenth of an adapter's learning rate (Schulman et al. 2025, "LoRA Without Regret")."""
SHORT_RUN = 1.5
"""In supervised runs of about a hundred steps the same source finds an adapter's best rate at 15 times that of all weights."""

BELONGS_TO: dict[str, tuple[MethodName, ...]] = {
    "packing": ("sft", "cpt"),
    "assistant_only_loss": ("sft",),
    "replay_file": ("sft", "cpt"),
    "replay_share": ("sft", "cpt"),
    "beta": ("dpo", "orpo", "kto", "grpo"),
    "sft_weight": ("dpo",),
    "rewards": ("grpo",),
    "num_generations": ("grpo",),
    "max_completion_length": ("grpo",),
    "temperature": ("grpo",),
    "keep": ("sft", "cpt", "dpo", "orpo", "kto"),
    "early_stopping_patience": ("sft", "cpt", "dpo", "orpo", "kto"),
    "enable_thinking": ("sft", "dpo", "orpo", "kto", "grpo"),
}
"""Field → the methods that read it: with another method it goes back to its default."""

OF_AN_ADAPTER = ("target_modules", "use_rslora")


def default_method(task: Task, *, marked: bool = False) -> MethodName:
    """What a task of this type is trained with when nobody says otherwise; `marked`: single answers, good or bad."""
    if task.type is not TaskType.PREFERENCE:
        return "sft"
    return "kto" if marked else "dpo"


def default_learning_rate(method: MethodName, peft: Peft, rows: int) -> float:
    """By method, adapter and the number of training rows."""
    short = SHORT_RUN if rows < FEW_ROWS and method in ("sft", "cpt") else 1.0
    return float(f"{LEARNING_RATES[method] * (FULL_SHARE if peft == 'none' else short):.6g}")


def step_rows(rows: int) -> int:
    """Rows of an optimiser step, by the number of training rows."""
    return FEW_STEP_ROWS if rows < FEW_ROWS else STEP_ROWS


def default_config(task: Task, rows: int, *, marked: bool = False) -> TrainConfig:
    """The first version's settings; `rows` is the number of training rows, `marked` as in default_method."""
    method = default_method(task, marked=marked)
    rate = default_learning_rate(method, "lora", rows)
    usual = TrainConfig.model_fields["per_device_train_batch_size"].default
    return TrainConfig(
        base_model=task.base_model,
        method=method,
        learning_rate=rate,
        gradient_accumulation_steps=step_rows(rows) // usual,
    )


def with_defaults(before: TrainConfig, wanted: dict[str, Any], rows: int) -> TrainConfig:
    """The configuration with some settings changed, and what depends on them unless it is given too.

    Raises NotValid for settings that make no sense.
    """
    old = before.model_dump(mode="json")
    asked = {**old, **wanted}
    changed = {**wanted}
    for field in _left_behind(old, asked):
        changed.setdefault(field, TrainConfig.model_fields[field].get_default(call_default_factory=True))
    if _known(asked) and (asked["method"], asked["peft"]) != (before.method, before.peft):
        rates = [default_learning_rate(c["method"], c["peft"], rows) for c in (old, asked)]
        if rates[0] != rates[1]:
            changed.setdefault("learning_rate", rates[1])
    if "lora_alpha" not in wanted and (alpha := _same_scale(before, asked)) is not None:
        changed["lora_alpha"] = alpha
    return TrainConfig.parse(
        {**old, "replay_sha256": None, "rewards_sha256": {}, **changed}, "the new version"
    )


def _known(asked: dict[str, Any]) -> bool:
    return asked["method"] in LEARNING_RATES and asked["peft"] in ("lora", "qlora", "dora", "none")


def _left_behind(old: dict[str, Any], asked: dict[str, Any]) -> list[str]:
    """Fields of the method or the adapter that was, which the new one does not read."""
    fields = []
    if asked["method"] != old["method"]:
        fields += [field for field, methods in BELONGS_TO.items() if asked["method"] not in methods]
    if asked["peft"] == "none" != old["peft"]:
        fields += OF_AN_ADAPTER
    if asked["replay_file"] is None:
        fields.append("replay_share")
    if asked["num_processes"] == 1:
        fields.append("distributed")
    return fields


def _same_scale(before: TrainConfig, asked: dict[str, Any]) -> int | None:
    """lora_alpha for another rank or another rule: how strongly an adapter speaks should not change by the way.

    The scale is alpha / r, with rsLoRA alpha / sqrt(r).
    """
    rank, rs = asked["lora_r"], asked["use_rslora"]
    if (rank, rs) == (before.lora_r, before.use_rslora) or not isinstance(rank, int) or rank < 1:
        return None
    scale = before.lora_alpha / (before.lora_r**0.5 if before.use_rslora else before.lora_r)
    return max(1, int(scale * (rank**0.5 if rs else rank) + 1e-9))
