"""A cache with room behind its tokens: a new token's keys are written there, where `DynamicCache` copies all before it.

    DynamicCache   ▒▒▒▒▒▒▒▒ + ▒ ──▶ ▒▒▒▒▒▒▒▒▒      every token, every layer
    here           ▒▒▒▒▒▒▒▒▒ · · · · · · ·         copied once in SPARE tokens, and after rows have come or gone

transformers' StaticCache has such room too, but of one size for the whole run and always attended over.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

SPARE = 64
"""Columns."""


def roomy_cache() -> Any:
    """An empty one, for models that keep the keys of all tokens."""
    from transformers.cache_utils import Cache

    return Cache(layer_class_to_replicate=_layer())


@cache
def _layer() -> type[Any]:
    from transformers.cache_utils import DynamicLayer

    class RoomyLayer(DynamicLayer):
        """Whoever replaces `keys` and `values` (cut, joined) costs one copy at the next token, and nothing else."""

        def __init__(self, **kwargs: Any) -> None:
            super().__init__(**kwargs)
            self.whole: tuple[Any, ...] = ()
            """Keys and values with the room behind them."""

        def update(self, key_states: Any, value_states: Any, *_: Any, **__: Any) -> tuple[Any, Any]:
            """All keys and values, the new ones at the end: views, shape (rows, heads, columns, size)."""
            if not self.is_initialized:
                self.lazy_initialization(key_states, value_states)
            have, new = self.get_seq_length(), (key_states, value_states)
            columns = have + key_states.shape[2]
            if not self._has_room(columns):
                kept: tuple[Any, Any] = (self.keys, self.values)
                self.whole = tuple(
                    _with_room(*both, have, columns + SPARE) for both in zip(kept, new, strict=True)
                )
            for whole, states in zip(self.whole, new, strict=True):
                whole[:, :, have:columns] = states
            return self._show(columns)

        def reorder_cache(self, beam_idx: torch.LongTensor) -> None:
            """Only these rows, with their room."""
            columns = self.get_seq_length()
            if not self._has_room(columns):
                super().reorder_cache(beam_idx)
                return
            self.whole = tuple(whole.index_select(0, beam_idx.to(whole.device)) for whole in self.whole)
            self._show(columns)

        def reset(self) -> None:
            """Empty, room included."""
            self.whole = ()
            super().reset()

        def _show(self, columns: int) -> tuple[Any, Any]:
            keys, values = (whole[:, :, :columns] for whole in self.whole)
            self.keys, self.values = keys, values
            return keys, values

        def _has_room(self, columns: int) -> bool:
            """Whether what is kept is still the beginning of `whole`, and so many columns fit into it."""
            kept: tuple[Any, Any] = (self.keys, self.values)
            return bool(self.whole) and all(
                part.data_ptr() == whole.data_ptr() and len(part) == len(whole) and columns <= whole.shape[2]
                for part, whole in zip(kept, self.whole, strict=True)
            )

    return RoomyLayer


def _with_room(before: torch.Tensor, new: torch.Tensor, have: int, columns: int) -> torch.Tensor:
    rows, heads, _, size = new.shape
    whole = new.new_empty(rows, heads, columns, size)
    if have:
        whole[:, :, :have] = before
    return whole
