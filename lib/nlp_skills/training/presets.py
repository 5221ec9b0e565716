"""Settings by hardware, for those who do not want to work them out.

A step sees 16 rows everywhere (rows at once × accumulation), so the learning rate, which was
chosen for that, holds on every machine; what changes is how the 16 rows are fitted into memory.
"""

from __future__ import annotations

from typing import Any

from nlp_skills.training.config import TrainConfig
from nlp_skills.training.defaults import STEP_ROWS

DEFAULT_MODEL = "smollm2-135m-instruct"

LORA: dict[str, Any] = {
    "peft": "lora",
    "lora_r": 16,
    # Twice the rank: the adapter's scale (alpha / r) then stays 2 for every rank.
    "lora_alpha": 32,
    # Short runs see a row a few times only: there is little to forget on purpose.
    "lora_dropout": 0.0,
    "learning_rate": 2e-4,
    "epochs": 3.0,
}


class PresetConfigs:
    """`PresetConfigs.rtx_3060()`: a TrainConfig for that machine; `base_model` as in config.yaml."""

    @staticmethod
    def minimal(base_model: str = DEFAULT_MODEL) -> TrainConfig:
        """4 GB of GPU memory, or a try-out: one row at a time, recomputed activations, short rows, rank 8."""
        return _preset(base_model, 1, checkpointing=True, max_length=512, lora_r=8, lora_alpha=16, epochs=1.0)

    @staticmethod
    def rtx_3060(base_model: str = DEFAULT_MODEL) -> TrainConfig:
        """12 GB: two rows of 2,048 tokens, activations computed again to make room for them."""
        return _preset(base_model, 2, checkpointing=True, max_length=2048)

    @staticmethod
    def rtx_4090(base_model: str = DEFAULT_MODEL) -> TrainConfig:
        """24 GB: four rows at once; a model of 7 billion parameters in bfloat16 still needs recomputing."""
        return _preset(base_model, 4, checkpointing=True, max_length=2048)

    @staticmethod
    def a100(base_model: str = DEFAULT_MODEL) -> TrainConfig:
        """40 GB and more: all 16 rows at once, nothing computed twice."""
        return _preset(base_model, 16, checkpointing=False, max_length=2048)

    @staticmethod
    def h100(base_model: str = DEFAULT_MODEL) -> TrainConfig:
        """80 GB: all 16 rows at once, and rows twice as long as on an A100 of 40 GB."""
        return _preset(base_model, 16, checkpointing=False, max_length=4096)

    @staticmethod
    def h200(base_model: str = DEFAULT_MODEL) -> TrainConfig:
        """141 GB: as on an H100, with room for rows of 8,192 tokens."""
        return _preset(base_model, 16, checkpointing=False, max_length=8192)

    @staticmethod
    def apple(base_model: str = DEFAULT_MODEL) -> TrainConfig:
        """A Mac with 16 GB, of which Metal gives a process three quarters: four rows, nothing computed twice."""
        return _preset(base_model, 4, checkpointing=False, max_length=1024)

    @staticmethod
    def cpu(base_model: str = DEFAULT_MODEL) -> TrainConfig:
        """No GPU: memory is there and time is not, so nothing is computed twice and rows are short."""
        return _preset(base_model, 8, checkpointing=False, max_length=512)


def _preset(base_model: str, rows: int, *, checkpointing: bool, max_length: int, **other: Any) -> TrainConfig:
    return TrainConfig(
        base_model=base_model,
        per_device_train_batch_size=rows,
        gradient_accumulation_steps=STEP_ROWS // rows,
        gradient_checkpointing=checkpointing,
        max_length=max_length,
        **{**LORA, **other},
    )
