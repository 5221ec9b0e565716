"""Supervised fine-tuning through TRL, mended from outside where TRL 1.16 is slow on a processor.

Off CUDA, TRL's fused head scores every position against the whole vocabulary, prompt and padding
included. Here only the columns that hold a label are scored, and rows of like length share a
batch (measured in docs/benchmarks.md). On CUDA TRL's own loss is used as it is.
"""

from __future__ import annotations

import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Sampler
from transformers import PreTrainedModel, Trainer, TrainerCallback
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from nlp_skills.data.tokens import IGNORED, TokenRow
from nlp_skills.records import sync_folder
from nlp_skills.training.config import TrainConfig

CHECKPOINTS_KEPT = 2


class LengthBucketSampler(Sampler[int]):
    """Indices in batches of like length, in a random order of batches; the same for a seed and an epoch."""

    def __init__(self, lengths: Sequence[int], batch_size: int, seed: int) -> None:
        self.lengths = lengths
        self.batch_size = batch_size
        self.seed = seed
        self.epoch = 0

    def set_epoch(self, epoch: int) -> None:
        """Called by the trainer, on resuming too."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.lengths)

    def __iter__(self) -> Iterator[int]:
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + self.epoch)
        order = torch.randperm(len(self.lengths), generator=generator).tolist()
        bucket = self.batch_size * 64
        batches: list[list[int]] = []
        for start in range(0, len(order), bucket):
            rows = sorted(order[start : start + bucket], key=lambda i: self.lengths[i])
            batches += [rows[i : i + self.batch_size] for i in range(0, len(rows), self.batch_size)]
        # A short batch anywhere but at the end would shift all batches after it.
        full = [b for b in batches if len(b) == self.batch_size]
        short = [i for b in batches if len(b) < self.batch_size for i in b]
        for k in torch.randperm(len(full), generator=generator).tolist():
            yield from full[k]
        yield from short


class LabelledTokensTrainer(SFTTrainer):
    """SFTTrainer whose loss scores labelled columns only, and whose checkpoints appear whole."""

    _staging: Path | None = None
    model: Any
    train_dataset: Any

    def _send_telemetry(self) -> None:
        """TRL would tell a server that a trainer was made; this library tells nobody anything."""

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

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._staging) if self._staging else super()._get_output_dir(trial)

    def _save_checkpoint(self, model: Any, trial: Any) -> None:
        """Write beside, then rename: a kill leaves whole checkpoints only. (No model card: transformers' own.)"""
        folder = Path(self.args.output_dir or ".")
        name = f"checkpoint-{self.state.global_step}"
        self._staging = folder / f".{name}.tmp"
        shutil.rmtree(self._staging, ignore_errors=True)
        try:
            Trainer._save_checkpoint(self, model, trial)
            for file in (self._staging / name).iterdir():
                _fsync(file)
            if (folder / name).exists():
                shutil.rmtree(folder / name)
            (self._staging / name).rename(folder / name)
            sync_folder(folder)
        finally:
            shutil.rmtree(self._staging, ignore_errors=True)
            self._staging = None
        for old in checkpoints(folder)[:-CHECKPOINTS_KEPT]:
            gone = old.with_name(f".{old.name}.old")
            old.rename(gone)
            shutil.rmtree(gone, ignore_errors=True)


def _fsync(file: Path) -> None:
    with file.open("rb+") as stream:
        os.fsync(stream.fileno())


def checkpoints(folder: Path) -> list[Path]:
    """The whole checkpoints of a run, oldest first."""
    found = [p for p in folder.glob("checkpoint-*") if (p / "trainer_state.json").is_file()]
    return sorted(found, key=lambda p: int(p.name.rsplit("-", 1)[1]))


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

    steps = steps_per_epoch(config, len(rows["train"]))
    total = total_steps(config, len(rows["train"]))
    has_valid = bool(rows.get("valid"))
    arguments = SFTConfig(
        output_dir=str(output),
        num_train_epochs=config.epochs,
        learning_rate=config.learning_rate,
        lr_scheduler_type=config.lr_scheduler_type,
        warmup_steps=config.warmup_steps,
        weight_decay=config.weight_decay,
        max_grad_norm=config.max_grad_norm,
        per_device_train_batch_size=config.per_device_train_batch_size,
        per_device_eval_batch_size=config.per_device_eval_batch_size,
        gradient_accumulation_steps=config.gradient_accumulation_steps,
        gradient_checkpointing=config.gradient_checkpointing,
        max_length=config.max_length,
        # The weights are bfloat16 already where that is fast; autocast on top would only cast again.
        bf16=False,
        fp16=False,
        logging_steps=config.logging_steps,
        eval_strategy="steps" if has_valid else "no",
        eval_steps=config.eval_steps or steps,
        save_strategy="steps",
        save_steps=config.save_steps or max(1, min(steps, -(-total // 8))),
        seed=config.seed,
        data_seed=config.seed,
        report_to="none",
        disable_tqdm=True,
        dataloader_pin_memory=torch.cuda.is_available(),
        use_cpu=not (torch.cuda.is_available() or torch.backends.mps.is_available()),
        dataset_kwargs={"skip_prepare_dataset": True},
        remove_unused_columns=False,
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


def steps_per_epoch(config: TrainConfig, rows: int) -> int:
    """Optimiser steps in an epoch on one process."""
    batches = -(-rows // config.per_device_train_batch_size)
    return max(1, -(-batches // config.gradient_accumulation_steps))


def total_steps(config: TrainConfig, rows: int) -> int:
    """Optimiser steps of the whole run on one process."""
    return max(1, math.ceil(steps_per_epoch(config, rows) * config.epochs))


def peft_config(config: TrainConfig) -> Any:
    """PEFT's configuration for the adapter; None for full fine-tuning."""
    from peft import LoraConfig

    if config.peft == "none":
        return None
    return LoraConfig(**config.lora.model_dump(), bias="none", task_type="CAUSAL_LM")


METHODS: dict[str, Callable[..., LabelledTokensTrainer]] = {"sft": build_trainer}
"""How a run is built, by `method` in config.yaml."""
