"""Group relative policy optimisation (Shao et al. 2024, arXiv:2402.03300) through TRL: answers are tried, the better ones win.

The prompt of each row is answered `num_generations` times; an answer is learned by how far its reward is above
the mean of its group. `rewards` name the functions (training/rewards.py). The rows' own answers are only what
rewards compare with. A model whose answers all earn the same learns nothing: begin with a short sft
version and name it as base_model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel, TrainerCallback
from trl.trainer.grpo_config import GRPOConfig
from trl.trainer.grpo_trainer import GRPOTrainer

from nlp_skills.data.example import Example
from nlp_skills.data.prompted_tools import with_prompted_tools
from nlp_skills.data.tokens import prompt_ids, require_tools_shown
from nlp_skills.errors import NotValid, RunFailed
from nlp_skills.training.compact_rows import compact
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.methods.answer_pairs import require_fit
from nlp_skills.training.methods.arguments import peft_config, training_arguments
from nlp_skills.training.methods.arrow_columns import columns_dataset
from nlp_skills.training.methods.labelled_head import score_labels_only
from nlp_skills.training.methods.precision import bfloat16_products, keep_adapter_in_float32
from nlp_skills.training.methods.whole_checkpoints import WholeCheckpoints
from nlp_skills.training.rewards import Reward, load_rewards, require_rows

BETA = 0.0
EVAL_GENERATIONS = 2
"""Answers to each held-out prompt."""


@dataclass(frozen=True)
class PromptRow:
    """A prompt as ids, and the row that its answers are compared with."""

    prompt_ids: list[int]
    example: Example
    room: int
    """Tokens that an answer may have."""

    @property
    def length(self) -> int:
        """Tokens of the prompt with the longest answer that it may have."""
        return len(self.prompt_ids) + self.room

    @property
    def trained(self) -> int:
        """Tokens that the loss may see in one answer."""
        return self.room


def tokenize(
    tokenizer: Any, examples: Sequence[Example], config: TrainConfig, **words: str
) -> list[PromptRow]:
    """Prompts as ids; `words` (file, cure) go into the error about prompts that leave no room for an answer."""
    for example in examples:
        if example.messages is None:
            raise NotValid(
                f"Row {example.meta.id} has no messages; grpo answers the prompt of a conversation."
            )
    require_rows(config.rewards, examples)
    shown = [with_prompted_tools(e) for e in examples] if config.tools_in_prompt else examples
    require_tools_shown(tokenizer, shown)
    rows = [
        PromptRow(prompt_ids(tokenizer, asked, config.enable_thinking), example, config.max_completion_length)
        for asked, example in zip(shown, examples, strict=True)
    ]
    require_fit(examples, [row.length for row in rows], config.max_length, **words)
    return rows


class RewardTrainer(WholeCheckpoints, GRPOTrainer):
    """GRPOTrainer on our tokens."""

    def _tokenize_prompts(self, prompts: list[Any]) -> tuple[list[Any], None, dict[str, Any]]:
        """The prompts are ids already."""
        return prompts, None, {}

    def prediction_step(self, *args: Any, **kwargs: Any) -> Any:
        """The held-out figure is the reward; the loss of answers that were just tried says nothing."""
        return GRPOTrainer.prediction_step(self, *args, **kwargs)

    def _generate_single_turn(self, *args: Any, **kwargs: Any) -> Any:
        with bfloat16_products(self.model, self.model, self.args.device):
            return super()._generate_single_turn(*args, **kwargs)

    def _get_per_token_logps_and_entropies(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        with bfloat16_products(self.model, model, self.args.device):
            return super()._get_per_token_logps_and_entropies(model, *args, **kwargs)


def build_trainer(
    config: TrainConfig,
    model: PreTrainedModel,
    tokenizer: Any,
    rows: Mapping[str, Sequence[PromptRow]],
    output: Path,
    callbacks: list[TrainerCallback],
) -> RewardTrainer:
    """The trainer for a run; `rows` holds `train` and, where there are any, `valid`.

    Raises NotValid for batches that groups of answers do not fit into, and for rewards that have changed.
    """
    functions = ready_rewards(config, len(rows["train"]), folder_of_rewards(config, output))
    train, valid = rows["train"], rows.get("valid") or []
    known = [row.example for row in chain(train, valid)]
    arguments = GRPOConfig(
        **{
            **training_arguments(config, len(train), output, has_valid=bool(valid)),
            "per_device_eval_batch_size": -(-config.per_device_eval_batch_size // EVAL_GENERATIONS)
            * EVAL_GENERATIONS,
        },
        beta=BETA if config.beta is None else config.beta,
        num_generations=config.num_generations,
        num_generations_eval=EVAL_GENERATIONS,
        max_completion_length=config.max_completion_length,
        temperature=config.temperature,
    )
    trainer = RewardTrainer(
        model=model,
        reward_funcs=[
            _rewarding(name, function, known)
            for name, function in zip(config.rewards, functions, strict=True)
        ],
        args=arguments,
        train_dataset=_dataset(train, 0),
        eval_dataset=_dataset(valid, len(train)) if valid else None,
        processing_class=tokenizer,
        peft_config=peft_config(config),
        callbacks=callbacks,
    )
    keep_adapter_in_float32(trainer.model)
    score_labels_only(trainer.model)
    if trainer.ref_model is not None:
        score_labels_only(trainer.ref_model)
    return trainer


def ready_rewards(config: TrainConfig, rows: int, folder: Path) -> list[Reward]:
    """The rewards' functions, from files in `folder`; asked before any weight is loaded.

    Raises NotValid for batches that groups of answers do not fit into, and for rewards that cannot be had.
    """
    _require_groups(config, rows)
    return load_rewards(config.rewards, config.rewards_sha256, folder)


def folder_of_rewards(config: TrainConfig, output: Path) -> Path:
    """The folder that the files of own rewards lie in: the nearest one above the run's output that has them."""
    files = {name.partition(":")[0] for name in config.rewards if ":" in name}
    above = [folder for folder in output.resolve().parents if all((folder / f).is_file() for f in files)]
    return above[0] if above else output


