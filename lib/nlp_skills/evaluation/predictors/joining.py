"""Batches that rows join and leave while they are answered.

    ····▒▒▒▒▒▒    running            ····▒▒▒▒▒▒
    ▒▒▒▒▒▒▒▒▒▒              join ──▶ ▒▒▒▒▒▒▒▒▒▒   keep ──▶ ▒▒▒▒▒▒▒▒▒▒   trim ──▶ ▒▒▒▒▒▒▒
    ▒▒▒▒▒         joins              ·····▒▒▒▒▒            ·····▒▒▒▒▒            ··▒▒▒▒▒     · padding

Every row ends in the last column, so one more token of each is one more column for all.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nlp_skills.evaluation.predictors.prompt_cache import Started


def join(first: Started, second: Started) -> Started:
    """The rows of both, in this order; the narrower one is padded on the left. `first` gives up its cache.

    Only for caches that keep the keys of all tokens (`prompt_cache.keeps_all`).
    """
    import torch

    columns = max(first.mask.shape[1], second.mask.shape[1])
    # Layer by layer: at no time are both caches there twice.
    for mine, other in zip(first.cache.layers, second.cache.layers, strict=True):
        mine.keys = torch.cat([_widened(mine.keys, columns), _widened(other.keys, columns)])
        mine.values = torch.cat([_widened(mine.values, columns), _widened(other.values, columns)])
        other.reset()
    masks = (
        torch.nn.functional.pad(batch.mask, (columns - batch.mask.shape[1], 0)) for batch in (first, second)
    )
    return Started(
        torch.cat([first.logits, second.logits]),
        first.cache,
        torch.cat(list(masks)),
        torch.cat([first.last, second.last]),
    )


def keep(batch: Started, rows: Sequence[int]) -> Started:
    """Only these rows of a batch; one that is named several times stands there as often."""
    import torch

    index = torch.tensor(rows, device=batch.mask.device)
    batch.cache.reorder_cache(index)
    return Started(batch.logits[index], batch.cache, batch.mask[index], batch.last[index])


def trim(batch: Started) -> Started:
    """Without the columns on the left that no row has a token in; only where the cache keeps all tokens."""
    empty = int(batch.mask.any(dim=0).int().argmax())
    if empty == 0:
        return batch
    for layer in batch.cache.layers:
        layer.keys, layer.values = layer.keys[:, :, empty:], layer.values[:, :, empty:]
    return Started(batch.logits, batch.cache, batch.mask[:, empty:], batch.last)


def step(model: Any, batch: Started, tokens: Sequence[int]) -> Started:
    """The same rows one token further; `tokens` are what each of them has just said."""
    import torch

    mask = torch.cat([batch.mask, batch.mask.new_ones(len(tokens), 1)], dim=1)
    last = batch.last + 1
    out = model(
        input_ids=torch.tensor(tokens, device=mask.device)[:, None],
        attention_mask=mask,
        position_ids=last,
        past_key_values=batch.cache,
        use_cache=True,
    )
    return Started(out.logits[:, -1], out.past_key_values, mask, last)


def _widened(part: Any, columns: int) -> Any:
    """Keys or values, of shape (rows, heads, columns, size), with empty columns on the left."""
    import torch

    return torch.nn.functional.pad(part, (0, 0, columns - part.shape[2], 0))
