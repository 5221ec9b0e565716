"""Direct preference optimisation (Rafailov et al. 2023, arXiv:2305.18290) through TRL.

The model learns to find the better answer likelier than the worse one, measured against what the base
model found; with an adapter the base model is the same weights with the adapter switched off.
`sft_weight` adds the chosen answers' own likelihood (RPO, Iterative Reasoning Preference Optimization,
arXiv:2404.19733), because the loss is content when both answers get less likely (P25).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, TrainerCallback
from trl.trainer.dpo_config import DPOConfig
from trl.trainer.dpo_trainer import DPOTrainer

from nlp_skills.data.example import Example
from nlp_skills.training.compact_rows import compact, lengths_of
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.methods.answer_pairs import PairRow, tokenize_pairs
from nlp_skills.training.methods.arguments import peft_config, training_arguments
from nlp_skills.training.methods.arrow_columns import columns_dataset
from nlp_skills.training.methods.preference_trainer import PreferenceTrainer

BETA = 0.1


def tokenize(tokenizer: Any, examples: Sequence[Example], config: TrainConfig, **words: str) -> list[PairRow]:
    """Pairs as ids; `words` (file, cure) go into the error about rows that are too long."""
    return tokenize_pairs(tokenizer, examples, config.max_length, thinking=config.enable_thinking, **words)


class PairTrainer(PreferenceTrainer, DPOTrainer):
    """DPOTrainer on our tokens."""


def build_trainer(
    config: TrainConfig,
    model: PreTrainedModel,
    tokenizer: Any,
    rows: Mapping[str, Sequence[PairRow]],
    output: Path,
    callbacks: list[TrainerCallback],
) -> PairTrainer:
    """The trainer for a run; `rows` holds `train` and, where there are any, `valid`."""
    has_valid = bool(rows.get("valid"))
    mixed = config.sft_weight > 0
    arguments = DPOConfig(
        **training_arguments(config, len(rows["train"]), output, has_valid=has_valid),
        beta=BETA if config.beta is None else config.beta,
        loss_type=["sigmoid", "sft"] if mixed else ["sigmoid"],
        loss_weights=[1.0, config.sft_weight] if mixed else None,
        max_length=None,
    )
    trainer = PairTrainer(
        model=model,
        args=arguments,
        train_dataset=pair_dataset(rows["train"]),
        eval_dataset=pair_dataset(rows["valid"]) if has_valid else None,
        processing_class=tokenizer,
        peft_config=peft_config(config),
        callbacks=callbacks,
    )
    trainer.mend(lengths_of(rows["train"]))
    return trainer


def pair_dataset(rows: Sequence[PairRow]) -> Any:
    """The rows in TRL's columns."""
    found = compact(rows)
    return columns_dataset(
        {name: found.column(name) for name in ("prompt_ids", "chosen_ids", "rejected_ids")}
    )
