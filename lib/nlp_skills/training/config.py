"""`config.yaml`: everything that decides a run, in the words of TRL and PEFT.

`epochs` is the only name of our own (`num_train_epochs` there).
"""

from __future__ import annotations

from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from nlp_skills.data.sources.listed import read_list
from nlp_skills.data.tokens import MAX_LENGTH
from nlp_skills.errors import NotValid
from nlp_skills.records import Record
from nlp_skills.training.rewards import REWARDS

ALL_LINEAR = "all-linear"
FARTHEST = 1.0
"""No learning_rate reaches it: with Adam a weight moves by up to the learning rate in a step (Kingma & Ba 2015,
arXiv:1412.6980, section 2.1), and a language model's weights are drawn from ± 0.02 or so (`initializer_range`)."""

MethodName = Literal["sft", "dpo", "orpo", "kto", "grpo", "cpt"]
"""A row of METHODS (training/methods)."""
Peft = Literal["lora", "qlora", "dora", "none"]


class LoRAConfig(Record):
    """The adapter's part of the settings, with PEFT's own names (Hu et al. 2021, arXiv:2106.09685)."""

    r: int = Field(default=16, ge=1)
    lora_alpha: int = Field(default=32, ge=1)
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: list[str] | Literal["all-linear"] = ALL_LINEAR
    use_dora: bool = False
    """Weight-decomposed adaptation (Liu et al. 2024, arXiv:2402.09353)."""
    use_rslora: bool = False
    """Scale by alpha / sqrt(r) instead of alpha / r, so that high ranks learn (Kalajdzievski 2023, arXiv:2312.03732)."""


class TrainConfig(Record):
    """One run. Two runs with equal config, data and environment give equal adapters."""

    base_model: str = "smollm2-135m-instruct"
    """A Hub id, a local folder, a GGUF file, or the name of an embedded model."""
    base_revision: str | None = None
    method: MethodName = "sft"
    peft: Peft = "lora"
    """qlora: the frozen weights in 4 bits (Dettmers et al. 2023, arXiv:2305.14314); none: all weights are trained."""
    lora_r: int = Field(default=16, ge=1)
    lora_alpha: int = Field(default=32, ge=1)
    lora_dropout: float = Field(default=0.0, ge=0, lt=1)
    target_modules: list[str] | Literal["all-linear"] = ALL_LINEAR
    use_rslora: bool = False
    epochs: float = Field(default=3.0, gt=0)
    learning_rate: float = Field(default=2e-4, gt=0)
    lr_scheduler_type: Literal["linear", "cosine", "constant", "constant_with_warmup"] = "cosine"
    warmup_steps: float = Field(default=0.05, ge=0)
    """Below 1: a share of all steps."""
    weight_decay: float = Field(default=0.0, ge=0)
    max_grad_norm: float = Field(default=1.0, gt=0)
    per_device_train_batch_size: int = Field(default=8, ge=1)
    gradient_accumulation_steps: int = Field(default=2, ge=1)
    """16 rows an optimiser step, which the learning rates are made for; a first version of few rows takes 8 (defaults.py)."""
    per_device_eval_batch_size: int = Field(default=16, ge=1)
    gradient_checkpointing: bool = False
    max_length: int = Field(default=MAX_LENGTH, ge=16)
    """Tokens; a longer row is an error before training, never a silent cut."""
    packing: bool = False
    """Several short rows in one sequence; only where the attention keeps them apart (flash attention on a GPU)."""
    assistant_only_loss: bool = True
    """False: the prompt is learned too."""
    beta: float | None = Field(default=None, ge=0)
    """How strongly dpo, kto and grpo hold on to the base model; the weight of the odds ratio in orpo. None: 0.1, grpo 0."""
    sft_weight: float = Field(default=0.0, ge=0)
    """dpo: weight of the chosen answers' own likelihood, against chosen answers that become less likely."""
    rewards: list[str] = []
    """grpo: names of REWARDS, or `rewards.py:function` for one in the task folder; their sum is the reward."""
    rewards_sha256: dict[str, str] = {}
    """Of the files of own rewards, written by create_version: the run refuses other files."""
    num_generations: int = Field(default=8, ge=2)
    """grpo: answers to each prompt that are compared."""
    max_completion_length: int = Field(default=256, ge=1)
    """grpo: tokens that an answer may have."""
    temperature: float = Field(default=1.0, gt=0)
    """grpo: of the answers."""
    replay_file: str | None = None
    """General rows mixed in against forgetting: JSONL in the task folder, shaped as data/train.jsonl."""
    replay_share: float = Field(default=0.1, gt=0, lt=1)
    """Of the rows of an epoch, where there is a replay_file."""
    replay_sha256: str | None = None
    """Of the replay_file, written by create_version: the run refuses another file."""
    early_stopping_patience: int | None = Field(default=None, ge=1)
    """Evaluations without a validation loss that is better by more than its standard error; None: no early end."""
    keep: Literal["last", "best"] = "last"
    """best: the earliest checkpoint whose validation loss is within one standard error of the lowest."""
    tools_in_prompt: bool = False
    """For chat templates that show no tools: the system prompt lists them, and calls are written as JSON."""
    enable_thinking: bool | None = None
    """Given to chat templates that have a thinking mode, in training, evaluation and serving alike; None: not given."""
    dtype: Literal["auto", "bfloat16", "float32"] = "auto"
    """auto: bfloat16 where the processor or GPU computes in it, otherwise float32."""
    eval_steps: int | None = Field(default=None, ge=1)
    """None: at the end of each epoch."""
    save_steps: int | None = Field(default=None, ge=1)
    """None: about eight times in a run, at least once an epoch, and at its end."""
    logging_steps: int = Field(default=1, ge=1)
    seed: int = 13
    num_processes: int = Field(default=1, ge=1)
    """One for each GPU; more than one are started by `accelerate launch`."""
    distributed: Literal["ddp", "fsdp", "deepspeed"] = "ddp"
    """How several processes share the work: each the whole model, or the model in parts."""
    report_to: list[Literal["trackio", "mlflow", "wandb"]] = []
    """Where metrics are sent beside metrics.jsonl."""
    threads: int | None = Field(default=None, ge=1)
    """CPU threads; None: one for each core that is free. Part of what makes a run repeatable."""

    @field_validator("target_modules", "rewards", "report_to", mode="before")
    @classmethod
    def _several(cls, value: Any) -> Any:
        """`q_proj,v_proj` and `[q_proj, v_proj]` are lists too, as a command line has them."""
        if not isinstance(value, str) or value == ALL_LINEAR:
            return value
        try:
            return read_list(value)
        except NotValid as error:
            raise ValueError(str(error)) from None

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        for wrong, reason in _contradictions(self):
            if wrong:
                raise ValueError(reason)
        return self

    @property
    def lora(self) -> LoRAConfig:
        """The adapter's settings in PEFT's names."""
        return LoRAConfig(
            r=self.lora_r,
            lora_alpha=self.lora_alpha,
            lora_dropout=self.lora_dropout,
            target_modules=self.target_modules,
            use_dora=self.peft == "dora",
            use_rslora=self.use_rslora,
        )

    def with_lora(self, lora: LoRAConfig) -> TrainConfig:
        """The same run with another adapter."""
        return self.with_changes(
            peft="dora" if lora.use_dora else "qlora" if self.peft == "qlora" else "lora",
            lora_r=lora.r,
            lora_alpha=lora.lora_alpha,
            lora_dropout=lora.lora_dropout,
            target_modules=lora.target_modules,
            use_rslora=lora.use_rslora,
        )


