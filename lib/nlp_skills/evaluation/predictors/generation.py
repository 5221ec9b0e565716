"""Answers that are generated, many rows at a time; a row that has ended leaves its batch.

Greedy means the most probable token and nothing else: penalties and limits that a model's own
generation_config asks for (repetition_penalty, top_k) would be settings that nobody sees in the results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlp_skills.evaluation.predictors.predictor import Decoding
from nlp_skills.evaluation.predictors.prompt_cache import PromptCache, Started

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Generated:
    """The tokens of one answer, its end included where there is one."""

    ids: list[int]
    cut: bool
    """No end came before the limit of tokens."""


def generate(
    model: Any, start: PromptCache, ends: frozenset[int], prompts: Sequence[Sequence[int]], how: Decoding
) -> list[list[Generated]]:
    """The answers to each prompt of a batch, `how.samples` of them, up to an end token or `how.max_new_tokens`."""
    import torch

    with torch.inference_mode():
        batch = start.start(prompts)
        if how.samples > 1:
            batch = _keep(batch, [row for row in range(len(prompts)) for _ in range(how.samples)])
        draws = [_draw(how, prompt, number) for prompt in prompts for number in range(how.samples)]
        said = _go_on(model, batch, ends, how, draws)
    found = [Generated(ids, cut=not ids or ids[-1] not in ends) for ids in said]
    return [found[first : first + how.samples] for first in range(0, len(found), how.samples)]


def _go_on(
    model: Any, batch: Started, ends: frozenset[int], how: Decoding, draws: list[torch.Generator]
) -> list[list[int]]:
    """The tokens of each row."""
    import torch

    said: list[list[int]] = [[] for _ in draws]
    rows = list(range(len(draws)))
    for step in range(how.max_new_tokens):
        chosen = _choose(batch.logits, how.temperature, [draws[row] for row in rows])
        for row, token in zip(rows, chosen, strict=True):
            said[row].append(token)
        alive = [place for place, token in enumerate(chosen) if token not in ends]
        if not alive or step + 1 == how.max_new_tokens:
            break
        if len(alive) < len(rows):
            batch, rows = _keep(batch, alive), [rows[place] for place in alive]
        given = torch.tensor([[chosen[place]] for place in alive], device=batch.mask.device)
        mask = torch.cat([batch.mask, batch.mask.new_ones(len(rows), 1)], dim=1)
        last = batch.last + 1
        out = model(
            input_ids=given,
            attention_mask=mask,
            position_ids=last,
            past_key_values=batch.cache,
            use_cache=True,
        )
        batch = Started(out.logits[:, -1], out.past_key_values, mask, last)
    return said


def _keep(batch: Started, rows: list[int]) -> Started:
    """Only these rows of a batch; one that is named several times stands there as often."""
    import torch

    index = torch.tensor(rows, device=batch.mask.device)
    batch.cache.reorder_cache(index)
    return Started(batch.logits[index], batch.cache, batch.mask[index], batch.last[index])


def _choose(logits: torch.Tensor, temperature: float, draws: list[torch.Generator]) -> list[int]:
    import torch

    if temperature == 0:
        return logits.argmax(dim=-1).tolist()
    shares = (logits.float() / temperature).softmax(dim=-1).cpu()
    return [int(torch.multinomial(row, 1, generator=g)) for row, g in zip(shares, draws, strict=True)]


def _draw(how: Decoding, prompt: Sequence[int], number: int) -> torch.Generator:
    """The row's own draws: the same in every batch, and others for every row and sample."""
    import hashlib

    import torch

    name = f"{how.seed} {number} {' '.join(map(str, prompt))}".encode()
    return torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(name).digest()[:7]))
