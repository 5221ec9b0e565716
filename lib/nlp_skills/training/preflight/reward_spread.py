"""RL-PREFLIGHT: whether the base model's answers to a prompt earn different rewards, tried on a few prompts before a run (P25).

    8 prompts × num_generations answers ──▶ for how many prompts do the rewards differ?

An answer is learned by how far it is from the others to its prompt: where all earn the same, nothing is.
"""

from __future__ import annotations

from collections.abc import Iterator
from statistics import fmean
from typing import Any

from nlp_skills.data.report import Finding
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.preflight.dry_step import untouched

PROMPTS = 8
"""At least; a step of the run may ask more at once."""
LEAST = 0.3
"""Of the prompts, whose answers have to differ in what they earn."""


def reward_findings(trainer: Any, config: TrainConfig) -> Iterator[Finding]:
    """A warning where too few prompts have answers to choose from; nothing is left of it in the trainer.

    Raises RunFailed for a reward that fails.
    """
    flat, reward, prompts = sampled_rewards(trainer)
    if 1 - flat >= LEAST:
        return
    yield Finding(
        check="RL-PREFLIGHT",
        level="warning",
        message=f"For {round(flat * prompts)} of {prompts} prompts all {config.num_generations} answers of the base model earn"
        f" the same (mean reward {reward:.3g}): from such a prompt nothing is learned.",
        count=round(flat * prompts),
        fix="Begin with a short sft version and name it as base_model, take a reward that has degrees, or more"
        " num_generations",
    )


def sampled_rewards(trainer: Any) -> tuple[float, float, int]:
    """(share of the prompts whose answers all earn the same, mean reward, prompts), by the run's own sampling."""
    answers, rows = trainer.num_generations, len(trainer.train_dataset)
    size = trainer.args.per_device_train_batch_size * trainer.args.steps_per_generation
    whole = size * trainer.accelerator.num_processes
    batches = -(-PROMPTS * answers // whole)
    prompts = batches * whole // answers
    asked = [number * rows // prompts for number in range(prompts) for _ in range(answers)]
    with untouched(trainer):
        trainer.model.train()
        for start in range(trainer.accelerator.process_index * size, len(asked), whole):
            batch = [trainer.train_dataset[place] for place in asked[start : start + size]]
            trainer._generate_and_score_completions(trainer.data_collator(batch))
        found = trainer._metrics["train"]
        return fmean(found["frac_reward_zero_std"]), fmean(found["reward"]), prompts