def _contradictions(config: TrainConfig) -> list[tuple[bool, str]]:
    """What cannot be meant: (whether it is so, what to do about it)."""
    method, peft = config.method, config.peft
    is_text = method in ("sft", "cpt")
    named = isinstance(config.target_modules, list)
    return [
        (
            config.learning_rate >= FARTHEST,
            f"learning_rate: {config.learning_rate:g} would destroy the model in its first steps. An adapter learns with about"
            " 2e-4, all weights with about 2e-5; leave it out to take what fits the method",
        ),
        (
            named and peft == "none",
            "target_modules belong to an adapter; with peft none all weights are trained",
        ),
        (
            named and not config.target_modules,
            "target_modules is empty, so nothing would be trained; name some",
        ),
        (
            config.use_rslora and peft == "none",
            "use_rslora belongs to an adapter; with peft none there is none",
        ),
        (config.packing and not is_text, f"packing is for sft and cpt; {method} compares whole rows"),
        (
            not config.assistant_only_loss and method != "sft",
            f"assistant_only_loss: false is for sft; {method} decides itself what is learned",
        ),
        (config.replay_file is not None and not is_text, f"replay_file is for sft and cpt, not for {method}"),
        (
            config.replay_sha256 is not None and config.replay_file is None,
            "replay_sha256 is there without a replay_file",
        ),
        (config.beta is not None and is_text, f"beta is for dpo, orpo, kto and grpo; {method} has none"),
        *_settings_without_effect(config),
        (config.sft_weight > 0 and method != "dpo", f"sft_weight is for dpo; {method} has none"),
        (bool(config.rewards) and method != "grpo", f"rewards are for grpo; {method} has none"),
        (
            method == "kto" and config.per_device_train_batch_size < 2,
            "kto measures how far it has moved between the rows of a batch; per_device_train_batch_size has to be 2 or more",
        ),
        (
            method == "grpo" and not config.rewards,
            f"grpo needs rewards: {', '.join(REWARDS)}, or rewards.py:function for one in the task folder",
        ),
        (
            config.enable_thinking is not None and method == "cpt",
            "enable_thinking is for chat templates; cpt learns plain text without one",
        ),
        (
            method == "grpo" and (config.keep == "best" or config.early_stopping_patience is not None),
            "keep: best and early_stopping_patience go by the validation loss, which grpo does not have",
        ),
        (
            peft == "qlora" and config.num_processes > 1 and config.distributed != "ddp",
            "4-bit weights cannot be divided among processes; take distributed: ddp, or peft lora",
        ),
    ]


OF_GRPO = ("num_generations", "max_completion_length", "temperature")


def _settings_without_effect(config: TrainConfig) -> list[tuple[bool, str]]:
    """What would be read by nobody; at its default it counts as not given."""
    defaults = TrainConfig.model_fields
    given = {name for name in OF_GRPO if getattr(config, name) != defaults[name].default}
    shared = config.replay_share != defaults["replay_share"].default
    return [
        *(
            (name in given and config.method != "grpo", f"{name} is for grpo; {config.method} has none")
            for name in OF_GRPO
        ),
        (
            shared and config.replay_file is None,
            "replay_share says how much of replay_file is mixed in, and there is no replay_file",
        ),
        (
            config.distributed != "ddp" and config.num_processes == 1,
            f"distributed: {config.distributed} divides the work among processes, and num_processes is 1; set both",
        ),
    ]
