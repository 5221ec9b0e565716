"""Kahneman-Tversky optimisation (Ethayarajh et al. 2024, arXiv:2402.01306) through TRL: answers that are marked good or bad.

Where the model stands beside the base model (the KL term) is measured on answers that belong to another
prompt of the same batch, so the batches are made once, of rows of like length; only their order changes.
Good and bad answers count the same, however many there are of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import PreTrainedModel, TrainerCallback
from trl.trainer.kto_config import KTOConfig
from trl.trainer.kto_trainer import KTOTrainer

from nlp_skills.data.example import Example
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.methods.answer_pairs import MarkedRow, tokenize_marked
from nlp_skills.training.methods.arguments import peft_config, training_arguments
from nlp_skills.training.methods.preference_trainer import PreferenceTrainer

BETA = 0.1


def tokenize(
    tokenizer: Any, examples: Sequence[Example], config: TrainConfig, **words: str
) -> list[MarkedRow]:
    """Marked answers as ids, two of a pair; `words` (file, cure) go into the error about rows that are too long."""
    return tokenize_marked(tokenizer, examples, config.max_length, thinking=config.enable_thinking, **words)


class MarkedTrainer(PreferenceTrainer, KTOTrainer):
    """KTOTrainer on our tokens, in batches that stay together."""

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:  # noqa: ARG002
        return BatchOrder(len(self.lengths), self.args.train_batch_size, self.args.seed)


class BatchOrder(Sampler[int]):
    """Indices of batches that lie one after the other, the batches in a random order; a short one stays last."""

    def __init__(self, rows: int, batch_size: int, seed: int) -> None:
        self.rows, self.batch_size, self.seed, self.epoch = rows, batch_size, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer, on resuming too."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.rows

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        full = self.rows // self.batch_size
        for batch in torch.randperm(full, generator=generator).tolist():
            yield from range(batch * self.batch_size, (batch + 1) * self.batch_size)
        yield from range(full * self.batch_size, self.rows)


def build_trainer(
    config: TrainConfig,
    model: PreTrainedModel,
    tokenizer: Any,
    rows: dict[str, list[MarkedRow]],
    output: Path,
    callbacks: list[TrainerCallback],
) -> MarkedTrainer:
    """The trainer for a run; `rows` holds `train` and, where there are any, `valid`."""
    has_valid = bool(rows.get("valid"))
    train = in_batches(rows["train"], config.per_device_train_batch_size, config.seed)
    good, bad = balance(rows["train"])
    arguments = KTOConfig(
        **training_arguments(config, len(train), output, has_valid=has_valid),
        beta=BETA if config.beta is None else config.beta,
        desirable_weight=good,
        undesirable_weight=bad,
        max_length=None,
    )
    valid = in_batches(rows["valid"], config.per_device_eval_batch_size, config.seed) if has_valid else []
    trainer = MarkedTrainer(
        model=model,
        args=arguments,
        train_dataset=marked_dataset(train, config.per_device_train_batch_size),
        eval_dataset=marked_dataset(valid, config.per_device_eval_batch_size) if has_valid else None,
        processing_class=tokenizer,
        peft_config=peft_config(config),
        callbacks=callbacks,
    )
    trainer.mend([row.length for row in train])
    return trainer


def balance(rows: Sequence[MarkedRow]) -> tuple[float, float]:
    """Weights of desirable and undesirable rows that make both kinds count the same (equation 8 of the paper)."""
    good = sum(row.desirable for row in rows)
    bad = len(rows) - good
    if not good or not bad:
        return 1.0, 1.0
    return max(1.0, bad / good), max(1.0, good / bad)


def in_batches(rows: Sequence[MarkedRow], batch_size: int, seed: int) -> list[MarkedRow]:
    """The rows so that batches of like length follow each other, each with its share of good and of bad answers."""
    generator = torch.Generator().manual_seed(seed)
    order = [rows[place] for place in torch.randperm(len(rows), generator=generator).tolist()]
    bucket = batch_size * 64
    return [
        row for start in range(0, len(order), bucket) for row in _by_length(order[start : start + bucket])
    ]


def _by_length(rows: Sequence[MarkedRow]) -> list[MarkedRow]:
    """Sorted by the rank of the length among the rows of the same mark, so that both marks are spread evenly."""
    ranked: list[tuple[float, MarkedRow]] = []
    for desirable in (True, False):
        kind = sorted((row for row in rows if row.desirable is desirable), key=lambda row: row.length)
        ranked += [((place + 0.5) / len(kind), row) for place, row in enumerate(kind)]
    return [row for _, row in sorted(ranked, key=lambda pair: pair[0])]


def marked_dataset(rows: Sequence[MarkedRow], batch_size: int) -> Any:
    """The rows in TRL's columns; the answer for the KL term is that of the row before in the batch."""
    from datasets import Dataset

    others = []
    for start in range(0, len(rows), batch_size):
        batch = [row.completion_ids for row in rows[start : start + batch_size]]
        # A batch of one takes the answer before it: its own would say what the reward says.
        others += [batch[-1] if len(batch) > 1 else rows[start - 1].completion_ids, *batch[:-1]]
    return Dataset.from_dict(
        {
            "prompt_ids": [row.prompt_ids for row in rows],
            "completion_ids": [row.completion_ids for row in rows],
            "KL_completion_ids": others,
            "label": [row.desirable for row in rows],
        }
    )
