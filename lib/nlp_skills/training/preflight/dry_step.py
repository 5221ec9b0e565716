"""One step on the longest batch and one look at the longest validation batch, before the first real one (HW-FIT, EVAL-MEM).

What does not fit is known after seconds, not overnight (P08, P09). Nothing is left of it: the optimiser steps with a
learning rate of zero, and random numbers, gradients and counters are put back, so a run's bytes do not depend on it.
"""

from __future__ import annotations

import copy
import random
import time
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from nlp_skills.data.tokens import IGNORED
from nlp_skills.errors import RunFailed
from nlp_skills.records import Record
from nlp_skills.training.compact_rows import longest_places
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.environment import peak_memory_mb
from nlp_skills.training.preflight.out_of_memory import while_evaluating

COUNTERS = (int, float, bool, dict, defaultdict, list, deque, type(None))
"""What a trainer counts and collects; its model, data and settings are none of these."""

NOTHING_LEARNS = (
    "RUN-DELTA: no gradient reaches what is to be trained, so nothing would be learned. Set target_modules back to"
    " all-linear."
)


class DryStep(Record):
    """What the step has shown."""

    tokens: int
    """Of the batch, padding included."""
    loss: float
    eval_loss: float | None = None
    seconds: float
    peak_memory_mb: float
    """Of the process so far: weights, optimiser and the fullest moment of the step."""
    peak_gpu_memory_mb: float | None = None


def dry_step(trainer: Any, config: TrainConfig, rows: Mapping[str, Sequence[Any]]) -> DryStep:
    """Train on the longest batch and evaluate the longest validation batch, without a trace.

    Raises RunFailed with RUN-NAN or RUN-DELTA, and what is_out_of_memory knows where the memory does not
    suffice, EvaluationOutOfMemory where that was in validation.
    """
    began = time.monotonic()
    with untouched(trainer):
        args = trainer.args
        size = args.per_device_train_batch_size * getattr(args, "steps_per_generation", 1)
        batch = _batch(
            trainer, trainer.train_dataset, rows["train"], size, getattr(trainer, "num_generations", 1)
        )
        loss = _train(trainer, config, batch)
    eval_loss = None
    if rows.get("valid"):
        with untouched(trainer), while_evaluating():
            each = getattr(trainer, "num_generations_eval", 1)
            size = args.per_device_eval_batch_size
            looked_at = _batch(trainer, trainer.eval_dataset, rows["valid"], size, each)
            trainer.model.eval()
            trainer._parts = []  # where methods/validation_loss.py notes what it has seen
            found = trainer.prediction_step(trainer.model, looked_at, prediction_loss_only=True)[0]
            eval_loss = None if found is None else float(found)
    memory, gpu_memory = peak_memory_mb()
    return DryStep(
        tokens=_tokens(batch),
        loss=loss,
        eval_loss=eval_loss,
        seconds=round(time.monotonic() - began, 2),
        peak_memory_mb=memory,
        peak_gpu_memory_mb=gpu_memory,
    )


