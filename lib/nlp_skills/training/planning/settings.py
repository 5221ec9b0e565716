"""Which settings a task should be trained with; plan_reasons.py says why.

Settings that decide what is learned come from the task and its rows; settings that decide how it fits into
memory are tried in the order of FITTINGS until one fits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from nlp_skills.task.task import Task, TaskType
from nlp_skills.training.config import MethodName, Peft, TrainConfig
from nlp_skills.training.defaults import default_learning_rate, default_method
from nlp_skills.training.planning.hardware import Hardware
from nlp_skills.training.planning.model_shape import ModelShape
from nlp_skills.training.planning.row_lengths import RowLengths

STEP_ROWS = 16
"""Rows of an optimiser step; the learning rates were chosen for that."""
FEW_STEP_ROWS = 8
"""With fewer than 200 rows, so that an epoch still has some steps."""
CPU_ROWS = 8
"""More rows at once are no faster on a processor, and cost memory."""

FITTINGS: tuple[tuple[bool, Peft | None], ...] = (
    (False, None),
    (True, None),
    (False, "qlora"),
    (True, "qlora"),
)
"""Checkpointing, and another adapter: what is tried in turn, each with ever fewer rows at once."""


def wanted_config(
    task: Task,
    lengths: RowLengths,
    shape: ModelShape,
    *,
    method: MethodName | None = None,
    peft: Peft | None = None,
    valid_rows: int = 0,
) -> TrainConfig:
    """What should be learned and how, before it is fitted into a memory."""
    rows = lengths.rows
    method = method or default_method(task)
    peft = peft or "lora"
    longest = lengths.longest[0].tokens
    length = max(64, math.ceil(longest / 64) * 64)
    if shape.positions:
        length = min(length, shape.positions)
    keeps_best = valid_rows >= 50 and method != "grpo"
    return TrainConfig.parse(
        {
            "base_model": task.base_model,
            "method": method,
            "peft": peft,
            "epochs": planned_epochs(rows),
            "learning_rate": default_learning_rate(method, peft, rows),
            "max_length": max(length, 64),
            "keep": "best" if keeps_best else "last",
            "rewards": [_reward(task)] if method == "grpo" else [],
        },
        "the plan",
    )


def _reward(task: Task) -> str:
    """The reward that tells a right answer of such a task from a wrong one (training/rewards.py)."""
    if task.type is TaskType.TOOL_USE:
        return "valid_tool_call"
    return "label" if task.type.has_labels else "exact_answer"


def planned_epochs(rows: int) -> float:
    """3, and fewer where a single epoch has many steps already."""
    return 3.0 if rows < 10_000 else 2.0 if rows < 50_000 else 1.0


def fitted_configs(config: TrainConfig, hardware: Hardware, rows: int) -> Iterator[TrainConfig]:
    """The same learning in ever less memory: the first is the fastest."""
    step = FEW_STEP_ROWS if rows < 200 else STEP_ROWS
    most = min(step, CPU_ROWS) if hardware.device == "cpu" else step
    sizes = [size for size in (16, 8, 4, 2, 1) if size <= most]
    for checkpointing, peft in FITTINGS:
        if peft == "qlora" and (config.peft != "lora" or hardware.device == "mps"):
            continue  # full and DoRA were asked for; bitsandbytes has no kernels for Metal
        for size in sizes:
            if checkpointing and size == most > 1 and hardware.device == "cpu":
                continue  # fewer rows cost nothing there, a second forward pass does
            yield config.with_changes(
                per_device_train_batch_size=size,
                gradient_accumulation_steps=step // size,
                gradient_checkpointing=checkpointing,
                **({"peft": peft} if peft else {}),
            )
