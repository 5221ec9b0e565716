"""In which precision a step computes: bfloat16 where that is fast, whatever the weights are kept in."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch


@contextmanager
def bfloat16_products(inner: Any, model: Any, device: torch.device) -> Iterator[None]:
    """Adapters keep float32 weights but multiply in bfloat16, as the frozen weights do.

    PEFT would cast every input to float32 and back, which costs a third of the speed on a processor.
    """
    from peft.helpers import disable_input_dtype_casting

    if inner.dtype is not torch.bfloat16 or device.type == "cuda":
        yield
        return
    with torch.autocast(device.type, torch.bfloat16), disable_input_dtype_casting(model):
        yield


@contextmanager
def recomputed_alike(inner: Any, model: Any, device: torch.device) -> Iterator[None]:
    """Around forward and backward together: what gradient checkpointing computes again casts as the forward pass did.

    torch.utils.checkpoint brings autocast back by itself, and PEFT's casting of inputs it does not know.
    """
    from peft.helpers import disable_input_dtype_casting

    if inner.dtype is not torch.bfloat16 or device.type == "cuda":
        yield
        return
    with disable_input_dtype_casting(model):
        yield


def keep_adapter_in_float32(model: Any) -> None:
    """TRL makes the adapter of a 4-bit model bfloat16, where a small update of a weight is lost; it costs little memory."""
    if getattr(model, "is_loaded_in_4bit", False):
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()