def _batch(trainer: Any, dataset: Any, rows: Sequence[Any], size: int, answers: int = 1) -> Any:
    """The longest rows together, as the trainer's own collator makes a batch of them; grpo asks each prompt `answers` times.

    Where packs or pieces are made of the rows the data set is another one: there its first rows, which are full.
    """
    count = size if answers > 1 else min(size, len(dataset))
    order = longest_places(rows, count) if len(dataset) == len(rows) else list(range(len(dataset)))
    return trainer.data_collator([dataset[order[place // answers % len(order)]] for place in range(count)])


def _train(trainer: Any, config: TrainConfig, batch: Any) -> float:
    """Forward, backward, and an optimiser's step that changes nothing."""
    import torch

    model = trainer.model
    if not any(p.requires_grad for p in model.parameters()):
        raise RunFailed(NOTHING_LEARNS)
    model.train()
    _enable_checkpointing(trainer)
    trainer.current_gradient_accumulation_steps = 1
    items = trainer._get_num_items_in_batch([batch], trainer.args.device) if "labels" in batch else None
    loss = float(trainer.training_step(model, batch, items))
    if not torch.isfinite(torch.tensor(loss)):
        raise RunFailed(_no_number(model, loss))
    gradients = [p.grad for p in model.parameters() if p.requires_grad and p.grad is not None]
    _require_gradients(config, gradients)
    optimizer = trainer.create_optimizer()
    for group in optimizer.param_groups:
        group["lr"] = group["weight_decay"] = 0.0
    optimizer.step()
    return loss


def _enable_checkpointing(trainer: Any) -> None:
    """As the trainer does when it begins (transformers 5.23, trainer.py)."""
    if trainer.args.gradient_checkpointing or getattr(trainer.args, "activation_checkpointing", False):
        given = getattr(trainer.args, "activation_checkpointing_kwargs", None)
        trainer.model.activation_checkpointing_enable(activation_checkpointing_kwargs=given or None)


def _require_gradients(config: TrainConfig, gradients: Sequence[Any]) -> None:
    """Something has to learn. In grpo equal rewards give no gradient, which says nothing yet (RL-FLAT)."""
    if not all(bool(gradient.isfinite().all()) for gradient in gradients):
        raise RunFailed(
            "RUN-NAN: the longest batch gives gradients that are no numbers. Set dtype: float32, or lower max_length."
        )
    if config.method != "grpo" and not any(bool(gradient.any()) for gradient in gradients):
        raise RunFailed(NOTHING_LEARNS)


def _no_number(model: Any, loss: float) -> str:
    """Why the loss is none: the first weight that is none, if there is one."""
    broken = next((name for name, p in model.named_parameters() if not bool(p.isfinite().all())), None)
    if broken:
        return (
            f"RUN-NAN: the base model's weight {broken} holds NaN or infinity. Fetch or make the base model again, or"
            " choose another one."
        )
    return (
        f"RUN-NAN: the loss of the longest batch is {loss}. Set dtype: float32, or choose another base_model."
    )


def require_trained_labels(trainer: Any, rows: Sequence[Any]) -> None:
    """TOK-EOS in the batch as the loss meets it: the collator has masked no label, the end tokens' least of all (P02).

    Only where rows carry labels of their own. Raises RunFailed.
    """
    longest = longest_places(rows, 4)
    if not rows or not hasattr(rows[0], "labels") or len(trainer.train_dataset) != len(rows):
        return
    labels = trainer.data_collator([trainer.train_dataset[place] for place in longest])["labels"]
    found, wanted = int((labels != IGNORED).sum()), sum(rows[place].trained for place in longest)
    if found != wanted:
        raise RunFailed(
            f"TOK-EOS: of {wanted} tokens that are to be trained in {len(longest)} rows the batch has {found}: the end"
            " tokens are masked as padding, or padding is trained. Take a base_model whose pad token is no end token."
        )


@contextmanager
def untouched(trainer: Any) -> Iterator[None]:
    """Random numbers, counters, gradients and the optimiser are afterwards what they were before."""
    import numpy as np
    import torch

    drawn = random.getstate(), np.random.get_state(), torch.get_rng_state()
    on_gpu = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None
    counted = {
        name: copy.deepcopy(value)
        for name, value in vars(trainer).items()
        if name in ("state", "control", "current_flos") or (name.startswith("_") and type(value) in COUNTERS)
    }
    training = trainer.model.training
    try:
        yield
    finally:
        random.setstate(drawn[0])
        np.random.set_state(drawn[1])
        torch.set_rng_state(drawn[2])
        if on_gpu is not None:
            torch.cuda.set_rng_state_all(on_gpu)
        for name in [n for n in vars(trainer) if n.startswith("_") and n not in counted]:
            if type(getattr(trainer, name)) in COUNTERS:
                delattr(trainer, name)
        for name, value in counted.items():
            setattr(trainer, name, value)
        trainer.optimizer = None
        trainer.model.zero_grad(set_to_none=True)
        trainer.model.train(training)


def _tokens(batch: Any) -> int:
    """Places of a batch: of the ids that the model is given."""
    found = next((batch[name] for name in ("input_ids", "chosen_input_ids") if name in batch), None)
    return 0 if found is None else int(found.numel())
