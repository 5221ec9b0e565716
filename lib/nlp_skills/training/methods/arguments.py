"""config.yaml in the words of TRL and PEFT: what is the same for every method."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

from nlp_skills.base_model import compute_dtype
from nlp_skills.training.config import TrainConfig


def training_arguments(config: TrainConfig, rows: int, output: Path, *, has_valid: bool) -> dict[str, Any]:
    """The arguments that every TRL configuration takes; `rows` is the number of training rows."""
    import torch

    steps = steps_per_epoch(config, rows)
    total = total_steps(config, rows)
    return {
        "output_dir": str(output),
        "num_train_epochs": config.epochs,
        "learning_rate": config.learning_rate,
        "lr_scheduler_type": config.lr_scheduler_type,
        "warmup_steps": config.warmup_steps,
        "weight_decay": config.weight_decay,
        "max_grad_norm": config.max_grad_norm,
        "per_device_train_batch_size": config.per_device_train_batch_size,
        "per_device_eval_batch_size": config.per_device_eval_batch_size,
        "gradient_accumulation_steps": config.gradient_accumulation_steps,
        "gradient_checkpointing": config.gradient_checkpointing,
        # Frozen weights are bfloat16 already where that is fast; weights that are trained stay float32 and multiply in it.
        "bf16": config.peft == "none" and compute_dtype(config.dtype) is torch.bfloat16,
        "fp16": False,
        "logging_steps": config.logging_steps,
        # It would put the mean of the losses before in the place of NaN, and RUN-NAN would not see it.
        "logging_nan_inf_filter": False,
        "eval_strategy": "steps" if has_valid else "no",
        "eval_steps": config.eval_steps or steps,
        "save_strategy": "steps",
        "save_steps": config.save_steps or max(1, min(steps, -(-total // 8))),
        "seed": config.seed,
        "data_seed": config.seed,
        "report_to": "none",
        "disable_tqdm": True,
        "dataloader_pin_memory": torch.cuda.is_available(),
        "use_cpu": not (torch.cuda.is_available() or torch.backends.mps.is_available()),
        "remove_unused_columns": False,
    }


def steps_per_epoch(config: TrainConfig, rows: int) -> int:
    """Optimiser steps in an epoch, of all processes together."""
    batch = config.per_device_train_batch_size
    # A batch of grpo holds answers, num_generations to each prompt.
    batches = -(-rows * config.num_generations // batch) if config.method == "grpo" else -(-rows // batch)
    each = -(-batches // config.num_processes)
    return max(1, -(-each // config.gradient_accumulation_steps))


def total_steps(config: TrainConfig, rows: int) -> int:
    """Optimiser steps of the whole run."""
    return max(1, math.ceil(steps_per_epoch(config, rows) * config.epochs))


def peft_config(config: TrainConfig) -> Any:
    """PEFT's configuration for the adapter; None for full fine-tuning."""
    from peft import LoraConfig

    if config.peft == "none":
        return None
    return LoraConfig(**config.lora.model_dump(), bias="none", task_type="CAUSAL_LM")