def _require_groups(config: TrainConfig, rows: int) -> None:
    answers = config.per_device_train_batch_size * config.gradient_accumulation_steps * config.num_processes
    if answers % config.num_generations:
        raise NotValid(
            f"grpo: {answers} answers in a step (per_device_train_batch_size × gradient_accumulation_steps) are no"
            f" multiple of num_generations {config.num_generations}. Change one of them."
        )
    if rows < answers // config.num_generations:
        raise NotValid(
            f"grpo: a step asks {answers // config.num_generations} prompts, and there are {rows}. Lower"
            " per_device_train_batch_size or gradient_accumulation_steps, or add rows."
        )


def _dataset(rows: Sequence[PromptRow], first: int) -> Any:
    """`row` is the place of the row among those that the rewards know."""
    prompts = compact(rows).column("prompt_ids")
    return columns_dataset({"prompt": prompts, "row": range(first, first + len(rows))})


def _rewarding(name: str, function: Reward, known: Sequence[Example]) -> Any:
    """The reward as TRL calls it. An own function that fails or gives no number ends the run with its name."""

    def rewards(*, completions: list[str], row: list[int], **_: Any) -> list[float]:
        found = []
        for answer, place in zip(completions, row, strict=True):
            try:
                value = function(answer, known[place])
            except Exception as error:  # noqa: BLE001 (the user's own code: whatever it raises, reward and row are named)
                raise RunFailed(
                    f"RL-PREFLIGHT: The reward {name} failed for row {known[place].meta.id}: {type(error).__name__}: {error}."
                    " Mend it and make a new version."
                ) from None
            if not isinstance(value, int | float):
                raise RunFailed(
                    f"RL-PREFLIGHT: The reward {name} gave {value!r} for row {known[place].meta.id}; it has to be a number."
                    " Mend it and make a new version."
                )
            found.append(float(value))
        return found

    rewards.__name__ = name.rpartition(":")[2]
    return rewards
