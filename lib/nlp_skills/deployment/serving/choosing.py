"""The next token of each row: the most probable one, or a draw; with its log-probability where that is wanted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Sampling:
    """How one request wants its tokens."""

    temperature: float = 0.0
    """0: the most probable token, always (greedy)."""
    top_p: float = 1.0
    """Draw from the most probable tokens that make up this share (nucleus sampling, Holtzman et al. 2020)."""
    seed: int | None = None
    """Equal seeds give equal draws; None: others every time."""
    logprobs: int | None = None
    """How many of the most probable tokens are told with each, 0 for none beside it; None: no log-probability at all."""


@dataclass(frozen=True)
class Chosen:
    """A token, and what the model thought of it (nats, before temperature and top_p)."""

    id: int
    logprob: float | None = None
    top: tuple[tuple[int, float], ...] = ()


def choose(
    logits: torch.Tensor, wanted: Sequence[Sampling], draws: Sequence[torch.Generator | None]
) -> list[Chosen]:
    """One token for each row of the logits, of shape (rows, vocabulary)."""
    best: list[int] = logits.argmax(dim=-1).tolist()
    found: list[Chosen] = []
    for row, (how, draw) in enumerate(zip(wanted, draws, strict=True)):
        token = best[row] if how.temperature == 0 else _drawn(logits[row], how, draw)
        found.append(
            Chosen(token) if how.logprobs is None else _with_log_probs(logits[row], token, how.logprobs)
        )
    return found


def _drawn(logits: torch.Tensor, how: Sampling, draw: torch.Generator | None) -> int:
    import torch

    shares = (logits.float() / how.temperature).softmax(dim=-1).cpu()
    if how.top_p < 1:
        ordered, order = shares.sort(descending=True)
        before = ordered.cumsum(dim=-1) - ordered
        shares = torch.zeros_like(shares).scatter(0, order, ordered.masked_fill(before >= how.top_p, 0))
    return int(torch.multinomial(shares, 1, generator=draw))


def _with_log_probs(logits: torch.Tensor, token: int, count: int) -> Chosen:
    told = logits.float().log_softmax(dim=-1)
    values, ids = told.topk(count) if count else (told[:0], told[:0])
    top = tuple(zip(map(int, ids.tolist()), values.tolist(), strict=True))
    return Chosen(token, float(told[token]), top)
