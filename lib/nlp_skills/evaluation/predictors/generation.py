"""Answers that are generated, many rows at a time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nlp_skills.evaluation.predictors.batches import left_padded
from nlp_skills.evaluation.predictors.predictor import Decoding


@dataclass(frozen=True)
class Generated:
    """The tokens of one answer, its end included where there is one."""

    ids: list[int]
    cut: bool
    """No end came before the limit of tokens."""


def generate(
    model: Any, pad: int, ends: Sequence[int], prompts: Sequence[Sequence[int]], how: Decoding
) -> list[list[Generated]]:
    """The answers to each prompt of a batch, `how.samples` of them, up to an end token or `how.max_new_tokens`."""
    import torch

    ids, mask = left_padded(prompts, pad, model.device)
    chosen: dict[str, Any] = {"do_sample": False}
    if how.temperature > 0:
        # The whole distribution: top_k and top_p of the model's own generation_config would be settings nobody sees.
        chosen = {"do_sample": True, "temperature": how.temperature, "top_k": 0, "top_p": 1.0}
        chosen["num_return_sequences"] = how.samples
    with torch.inference_mode():
        out = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=how.max_new_tokens,
            eos_token_id=list(ends),
            pad_token_id=pad,
            **chosen,
        )
    said = [_up_to_end(row, set(ends)) for row in out[:, ids.shape[1] :].tolist()]
    each = len(said) // len(prompts)
    return [said[start : start + each] for start in range(0, len(said), each)]


def _up_to_end(ids: list[int], ends: set[int]) -> Generated:
    for place, token in enumerate(ids, start=1):
        if token in ends:
            return Generated(ids[:place], cut=False)
    return Generated(ids, cut=True)
