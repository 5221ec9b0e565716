"""Models for a set that writes code on one's own machine: a table, and which of them the memory at hand has room for.

coordinator   plans and reviews, with a window of 32K tokens      worker   does the small steps, fast
fallback      answers where there is no room for a coordinator
"""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

from nlp_skills.data.sources.generation.ollama_server import ollama_url
from nlp_skills.deployment.ollama.connection import is_this_machine
from nlp_skills.deployment.ollama.memory_at_hand import memory_at_hand
from nlp_skills.errors import NotValid
from nlp_skills.records import Record

GB = 10**9
"""Ollama's library counts in decimal units."""

AROUND_BYTES = 300_000_000
"""Of a loaded model beside its weights and its cache: code, buffers of one request. Not measured."""

PLANNING_WINDOW = 32_768
WORKING_WINDOW = 8_192
"""Tokens that a coordinator and the others look back on."""


class Role(StrEnum):
    """What a model of the set is for."""

    COORDINATOR = "coordinator"
    WORKER = "worker"
    FALLBACK = "fallback"


class CodingModel(NamedTuple):
    """A model of Ollama's library."""

    name: str
    role: Role
    bytes: int
    """Of this tag, as https://ollama.com/library/NAME/tags lists it."""
    cache_bytes: int
    """Keys and values of one token in 16 bits: 2 x layers x their width x 2 bytes, by its config.json."""
    context: int
    model_card: str
    license: str = "Apache-2.0"
    terms: str | None = None
    """What is to be looked at before it is used commercially; None: nothing beyond the licence's notice."""

    def needs(self, window: int) -> int:
        """Bytes of memory to answer in a window of so many tokens."""
        return self.bytes + self.cache_bytes * min(window, self.context) + AROUND_BYTES


_QWEN = "https://huggingface.co/Qwen/Qwen2.5-Coder-{}-Instruct"

CODING_MODELS: tuple[CodingModel, ...] = (
    CodingModel("qwen2.5-coder:32b", Role.COORDINATOR, 20_000_000_000, 262_144, 32_768, _QWEN.format("32B")),
    CodingModel("qwen2.5-coder:14b", Role.COORDINATOR, 9_000_000_000, 196_608, 32_768, _QWEN.format("14B")),
    CodingModel("qwen2.5-coder:7b", Role.COORDINATOR, 4_700_000_000, 57_344, 32_768, _QWEN.format("7B")),
    CodingModel("qwen2.5-coder:1.5b", Role.WORKER, 986_000_000, 28_672, 32_768, _QWEN.format("1.5B")),
    CodingModel("qwen2.5-coder:0.5b", Role.WORKER, 398_000_000, 12_288, 32_768, _QWEN.format("0.5B")),
    CodingModel(
        "deepseek-coder:1.3b",
        Role.FALLBACK,
        776_000_000,
        196_608,
        16_384,
        "https://huggingface.co/deepseek-ai/deepseek-coder-1.3b-instruct",
        license="DeepSeek License Agreement",
        terms="commercial use is allowed, but for the uses that its attachment A forbids",
    ),
)
"""The best of each role first. The 3B model of the same family is left out: its licence forbids commercial use."""


class Recommended(Record):
    """A model for a role."""

    role: Role
    name: str
    download_gb: float
    needs_gb: float
    window: int
    """Tokens that are counted in."""
    license: str
    terms: str | None
    model_card: str
    command: str


class Recommendation(Record):
    """A set of models for a memory; all sizes in GB (10^9 bytes)."""

    memory_gb: float
    memory_of: str
    models: list[Recommended]
    together_gb: float | None
    """What coordinator and worker take when both are loaded; None where there is no room for both."""
    notes: list[str]


def known_models() -> tuple[CodingModel, ...]:
    """The table, the best of each role first."""
    return CODING_MODELS


def recommend_models(*, memory_gb: float | None = None) -> Recommendation:
    """A coordinator, a worker and a fallback for this machine's memory, or for `memory_gb`; nothing is fetched.

    Raises NotValid for a memory that is none.
    """
    if memory_gb is not None and memory_gb <= 0:
        raise NotValid(f"--memory-gb is {memory_gb:g}; give the memory that there is, in GB.")
    if memory_gb is not None:
        return recommended_for(memory_gb, "as given", [])
    found = memory_at_hand()
    notes = []
    if not is_this_machine(ollama_url()):
        notes.append(
            f"Ollama runs on another machine ({ollama_url()}). Say how much memory that one has: nlp-skills"
            " recommend-models --memory-gb GB"
        )
    return recommended_for(found.free_gb, found.name, notes)


def recommended_for(memory_gb: float, memory_of: str, notes: list[str]) -> Recommendation:
    """The largest coordinator that has room beside a worker, that worker, and the fallback where it fits alone."""
    room = memory_gb * GB
    coordinators, workers, fallbacks = (
        [model for model in CODING_MODELS if model.role is role] for role in Role
    )
    pairs = [(c, w) for c in coordinators for w in workers if both(c, w) <= room]
    if pairs:
        chosen, together = list(pairs[0]), round(both(*pairs[0]) / GB, 1)
    else:
        chosen, together = [w for w in workers if w.needs(WORKING_WINDOW) <= room][:1], None
        least = min(both(c, w) for c in coordinators for w in workers) / GB
        notes = [*notes, f"There is no room for a coordinator beside a worker: that takes {least:.1f} GB."]
    chosen += [model for model in fallbacks if model.needs(WORKING_WINDOW) <= room][:1]
    if not chosen:
        least = min(model.needs(WORKING_WINDOW) for model in CODING_MODELS) / GB
        notes = [*notes, f"No model of the list fits; the smallest takes {least:.1f} GB."]
    return Recommendation(
        memory_gb=round(memory_gb, 1),
        memory_of=memory_of,
        models=[_recommended(model) for model in chosen],
        together_gb=together,
        notes=notes,
    )


def both(coordinator: CodingModel, worker: CodingModel) -> int:
    """Bytes of memory with both of them loaded."""
    return coordinator.needs(PLANNING_WINDOW) + worker.needs(WORKING_WINDOW)


def _recommended(model: CodingModel) -> Recommended:
    window = min(PLANNING_WINDOW if model.role is Role.COORDINATOR else WORKING_WINDOW, model.context)
    return Recommended(
        role=model.role,
        name=model.name,
        download_gb=round(model.bytes / GB, 1),
        needs_gb=round(model.needs(window) / GB, 1),
        window=window,
        license=model.license,
        terms=model.terms,
        model_card=model.model_card,
        command=f"nlp-skills ollama-pull {model.name}",
    )
