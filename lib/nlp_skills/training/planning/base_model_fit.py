"""Whether the base model can live where the task says that it will: constraints.memory_gb and latency_ms.

memory     weights in 16 bits (or in 4, as a GGUF file), the keys and values of the longest row, a little around it
latency    an answer of the usual length, alone, by transformers on the hardware of the plan
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from nlp_skills.task.task import Task, TaskType
from nlp_skills.training.planning.duration import answer_seconds
from nlp_skills.training.planning.known_models import KnownModel, suitable_models
from nlp_skills.training.planning.memory import Device
from nlp_skills.training.planning.model_shape import ModelShape
from nlp_skills.training.planning.row_lengths import RowLengths

GIB = 2**30
AROUND_GB = 0.3
"""A server's own memory beside the model: code, buffers of one request. Not measured."""
FOUR_BITS = 4.85 / 8
"""Bytes of a weight in Q4_K_M (llama.cpp, tools/quantize/README.md, bits per weight of Llama 3.1 8B)."""


@dataclass(frozen=True)
class Serving:
    """Where the model will answer, and what it is asked."""

    memory_gb: float | None
    latency_ms: float | None
    prompt: float
    answer: float
    """Tokens of a prompt and of an answer, on average."""
    longest: int
    rate: float | None
    """Operations a second there; None: not known."""
    device: Device

    def gb(self, parameters: int, cache_bytes: int, width: float = 2.0) -> float:
        """GiB that are needed to answer."""
        return (parameters * width + cache_bytes * self.longest) / GIB + AROUND_GB

    def milliseconds(self, parameters: int) -> float | None:
        """For an answer."""
        if self.rate is None:
            return None
        return 1000 * answer_seconds(parameters, self.prompt, self.answer, self.rate, self.device)

    def takes(self, model: KnownModel) -> bool:
        """Whether a known model meets both limits, as far as they can be told."""
        slow = self.milliseconds(model.parameters)
        return (
            self.memory_gb is None or self.gb(model.parameters, model.cache_bytes) <= self.memory_gb
        ) and (self.latency_ms is None or slow is None or slow <= self.latency_ms)


@dataclass(frozen=True)
class BaseModelFit:
    """What is to be said of the base model."""

    fits: list[str] = field(default_factory=list)
    """Limits that it meets, in words."""
    problems: list[str] = field(default_factory=list)
    """Limits that it does not meet, as sentences."""
    smaller: KnownModel | None = None
    """The largest known model that meets them all; None where none does, or the base model itself does."""
    larger: KnownModel | None = None
    """The next known size that would meet them too, where the base model does."""


def serving_of(task: Task, lengths: RowLengths, rate: float | None, device: Device) -> Serving:
    """What the task asks of the model once it is deployed."""
    answer = lengths.mean_trained / (2 if task.type is TaskType.PREFERENCE else 1)
    return Serving(
        memory_gb=task.constraints.memory_gb,
        latency_ms=task.constraints.latency_ms,
        prompt=max(1.0, lengths.mean - answer),
        answer=max(1.0, answer),
        longest=lengths.longest[0].tokens,
        rate=rate,
        device=device,
    )


def judge_base_model(
    task: Task, shape: ModelShape, serving: Serving, *, can_be_trained: Callable[[KnownModel], bool]
) -> BaseModelFit:
    """Whether it meets the limits of task.yaml; `can_be_trained`: whether another model would fit the plan's hardware."""
    fits, problems = [], []
    for met, words in (_memory(shape, serving), _latency(shape, serving)):
        if words:
            (fits if met else problems).append(words)
    known = suitable_models(task.language, tools=task.type is TaskType.TOOL_USE)
    others = [model for model in known if serving.takes(model) and can_be_trained(model)]
    smaller = [model for model in others if model.parameters < shape.parameters * 0.99]
    larger = [model for model in others if model.parameters > shape.parameters * 1.01]
    return BaseModelFit(
        fits=fits,
        problems=problems,
        smaller=smaller[-1] if smaller else None,
        larger=larger[0] if larger and not problems else None,
    )


def _memory(shape: ModelShape, serving: Serving) -> tuple[bool, str]:
    limit = serving.memory_gb
    if limit is None:
        return True, ""
    cache = 2 * shape.layers * shape.key_width * 2
    whole, four = (serving.gb(shape.parameters, cache, width) for width in (2.0, FOUR_BITS))
    if whole <= limit:
        return True, f"answering takes about {whole:.1f} of memory_gb {limit:g}"
    in_four = f"; in 4 bits (GGUF) it takes {four:.1f} GiB" + (
        ", which fits" if four <= limit else ", which is too much as well"
    )
    return False, (
        f"Answering takes about {whole:.1f} GiB in bfloat16, and memory_gb in task.yaml is {limit:g}{in_four}."
    )


def _latency(shape: ModelShape, serving: Serving) -> tuple[bool, str]:
    limit, found = serving.latency_ms, serving.milliseconds(shape.active_parameters)
    if limit is None:
        return True, ""
    if found is None:
        return (
            True,
            f"whether it answers in latency_ms {limit:g} is not known before evaluate-version measures it",
        )
    words = (
        f"an answer of {serving.answer:.0f} tokens takes about {found:,.0f} ms on the hardware of this plan"
    )
    if found <= limit:
        return True, f"{words}, of latency_ms {limit:g}"
    return (
        False,
        f"{words[0].upper()}{words[1:]} (by transformers), and latency_ms in task.yaml is {limit:g}.",
    )
