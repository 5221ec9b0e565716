"""Rows of like length together, padded on the left, so that every answer begins at the same column."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any


def longest_first(prompts: Sequence[Sequence[int]]) -> list[int]:
    """Indices, rows of like length beside each other; the same order every time.

    The longest come first: what does not fit into memory fails at once, and the time left can be told.
    """
    return sorted(range(len(prompts)), key=lambda i: (-len(prompts[i]), i))


def by_length(prompts: Sequence[Sequence[int]], batch_size: int) -> Iterator[list[int]]:
    """Indices in batches of like length: little padding."""
    order = longest_first(prompts)
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def left_padded(rows: Sequence[Sequence[int]], pad: int, device: Any) -> tuple[Any, Any]:
    """Token ids and attention mask, both int64 of shape (rows, longest)."""
    import torch

    longest = max(map(len, rows))
    ids = torch.full((len(rows), longest), pad, dtype=torch.long)
    mask = torch.zeros((len(rows), longest), dtype=torch.long)
    for i, row in enumerate(rows):
        ids[i, longest - len(row) :] = torch.tensor(row)
        mask[i, longest - len(row) :] = 1
    return ids.to(device), mask.to(device)
