"""Supervised fine-tuning through TRL, mended from outside where TRL 1.16 is slow on a processor.

Off CUDA, TRL's fused head scores every position against the whole vocabulary, prompt and padding
included. Here only the columns that hold a label are scored, and rows of like length share a
batch (measured in docs/benchmarks.md). On CUDA TRL's own loss is used as it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import PreTrainedModel, TrainerCallback
from trl.data_utils import pack_dataset
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from nlp_skills.data.example import Example
from nlp_skills.data.prompted_tools import with_prompted_tools
from nlp_skills.data.tokens import IGNORED, TokenRow, tokenize_rows
from nlp_skills.errors import NotValid
from nlp_skills.training.compact_rows import compact
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.methods.arguments import peft_config, training_arguments
from nlp_skills.training.methods.arrow_columns import columns_dataset, list_lengths
from nlp_skills.training.methods.length_buckets import LengthBucketSampler
from nlp_skills.training.methods.precision import bfloat16_products, keep_adapter_in_float32
from nlp_skills.training.methods.whole_checkpoints import WholeCheckpoints


def tokenize(
    tokenizer: Any, examples: Sequence[Example], config: TrainConfig, **words: str
) -> list[TokenRow]:
    """Ids and labels of each example; `words` (file, cure) go into the error about rows that are too long."""
    if not config.assistant_only_loss:
        _require_no_weights(examples)
    if config.tools_in_prompt:
        examples = [with_prompted_tools(example) for example in examples]
    rows = tokenize_rows(tokenizer, examples, config.max_length, thinking=config.enable_thinking, **words)
    if config.assistant_only_loss:
        return rows
    return [replace(row, labels=[IGNORED, *row.input_ids[1:]]) for row in rows]


def _require_no_weights(examples: Sequence[Example]) -> None:
    for example in examples:
        if any(message.weight == 0 for message in example.messages or ()):
            raise NotValid(
                f"Row {example.meta.id} has an answer of weight 0, which is not to be learned, and"
                " assistant_only_loss: false learns all of a row. Delete the weight, or keep assistant_only_loss."
            )


class LabelledTokensTrainer(WholeCheckpoints, SFTTrainer):
    """SFTTrainer whose loss scores labelled columns only."""

    model: Any
    train_dataset: Any

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """Mean cross-entropy over the labelled tokens of the batch (or of the accumulated batches)."""
        learns = self.model.training
        if return_outputs or (learns and inputs["input_ids"].device.type == "cuda"):
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        if inputs["input_ids"].device.type == "cuda":
            return self._validation_loss(model, inputs)
        labels = inputs["labels"][:, 1:]
        columns = (labels != IGNORED).any(dim=0).nonzero().squeeze(1)
        with bfloat16_products(self.model, model, self.args.device):
            outputs = model(
                input_ids=inputs["input_ids"],
                attention_mask=inputs["attention_mask"],
                use_cache=False,
                logits_to_keep=columns,
            )
        kept = labels[:, columns]
        mask = kept != IGNORED
        logits = outputs.logits[mask].float()
        targets = kept[mask]
        losses = torch.nn.functional.cross_entropy(logits, targets, reduction="none")
        if not learns:
            self.note_rows(torch.zeros(mask.shape).masked_scatter(mask, losses).sum(dim=1), mask.sum(dim=1))
        count = mask.sum() if num_items_in_batch is None else num_items_in_batch
        correct = (logits.argmax(-1) == targets).float().mean().item()
        self._metrics["train" if learns else "eval"]["mean_token_accuracy"].append(correct)
        loss = losses.sum() / torch.as_tensor(count).clamp(min=1)
        # That count is of all processes, whose gradients are averaged afterwards: as in the Trainer's own compute_loss.
        return loss if num_items_in_batch is None else loss * self.accelerator.num_processes

    def _validation_loss(self, model: Any, inputs: dict[str, Any]) -> Any:
        """On CUDA: TRL's fused head scores labels only, and gives the loss of each token."""
        outputs = model(**inputs, use_cache=False, fused_lm_head=True)
        losses, counts = -outputs.log_probs.float().sum(dim=1), outputs.label_mask.sum(dim=1)
        self.note_rows(losses, counts)
        total = counts.sum().clamp(min=1)
        self._metrics["eval"]["mean_token_accuracy"].append((outputs.is_top1.sum() / total).item())
        return losses.sum() / total

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        rows = self.train_dataset if train_dataset is None else train_dataset
        return LengthBucketSampler(
            list_lengths(rows, "input_ids"), self.args.train_batch_size, self.args.seed
        )


def build_trainer(
    config: TrainConfig,
    model: PreTrainedModel,
    tokenizer: Any,
    rows: Mapping[str, Sequence[TokenRow]],
    output: Path,
    callbacks: list[TrainerCallback],
) -> LabelledTokensTrainer:
    """The trainer for a run; `rows` holds `train` and, where there are any, `valid`."""

    def dataset(split: str) -> Any:
        found = compact(rows[split])
        return columns_dataset({name: found.column(name) for name in ("input_ids", "labels")})

    has_valid = bool(rows.get("valid"))
    train = packed(dataset("train"), config.max_length) if config.packing else dataset("train")
    arguments = SFTConfig(
        **training_arguments(config, len(train), output, has_valid=has_valid),
        max_length=config.max_length,
        packing=config.packing,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    trainer = LabelledTokensTrainer(
        model=model,
        args=arguments,
        train_dataset=train,
        eval_dataset=dataset("valid") if has_valid else None,
        processing_class=tokenizer,
        peft_config=peft_config(config),
        callbacks=callbacks,
    )
    keep_adapter_in_float32(trainer.model)
    return trainer


def packed(rows: Any, max_length: int) -> Any:
    """Rows put together to at most `max_length` tokens, best fit first; `seq_lengths` says where each begins.

    TRL's collator makes of that what flash attention needs to keep the rows apart.
    """
    return pack_dataset(rows, max_length, "bfd")
