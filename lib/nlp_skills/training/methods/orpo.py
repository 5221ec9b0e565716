"""Odds ratio preference optimisation (Hong et al. 2024, arXiv:2403.07691): learns the better answer and prefers it, in one.

TRL's trainer, with two things mended: the head scores the answers only, and the likelihood part is that of the
better answer, as in equation 6 of the paper; TRL would learn the prompt too.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, TrainerCallback
from trl.import_utils import TRLExperimentalWarning
from trl.trainer.utils import add_fused_lm_head

from nlp_skills.data.example import Example
from nlp_skills.data.tokens import IGNORED
from nlp_skills.training.compact_rows import Column, lengths_of
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.methods.answer_pairs import PairRow, tokenize_pairs
from nlp_skills.training.methods.arguments import peft_config, training_arguments
from nlp_skills.training.methods.arrow_columns import columns_dataset
from nlp_skills.training.methods.precision import bfloat16_products
from nlp_skills.training.methods.preference_trainer import PreferenceTrainer

with warnings.catch_warnings():
    # That the place may change is known: uv.lock holds the version, and a test trains with it.
    warnings.simplefilter("ignore", TRLExperimentalWarning)
    from trl.experimental.orpo import ORPOConfig, ORPOTrainer

BETA = 0.1


def tokenize(tokenizer: Any, examples: Sequence[Example], config: TrainConfig, **words: str) -> list[PairRow]:
    """Pairs as ids; `words` (file, cure) go into the error about rows that are too long."""
    return tokenize_pairs(tokenizer, examples, config.max_length, thinking=config.enable_thinking, **words)


class OddsRatioTrainer(PreferenceTrainer, ORPOTrainer):
    """ORPOTrainer on our tokens."""

    ref_model = None
    padding_value: Any

    @staticmethod
    def tokenize_row(_row: Any) -> dict[str, Any]:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The columns are there already."""
        return {}

    @property
    def _metrics(self) -> Any:
        return self._stored_metrics

    def concatenated_forward(self, model: Any, batch: Any) -> Any:
        """Mean log-probability of each answer, and the loss of the better ones, from the labelled positions alone."""
        joined = self.concatenated_inputs(
            batch, padding_value=self.padding_value, device=self.accelerator.device
        )
        labels = joined["concatenated_labels"]
        router = {"output_router_logits": True} if self.aux_loss_enabled else {}
        out = model(
            input_ids=joined["concatenated_input_ids"],
            attention_mask=joined["concatenated_attention_mask"],
            labels=labels,
            fused_lm_head=True,
            use_cache=False,
            **router,
        )
        sums = out.log_probs.sum(dim=1)
        counts = (labels[:, 1:] != IGNORED).sum(dim=1)
        better, worse = (sums / counts).chunk(2)
        loss = -sums.chunk(2)[0].sum() / counts.chunk(2)[0].sum()
        logits = [part[part != 0] for part in out.mean_logits.chunk(2)]
        return (better, worse, *logits, loss, *([out.aux_loss] if self.aux_loss_enabled else []))

    def prediction_step(self, model: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """As in training, TRL's own way past compute_loss included."""
        with bfloat16_products(self.model, model, self.args.device):
            return super().prediction_step(model, inputs, *args, **kwargs)


def build_trainer(
    config: TrainConfig,
    model: PreTrainedModel,
    tokenizer: Any,
    rows: Mapping[str, Sequence[PairRow]],
    output: Path,
    callbacks: list[TrainerCallback],
) -> OddsRatioTrainer:
    """The trainer for a run; `rows` holds `train` and, where there are any, `valid`."""
    has_valid = bool(rows.get("valid"))
    arguments = ORPOConfig(
        **training_arguments(config, len(rows["train"]), output, has_valid=has_valid),
        beta=BETA if config.beta is None else config.beta,
        max_length=config.max_length,
    )
    add_fused_lm_head(model, outputs=("log_probs", "mean_logits"))
    trainer = OddsRatioTrainer(
        model=model,
        args=arguments,
        train_dataset=labelled_pairs(rows["train"]),
        eval_dataset=labelled_pairs(rows["valid"]) if has_valid else None,
        processing_class=tokenizer,
        peft_config=peft_config(config),
        callbacks=callbacks,
    )
    trainer.mend(lengths_of(rows["train"]))
    return trainer


def labelled_pairs(rows: Sequence[PairRow]) -> Any:
    """The rows in the columns of TRL's collator for ORPO."""
    columns: dict[str, Column] = {}
    for side in ("chosen", "rejected"):
        ids, mask, labels = Column.of([]), Column.of([], "b"), Column.of([])
        for row in rows:
            prompt, answer = row.prompt_ids, getattr(row, f"{side}_ids")
            ids.append(prompt + answer)
            mask.append([1] * len(prompt + answer))
            labels.append([IGNORED] * len(prompt) + answer)
        columns |= {f"{side}_input_ids": ids, f"{side}_attention_mask": mask, f"{side}_labels": labels}
    return columns_dataset(columns)
