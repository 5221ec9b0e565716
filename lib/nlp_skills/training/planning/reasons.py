"""Why a plan's settings are as they are, and what else could be chosen: one line for each setting."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from nlp_skills.errors import counted
from nlp_skills.records import Record
from nlp_skills.task.task import Task
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.defaults import FEW_ROWS
from nlp_skills.training.planning.base_model_fit import BaseModelFit
from nlp_skills.training.planning.hardware import Hardware
from nlp_skills.training.planning.model_shape import ModelShape
from nlp_skills.training.planning.row_lengths import RowLengths


class Choice(Record):
    """One setting of the plan."""

    setting: str
    value: str
    reason: str
    alternative: str


@dataclass(frozen=True)
class Facts:
    """What the reasons are made of."""

    config: TrainConfig
    task: Task
    lengths: RowLengths
    shape: ModelShape
    hardware: Hardware
    valid_rows: int
    fitting: BaseModelFit


def explain(facts: Facts) -> list[Choice]:
    """Every decided setting in words."""
    config = facts.config
    found = []
    for setting, words in REASONS.items():
        if config.peft == "none" and setting in OF_AN_ADAPTER:
            continue
        if setting == "assistant_only_loss" and config.method != "sft":
            continue
        if setting in OF_SOME and not OF_SOME[setting](config):
            continue
        reason, alternative = words if isinstance(words, tuple) else words(facts)
        value = getattr(config, setting)
        shown = f"{value:g}" if isinstance(value, float) else str(value)
        found.append(Choice(setting=setting, value=shown, reason=reason, alternative=alternative))
    return found


OF_SOME: dict[str, Callable[[TrainConfig], bool]] = {
    "rewards": lambda config: config.method == "grpo",
    "max_completion_length": lambda config: config.method == "grpo",
    "tools_in_prompt": lambda config: config.tools_in_prompt,
    "distributed": lambda config: config.num_processes > 1,
}
"""Settings that are spoken of only where they mean something."""

OF_AN_ADAPTER = ("lora_r", "lora_alpha", "lora_dropout", "target_modules")


def _base_model(f: Facts) -> tuple[str, str]:
    size = f"{f.shape.parameters / 1e6:,.0f} million parameters" + (
        "" if f.shape.exact else " (approximately)"
    )
    language = f.task.language or "en"
    reason = "; ".join([f"named in task.yaml: {f.shape.family}, {size}", *f.fitting.fits])
    if f.fitting.problems:
        reason += "; it does not fit what task.yaml asks for (see the notes)"
    if f.config.base_model.lower().startswith(
        ("smollm2", "huggingfacetb/smollm2")
    ) and not language.startswith("en"):
        reason += f"; it has read English almost only, and this task is in {language}"
    smaller, larger = f.fitting.smaller, f.fitting.larger
    if f.fitting.problems:
        return reason, f"{smaller.id}, which fits" if smaller else "none of known size fits"
    other = f"{larger.id} where quality is not enough" if larger else "none larger of known size fits here"
    return reason, f"{other}; {smaller.id} where answers must be faster" if smaller else other


def _method(f: Facts) -> tuple[str, str]:
    reasons = {
        "sft": (
            "every row has the answer that is wanted",
            "dpo, once there are pairs of better and worse answers",
        ),
        "cpt": ("the rows are plain text to be continued", "sft, where rows have a question and an answer"),
        "dpo": (
            "the rows are pairs of a better and a worse answer",
            "orpo: no reference pass, a third less time",
        ),
        "orpo": (
            "pairs, learned in one pass without a reference model",
            "dpo, which holds on to the base model",
        ),
        "kto": ("answers that are each called good or bad", "dpo, where good and bad answers come in pairs"),
        "grpo": (
            "a program can tell whether an answer is right",
            "sft on right answers first: it starts nearer",
        ),
    }
    return reasons[f.config.method]


def _peft(f: Facts) -> tuple[str, str]:
    trained = f.shape.adapter_parameters(f.config.lora_r, f.config.target_modules)
    share = trained / f.shape.parameters
    reasons = {
        "lora": (
            f"{trained / 1e6:.1f} million trained parameters, {share:.1%} of the model, learn a task like this as well".replace(
                "%", " %"
            ),
            "dora, a little better at low ranks and a fifth slower; qlora where memory is short",
        ),
        "qlora": (
            "the weights fit in 4 bits only",
            "lora on hardware with more memory: faster, and no rounding",
        ),
        "dora": ("asked for", "lora: a fifth faster and close to it"),
        "none": ("asked for: all weights learn", "lora: a third of the memory, and little is forgotten"),
    }
    return reasons[f.config.peft]


def _rank(f: Facts) -> tuple[str, str]:
    return (
        f"room enough for {counted(f.lengths.rows, 'training row')}",
        "8 where it overfits, 32 or 64 where the training loss stays high",
    )


def _modules(f: Facts) -> tuple[str, str]:
    names = ", ".join(dict.fromkeys(layer.name for layer in f.shape.linear))
    return (
        f"attention and MLP ({names}), as QLoRA (arXiv:2305.14314) found it is needed",
        "q_proj and v_proj: faster, learns less",
    )


def _rate(f: Facts) -> tuple[str, str]:
    few = f" on fewer than {FEW_ROWS:,} rows" if f.lengths.rows < FEW_ROWS else ""
    rate = f.config.learning_rate
    return (
        f"the default of {f.config.method} with {f.config.peft}{few}",
        f"{rate / 2:g} where the loss jumps, {rate * 2:g} where it falls slowly",
    )


def _epochs(f: Facts) -> tuple[str, str]:
    return (
        f"{counted(f.lengths.rows, 'training row')}",
        "1 where the validation loss turns up after the first; search-settings tries others",
    )


def _length(f: Facts) -> tuple[str, str]:
    longest, p95 = f.lengths.longest[0].tokens, f.lengths.summary().p95
    if f.config.method == "grpo":
        return (
            f"the longest row has {longest:,} tokens, and an answer that is tried may have {f.config.max_completion_length:,}",
            "less where max_completion_length is less",
        )
    if longest > f.config.max_length:
        return (
            f"the base model looks back so far; the longest row has {longest:,} tokens and would be refused",
            "a base model with a longer context, or shorter rows",
        )
    return (
        f"the longest row has {longest:,} tokens, and no answer is cut",
        f"{p95:,} (95 % of the rows) after dropping the longer ones",
    )


def _batch(f: Facts) -> tuple[str, str]:
    if f.hardware.device == "cpu":
        return (
            "more rows at once are no faster on a processor",
            "fewer, with more accumulation, for less memory",
        )
    return "as many as fit", "fewer, with more accumulation, for less memory"


def _accumulation(f: Facts) -> tuple[str, str]:
    rows = (
        f.config.per_device_train_batch_size * f.config.gradient_accumulation_steps * f.config.num_processes
    )
    return (
        f"{counted(rows, 'row')} a step, which the learning rate is made for",
        "half of it for twice the steps",
    )


def _checkpointing(f: Facts) -> tuple[str, str]:
    if f.config.gradient_checkpointing:
        return (
            "activations are computed twice so that they fit",
            "off where there is more memory: a quarter faster",
        )
    return "it fits without, and nothing is computed twice", "on: a third more time for much less memory"


def _processes(f: Facts) -> tuple[str, str]:
    found, gpus = f.config.num_processes, f.hardware.gpus
    if found > 1:
        return (
            f"one for each of {gpus} GPUs, as far as they divide a step's rows",
            "1, to leave the others free",
        )
    if gpus > 1:
        few = counted(f.lengths.rows, "row")
        return (
            f"{few} are soon trained on one of {gpus} GPUs",
            f"{min(gpus, 8)}, each with fewer rows at once",
        )
    return "one GPU" if gpus else "no GPU", "more, on a machine with more GPUs"


def _dtype(f: Facts) -> tuple[str, str]:
    if f.config.peft == "none":
        return (
            "float32 weights: small updates would be lost in bfloat16",
            "an adapter, whose base may be bfloat16",
        )
    found = f.hardware.dtype
    return (
        f"{found} on this hardware",
        "float32: twice the memory" if found == "bfloat16" else "bfloat16 on newer hardware",
    )


def _loss(f: Facts) -> tuple[str, str]:
    share = f.lengths.summary().trained_share
    return f"only answers are learned: {share:.0%} of the tokens".replace(
        "%", " %"
    ), "false, to learn the prompts' language too"


def _keep(f: Facts) -> tuple[str, str]:
    if f.config.keep == "best":
        return (
            f"{f.valid_rows} validation rows can tell which checkpoint is best",
            "last, where the validation rows are unlike the test",
        )
    return (
        f"{f.valid_rows} validation rows are too few to tell checkpoints apart",
        "best, with 50 validation rows or more",
    )


REASONS: dict[str, tuple[str, str] | Callable[[Facts], tuple[str, str]]] = {
    "base_model": _base_model,
    "method": _method,
    "peft": _peft,
    "lora_r": _rank,
    "lora_alpha": (
        "twice the rank, so that the adapter's scale is 2 for every rank",
        "the rank itself, a scale of 1",
    ),
    "lora_dropout": (
        "a short run sees a row a few times only",
        "0.05 where the validation loss turns up early",
    ),
    "target_modules": _modules,
    "learning_rate": _rate,
    "epochs": _epochs,
    "lr_scheduler_type": (
        "falls to nothing at the end, so the last steps settle",
        "constant, where training will be gone on with",
    ),
    "max_length": _length,
    "per_device_train_batch_size": _batch,
    "gradient_accumulation_steps": _accumulation,
    "gradient_checkpointing": _checkpointing,
    "dtype": _dtype,
    "packing": (
        "rows of like length share a batch, which leaves little padding",
        "on, for short rows on a GPU with flash attention",
    ),
    "assistant_only_loss": _loss,
    "rewards": (
        "tells a right answer of such a task from a wrong one",
        "several, which are added up; a function of your own as rewards.py:NAME",
    ),
    "max_completion_length": (
        "room for an answer; longer ones are cut and earn what they earn",
        "less where answers are short: generating is what takes the time",
    ),
    "tools_in_prompt": (
        "the base model's chat template shows no tools: the system prompt lists them",
        "false, with a base model whose template shows tools (Qwen3, Llama 3.2)",
    ),
    "num_processes": _processes,
    "distributed": (
        "ddp where the model fits into one GPU, fsdp where only all of them together hold it",
        "deepspeed, where it is installed",
    ),
    "keep": _keep,
    "seed": ("equal seeds give equal runs", "three seeds, to see how much of a gain is luck"),
}
"""Setting → reason and alternative."""
