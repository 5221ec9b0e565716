"""Models that keep a state of their own in the place of keys and values (Mamba, RWKV, xLSTM): transformers generates.

Every prompt is asked alone. The state of a row cannot be padded, cut or put beside another's, as a cache of keys can.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch


def takes_cache(model: Any) -> bool:
    """Whether the model reads on from keys and values that it is given."""
    plain = _within_adapter(model)
    keeps_state = getattr(plain, "_is_stateful", False)  # hybrid models say so too, and take a cache
    return not keeps_state or "past_key_values" in inspect.signature(plain.forward).parameters


def say_alone(
    model: Any, ends: frozenset[int], prompt: Sequence[int], most: int, choose: Callable[[torch.Tensor], int]
) -> list[int]:
    """Tokens behind a prompt up to an end token, which is among them, or `most`; `choose` takes one from its logits."""
    import torch
    from transformers import GenerationConfig, LogitsProcessorList

    def only_chosen(_ids: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        alone = torch.full_like(logits, -torch.inf)
        alone[0, choose(logits)] = 0
        return alone

    settings = GenerationConfig(
        max_new_tokens=most, do_sample=False, eos_token_id=sorted(ends) or None, pad_token_id=0
    )
    given = torch.tensor([list(prompt)], device=model.device)
    with _no_settings_of_its_own(_within_adapter(model)) as plain:
        said = plain.generate(
            given,
            attention_mask=torch.ones_like(given),
            generation_config=settings,
            logits_processor=LogitsProcessorList([only_chosen]),
        )
    return said[0, len(prompt) :].tolist()


def _within_adapter(model: Any) -> Any:
    """The model whose layers the adapter stands in; without an adapter the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


@contextmanager
def _no_settings_of_its_own(model: Any) -> Iterator[Any]:
    """transformers adds those of the model's generation_config to what is asked: penalties that no result shows."""
    from transformers import GenerationConfig

    own, model.generation_config = model.generation_config, GenerationConfig()
    try:
        yield model
    finally:
        model.generation_config = own
