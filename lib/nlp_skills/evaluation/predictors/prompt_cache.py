"""Prompts through the model in batches; what all of them begin with is computed once.

system prompt, labels, template    question          cache of one batch
███████████████████████████████ ── ······▒▒▒▒  ──▶   ████ ······▒▒▒▒
once, then repeated for the rows   ── ▒▒▒▒▒▒▒▒▒▒     ████ ▒▒▒▒▒▒▒▒▒▒     · padding, which nothing sees
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlp_skills.errors import RunFailed
from nlp_skills.evaluation.predictors.batches import left_padded
from nlp_skills.evaluation.predictors.own_state import takes_cache
from nlp_skills.evaluation.predictors.roomy_cache import roomy_cache

if TYPE_CHECKING:
    import torch

WORTH_SHARING = 8
"""Tokens; a shorter beginning costs less than copying it."""


@dataclass
class Started:
    """A batch of prompts that the model has read."""

    logits: torch.Tensor
    """After the last token of each prompt: shape (rows, vocabulary)."""
    cache: Any
    mask: torch.Tensor
    """Which columns of the cache are tokens: int64 of shape (rows, columns)."""
    last: torch.Tensor
    """The position of each prompt's last token: shape (rows, 1)."""


class PromptCache:
    """The beginning that all prompts share, for one model."""

    def __init__(
        self, model: Any, pad: int, prompts: Sequence[Sequence[int]], room: int | None = None
    ) -> None:
        """`prompts` are all that will be asked, `room` is how many tokens may follow one; None: not known.

        A layer that looks back through a window counts columns, so padding behind the shared beginning would push
        tokens out of it: nothing is shared unless the longest prompt and its answer fit into the window.
        """
        import torch

        self._model = model
        self._pad = pad
        self.takes_cache = takes_cache(model)
        self.keeps_all = keeps_all(model)
        shares = self.keeps_all and len(prompts) > 1 and _fits(prompts, room, window(model))
        shared = common_beginning(prompts) if shares else 0
        self._shared = shared if shared >= WORTH_SHARING else 0
        self._keys: list[tuple[Any, Any]] = []
        if self._shared:
            with torch.inference_mode():
                self._keys = self._computed(prompts[0][: self._shared])

    def start(self, prompts: Sequence[Sequence[int]]) -> Started:
        """Read the prompts, padded on the left; all of them begin with what is shared.

        Raises RunFailed where the model computes NaN: its answers would be token 0, its probabilities none.
        """
        import torch

        ids, own = left_padded([row[self._shared :] for row in prompts], self._pad, self._model.device)
        mask = torch.cat([own.new_ones(len(prompts), self._shared), own], dim=1)
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        out = self._model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=positions[:, self._shared :],
            past_key_values=self._cache(len(prompts)),
            use_cache=True,
            logits_to_keep=1,
        )
        logits = out.logits[:, -1]
        if bool(logits.isnan().any()):
            raise RunFailed(
                "The model computes no numbers (NaN): its weights are broken. Train it again with a lower"
                " learning_rate; if the base model is broken itself, fetch it again."
            )
        return Started(logits, out.past_key_values, mask, positions[:, -1:])

    def _computed(self, ids: Sequence[int]) -> list[tuple[Any, Any]]:
        import torch
        from transformers import DynamicCache

        given = torch.tensor([list(ids)], device=self._model.device)
        out = self._model(input_ids=given, past_key_values=DynamicCache(), use_cache=True, logits_to_keep=1)
        return [(layer.keys, layer.values) for layer in out.past_key_values.layers]

    def _cache(self, rows: int) -> Any:
        """Filled with the shared beginning; None, which the model fills as it likes, where it does not keep all."""
        if not self.keeps_all:
            return None
        cache = roomy_cache()
        for place, kept in enumerate(self._keys):
            cache.update(*(part.expand(rows, -1, -1, -1) for part in kept), place)
        return cache


def _fits(prompts: Sequence[Sequence[int]], room: int | None, window: int | None) -> bool:
    return window is None or (room is not None and max(map(len, prompts)) + room <= window)


def common_beginning(prompts: Sequence[Sequence[int]]) -> int:
    """How many tokens all of them begin with, the last token of the shortest not counted."""
    rows = [list(prompt) for prompt in prompts]
    first, last = min(rows), max(rows)  # in the order of lists, which is that of their beginnings
    most = min(len(first), len(last), min(map(len, rows)) - 1)
    return next((i for i in range(most) if first[i] != last[i]), most)


def keeps_all(model: Any) -> bool:
    """Whether every layer keeps the keys of all tokens or of a window, and none sums them up (Mamba, DeltaNet)."""
    from transformers import DynamicCache
    from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

    layers = DynamicCache(config=model.config).layers
    return takes_cache(model) and all(
        type(layer) in (DynamicLayer, DynamicSlidingWindowLayer) for layer in layers
    )


def window(model: Any) -> int | None:
    """Tokens that the narrowest layer looks back on; None: all."""
    from transformers import DynamicCache

    layers: list[Any] = DynamicCache(config=model.config).layers
    windows = [layer.sliding_window for layer in layers if getattr(layer, "is_sliding", False)]
    return min(windows, default=None)
