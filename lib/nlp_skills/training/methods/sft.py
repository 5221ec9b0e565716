"""Supervised fine-tuning through TRL, mended from outside where TRL 1.16 is slow on a processor.

Off CUDA, TRL's fused head scores every position against the whole vocabulary, prompt and padding
included. Here only the columns that hold a label are scored, and rows of like length share a
batch (measured in docs/benchmarks.md). On CUDA TRL's own loss is used as it is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import PreTrainedModel, TrainerCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from nlp_skills.data.example import Example
from nlp_skills.data.tokens import IGNORED, TokenRow, tokenize_rows
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.methods.arguments import peft_config, training_arguments
from nlp_skills.training.methods.length_buckets import LengthBucketSampler
from nlp_skills.training.methods.whole_checkpoints import WholeCheckpoints


def tokenize(
    tokenizer: Any, examples: Sequence[Example], config: TrainConfig, **words: str
) -> list[TokenRow]:
    """Ids and labels of each example; `words` (file, cure) go into the error about rows that are too long."""
    return tokenize_rows(tokenizer, examples, config.max_length, **words)


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
        if inputs["input_ids"].device.type == "cuda" or return_outputs:
            return super().compute_loss(model, inputs, return_outputs, num_items_in_batch)
        labels = inputs["labels"][:, 1:]
        columns = (labels != IGNORED).any(dim=0).nonzero().squeeze(1)
        with self._bfloat16_products(model):
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
        total = torch.nn.functional.cross_entropy(logits, targets, reduction="sum")
        count = mask.sum() if num_items_in_batch is None else num_items_in_batch
        mode = "train" if self.model.training else "eval"
        correct = (logits.argmax(-1) == targets).float().mean().item()
        self._metrics[mode]["mean_token_accuracy"].append(correct)
        return total / torch.as_tensor(count).clamp(min=1)

    @contextmanager
    def _bfloat16_products(self, model: Any) -> Iterator[None]:
        """Adapters keep float32 weights but multiply in bfloat16, as the frozen weights do.

        PEFT would cast every input to float32 and back, which costs a third of the speed on a processor.
        """
        from peft.helpers import disable_input_dtype_casting

        if self.model.dtype is not torch.bfloat16:
            yield
            return
        with torch.autocast(self.args.device.type, torch.bfloat16), disable_input_dtype_casting(model):
            yield

    def _get_train_sampler(self, train_dataset: Any = None) -> Sampler[int]:
        rows = self.train_dataset if train_dataset is None else train_dataset
        lengths = [len(ids) for ids in rows["input_ids"]]
        return LengthBucketSampler(lengths, self.args.train_batch_size, self.args.seed)


def build_trainer(
    config: TrainConfig,
    model: PreTrainedModel,
    tokenizer: Any,
    rows: dict[str, list[TokenRow]],
    output: Path,
    callbacks: list[TrainerCallback],
) -> LabelledTokensTrainer:
    """The trainer for a run; `rows` holds `train` and, where there are any, `valid`."""
    from datasets import Dataset

    def dataset(split: str) -> Any:
        return Dataset.from_dict(
            {
                "input_ids": [row.input_ids for row in rows[split]],
                "labels": [row.labels for row in rows[split]],
            }
        )

    has_valid = bool(rows.get("valid"))
    arguments = SFTConfig(
        **training_arguments(config, len(rows["train"]), output, has_valid=has_valid),
        max_length=config.max_length,
        dataset_kwargs={"skip_prepare_dataset": True},
    )
    return LabelledTokensTrainer(
        model=model,
        args=arguments,
        train_dataset=dataset("train"),
        eval_dataset=dataset("valid") if has_valid else None,
        processing_class=tokenizer,
        peft_config=peft_config(config),
        callbacks=callbacks,
    )
