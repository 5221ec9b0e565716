"""Kahneman-Tversky optimisation (Ethayarajh et al. 2024, arXiv:2402.01306) through TRL: answers that are marked good or bad.

Where the model stands beside the base model (the KL term) is measured on answers that belong to another
prompt of the same batch, so the batches are made once, of rows of like length; only their order changes.
Good and bad answers count the same, however many there are of each.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import PreTrainedModel, TrainerCallback
from trl.trainer.kto_config import KTOConfig
from trl.trainer.kto_trainer import KTOTrainer

from nlp_skills.data.example import Example
from nlp_skills.training.compact_rows import Column, CompactRows, compact, lengths_of
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.methods.answer_pairs import MarkedRow, tokenize_marked
from nlp_skills.training.methods.arguments import peft_config, training_arguments
from nlp_skills.training.methods.arrow_columns import columns_dataset
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
    rows: Mapping[str, Sequence[MarkedRow]],
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
    trainer.mend(lengths_of(train))
    return trainer


def balance(rows: Sequence[MarkedRow]) -> tuple[float, float]:
    """Weights of desirable and undesirable rows that make both kinds count the same (equation 8 of the paper)."""
    good = sum(compact(rows).flags("desirable"))
    bad = len(rows) - good
    if not good or not bad:
        return 1.0, 1.0
    return max(1.0, bad / good), max(1.0, good / bad)


def in_batches(rows: Sequence[MarkedRow], batch_size: int, seed: int) -> Sequence[MarkedRow]:
    """The rows so that batches of like length follow each other, each with its share of good and of bad answers."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(rows), generator=generator).tolist()
    found = compact(rows)
    good, bucket = found.flags("desirable"), batch_size * 64
    parts = (order[start : start + bucket] for start in range(0, len(order), bucket))
    return CompactRows(found[place] for part in parts for place in _by_length(part, found.lengths, good))


def _by_length(places: Sequence[int], lengths: Sequence[int], good: Sequence[bool]) -> list[int]:
    """Sorted by the rank of the length among the rows of the same mark, so that both marks are spread evenly."""
    ranked: list[tuple[float, int]] = []
    for desirable in (True, False):
        kind = sorted((p for p in places if good[p] is desirable), key=lambda place: lengths[place])
        ranked += [((rank + 0.5) / len(kind), place) for rank, place in enumerate(kind)]
    return [place for _, place in sorted(ranked, key=lambda pair: pair[0])]


def marked_dataset(rows: Sequence[MarkedRow], batch_size: int) -> Any:
    """The rows in TRL's columns; the answer for the KL term is that of the row before in the batch."""
    found = compact(rows)
    answers, others = found.column("completion_ids"), Column.of([])
    for start in range(0, len(rows), batch_size):
        last = min(start + batch_size, len(rows)) - 1
        # A batch of one takes the answer before it: its own would say what the reward says.
        others.append(answers.at(last if last > start else (start - 1) % len(rows)))
        for place in range(start, last):
            others.append(answers.at(place))
    return columns_dataset(
        {
            "prompt_ids": found.column("prompt_ids"),
            "completion_ids": answers,
            "KL_completion_ids": others,
            "label": found.flags("desirable"),
        }
    )
