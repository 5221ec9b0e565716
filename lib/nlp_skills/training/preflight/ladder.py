"""The ladder down from too little memory: each step makes the run smaller, those that change least first.

    batch → accumulation    the same rows make a step, so the same is learned
    checkpointing           the same, a third slower (activations are computed again in the backward pass)
    length                  the longest rows are left out, at most one in a hundred, each by its id
    4-bit                   the frozen weights in nf4 (Dettmers et al. 2023, arXiv:2305.14314)
    rank                    a smaller adapter, with lora_alpha / lora_r as it was

Where validation alone did not fit (EVAL-MEM), per_device_eval_batch_size comes first, which changes nothing that is learned.

A run takes a step by itself, begins again in a fresh process and says so in job.json; config.yaml stays as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any, NamedTuple

from nlp_skills.records import Record
from nlp_skills.training.config import TrainConfig

LEAST_RANK = 4
LEFT_OUT = 0.01
"""Of the training rows, that may be left out because they are too long."""
SHORTER = 0.9
"""Leaving rows out has to make the longest at least so much shorter, or it is not worth it."""


class LongestRows(Record):
    """Tokens of the training rows."""

    longest: int
    most: int
    """The longest of those that are left when the longest one in a hundred is taken away."""


class Rung(NamedTuple):
    """One step down."""

    changes: dict[str, Any]
    """Fields of config.yaml, with the values that they take."""
    words: str
    keeps_checkpoints: bool
    """Whether a run can go on from the checkpoints of what it was before."""


def longest_rows(lengths: Sequence[int]) -> LongestRows | None:
    """What the ladder has to know about the rows; None without rows."""
    if not lengths:
        return None
    ordered = sorted(lengths)
    return LongestRows(longest=ordered[-1], most=ordered[-1 - int(len(ordered) * LEFT_OUT)])


def next_rung(
    config: TrainConfig, lengths: LongestRows | None = None, *, evaluating: bool = False
) -> Rung | None:
    """The next step down from these settings; None when nothing is left that would help.

    `evaluating`: the memory did not suffice for validation rows (EVAL-MEM), so training stays as it is if that can be.
    """
    training = (_smaller_batch, _checkpointing, _shorter, _four_bits, _smaller_rank)
    for rung in (_smaller_evaluation, _shorter, _four_bits) if evaluating else training:
        changes = rung(config, lengths)
        if changes:
            old = config.model_dump(mode="json")
            words = ", ".join(f"{field} {old[field]} → {value}" for field, value in changes.items())
            return Rung(changes, words, keeps_checkpoints=rung in KEEPING)
    return None


def _smaller_batch(config: TrainConfig, _: LongestRows | None) -> dict[str, Any]:
    """Batch × accumulation stays the same to the row; kto compares the rows of a batch, so two have to be left."""
    changes: dict[str, Any] = {}
    batch = config.per_device_train_batch_size
    divisor = _smallest_divisor(batch)
    if divisor and batch // divisor >= (2 if config.method == "kto" else 1):
        changes["per_device_train_batch_size"] = batch // divisor
        changes["gradient_accumulation_steps"] = config.gradient_accumulation_steps * divisor
    return {**changes, **_smaller_evaluation(config, _)}


def _smaller_evaluation(config: TrainConfig, _: LongestRows | None) -> dict[str, Any]:
    size = config.per_device_eval_batch_size
    return {"per_device_eval_batch_size": size // 2} if size > 1 else {}


def _smallest_divisor(number: int) -> int | None:
    return next((d for d in range(2, number + 1) if number % d == 0), None)


def _checkpointing(config: TrainConfig, _: LongestRows | None) -> dict[str, Any]:
    return {} if config.gradient_checkpointing else {"gradient_checkpointing": True}


def _shorter(config: TrainConfig, lengths: LongestRows | None) -> dict[str, Any]:
    """cpt cuts its texts into pieces, so that nothing is left out there; grpo's rows are as long as its answers."""
    if config.method == "cpt":
        half = config.max_length // 2
        return {"max_length": half} if lengths and lengths.longest > half >= 128 else {}
    if lengths is None or config.method == "grpo" or lengths.most > SHORTER * lengths.longest:
        return {}
    return {"max_length": max(16, lengths.most)} if config.max_length > max(16, lengths.most) else {}


def _four_bits(config: TrainConfig, _: LongestRows | None) -> dict[str, Any]:
    possible = config.peft == "lora" and (config.num_processes == 1 or config.distributed == "ddp")
    return {"peft": "qlora"} if possible and find_spec("bitsandbytes") else {}


def _smaller_rank(config: TrainConfig, _: LongestRows | None) -> dict[str, Any]:
    rank = config.lora_r // 2
    if config.peft == "none" or rank < LEAST_RANK:
        return {}
    share = (rank / config.lora_r) ** (0.5 if config.use_rslora else 1.0)
    return {"lora_r": rank, "lora_alpha": max(1, round(config.lora_alpha * share))}


KEEPING = (_smaller_batch, _smaller_evaluation, _checkpointing)
"""What changes nothing that a checkpoint holds."""
