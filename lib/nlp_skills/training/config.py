"""`config.yaml`: everything that decides a run, in the words of TRL and PEFT.

`epochs` is the only name of our own (`num_train_epochs` there).
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from nlp_skills.data.tokens import MAX_LENGTH
from nlp_skills.records import Record

ALL_LINEAR = "all-linear"


class LoRAConfig(Record):
    """The adapter's part of the settings, with PEFT's own names (Hu et al. 2021, arXiv:2106.09685)."""

    r: int = Field(default=16, ge=1)
    lora_alpha: int = Field(default=32, ge=1)
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: list[str] | Literal["all-linear"] = ALL_LINEAR
    use_dora: bool = False
    """Weight-decomposed adaptation (Liu et al. 2024, arXiv:2402.09353)."""


class TrainConfig(Record):
    """One run. Two runs with equal config, data and environment give equal adapters."""

    base_model: str = "smollm2-135m-instruct"
    """A Hub id, a local folder, a GGUF file, or the name of an embedded model."""
    base_revision: str | None = None
    method: Literal["sft"] = "sft"
    peft: Literal["lora", "dora", "none"] = "lora"
    lora_r: int = Field(default=16, ge=1)
    lora_alpha: int = Field(default=32, ge=1)
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: list[str] | Literal["all-linear"] = ALL_LINEAR
    epochs: float = Field(default=3.0, gt=0)
    learning_rate: float = Field(default=2e-4, gt=0)
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "cosine"
    warmup_steps: float = Field(default=0.05, ge=0)
    """Below 1: a share of all steps."""
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    per_device_train_batch_size: int = Field(default=8, ge=1)
    gradient_accumulation_steps: int = Field(default=1, ge=1)
    per_device_eval_batch_size: int = Field(default=16, ge=1)
    gradient_checkpointing: bool = False
    max_length: int = Field(default=MAX_LENGTH, ge=16)
    """Tokens; a longer row is an error before training, never a silent cut."""
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    """auto: bfloat16 where the processor or GPU computes in it, otherwise float32."""
    eval_steps: int | None = Field(default=None, ge=1)
    """None: at the end of each epoch."""
    save_steps: int | None = Field(default=None, ge=1)
    """None: about eight times in a run, at least once an epoch, and at its end."""
    logging_steps: int = Field(default=1, ge=1)
    seed: int = 13
    threads: int | None = Field(default=None, ge=1)
    """CPU threads; None: one for each core that is free. Part of what makes a run repeatable."""

    @property
    def lora(self) -> LoRAConfig:
        """The adapter's settings in PEFT's names."""
        return LoRAConfig(
            r=self.lora_r,
            lora_alpha=self.lora_alpha,
            lora_dropout=self.lora_dropout,
            target_modules=self.target_modules,
            use_dora=self.peft == "dora",
        )

    def with_lora(self, lora: LoRAConfig) -> TrainConfig:
        """The same run with another adapter."""
        return self.with_changes(
            peft="dora" if lora.use_dora else "lora",
            lora_r=lora.r,
            lora_alpha=lora.lora_alpha,
            lora_dropout=lora.lora_dropout,
            target_modules=lora.target_modules,
        )
