"""Which settings a task should be trained with; reasons.py says why.

Settings that decide what is learned come from the task and its rows; settings that decide how it fits into
memory are tried in the order of FITTINGS until one fits.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from nlp_skills.task.task import Task, TaskType
from nlp_skills.training.config import MethodName, Peft, TrainConfig
from nlp_skills.training.defaults import (
    BELONGS_TO,
    FEW_ROWS,
    default_learning_rate,
    default_method,
    step_rows,
)
from nlp_skills.training.planning.hardware import Hardware
from nlp_skills.training.planning.model_shape import ModelShape
from nlp_skills.training.planning.row_lengths import RowLengths

CPU_ROWS = 8
"""More rows at once are no faster on a processor, and cost memory."""
FITTINGS: tuple[tuple[bool, Peft | None, bool], ...] = (
    (False, None, False),
    (True, None, False),
    (False, None, True),
    (True, None, True),
    (False, "qlora", False),
    (True, "qlora", False),
)
"""Checkpointing, another adapter, the model in parts on several GPUs: tried in turn, each with ever fewer rows at once."""

LEAST_ANSWER = 16
TURN = 16
"""Tokens that a chat template may put between the prompt and the answer: the assistant's head, an empty thought."""

KEPT = ("enable_thinking", "replay_file", "replay_share", "report_to", "seed", "threads")
"""What no plan knows better than the newest version's config.yaml."""


def wanted_config(
    task: Task,
    lengths: RowLengths,
    shape: ModelShape,
    *,
    method: MethodName | None = None,
    peft: Peft | None = None,
    valid_rows: int = 0,
    marked: bool = False,
    tools_in_prompt: bool = False,
    before: TrainConfig | None = None,
) -> TrainConfig:
    """What should be learned and how, before it is fitted into a memory.

    `marked`: a preference task's rows are single answers, good or bad. `before`: what the new version starts from,
    whose KEPT settings stay.
    """
    rows = lengths.rows
    method = method or default_method(task, marked=marked)
    peft = peft or "lora"
    keeps_best = valid_rows >= 50 and method != "grpo"
    return TrainConfig.parse(
        {
            **(_kept(before, method, task.base_model) if before else {}),
            "base_model": task.base_model,
            "method": method,
            "peft": peft,
            "epochs": planned_epochs(rows),
            "learning_rate": default_learning_rate(method, peft, rows),
            "keep": "best" if keeps_best else "last",
            "tools_in_prompt": tools_in_prompt,
            **_room(lengths, shape, method),
            **(_rewarded(task, before) if method == "grpo" else {}),
        },
        "the plan",
    )


def _kept(before: TrainConfig, method: MethodName, base_model: str) -> dict[str, Any]:
    found = before.model_dump(mode="json")
    read = {name: found[name] for name in KEPT if method in BELONGS_TO.get(name, (method,))}
    same = before.base_model == base_model
    return {**read, **({"base_revision": before.base_revision} if same else {})}


def _room(lengths: RowLengths, shape: ModelShape, method: MethodName) -> dict[str, int]:
    """max_length for the longest row; of grpo with room behind it for the longest answer that may be tried."""
    longest, answer = lengths.longest[0].tokens, 0
    if method == "grpo":
        answer = TrainConfig.model_fields["max_completion_length"].default
        if shape.positions:
            prompt = max(row.tokens - row.trained for row in lengths.longest)
            answer = max(LEAST_ANSWER, min(answer, shape.positions - prompt - TURN))
        longest += answer + TURN
    length = max(64, math.ceil(longest / 64) * 64)
    if shape.positions:
        length = max(64, min(length, shape.positions))
    return {"max_length": length, **({"max_completion_length": answer} if answer else {})}


def _rewarded(task: Task, before: TrainConfig | None) -> dict[str, list[str]]:
    return {"rewards": before.rewards if before and before.rewards else [_reward(task)]}


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
    step = step_rows(rows)
    processes = planned_processes(hardware.gpus, rows)
    most = min(step // processes, CPU_ROWS) if hardware.device == "cpu" else step // processes
    least = 2 if config.method == "kto" else 1
    sizes = [size for size in (16, 8, 4, 2, 1) if least <= size <= most] or [least]
    for checkpointing, peft, divided in FITTINGS:
        if peft == "qlora" and (config.peft != "lora" or hardware.device == "mps"):
            continue  # full and DoRA were asked for; bitsandbytes has no kernels for Metal
        if divided and (processes == 1 or config.peft == "qlora"):
            continue
        for size in sizes:
            if checkpointing and size == most > 1 and hardware.device == "cpu":
                continue  # fewer rows cost nothing there, a second forward pass does
            yield config.with_changes(
                per_device_train_batch_size=size,
                gradient_accumulation_steps=max(1, step // size // processes),
                gradient_checkpointing=checkpointing,
                num_processes=processes,
                distributed="fsdp" if divided else "ddp",
                **({"peft": peft} if peft else {}),
            )


def planned_processes(gpus: int, rows: int) -> int:
    """One for each GPU, as far as they divide the rows of a step; with few rows one GPU is soon done."""
    if rows < FEW_ROWS:
        return 1
    return max(count for count in (1, 2, 4, 8) if count <= max(1, gpus))
