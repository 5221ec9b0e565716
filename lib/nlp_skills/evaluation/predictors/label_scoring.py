"""The probability of each choice, end token included, after the same prompt that training used.

The prompt is computed once; each choice only adds its own few tokens to the cache.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nlp_skills.evaluation.predictors.batches import left_padded


def choice_log_probs(
    model: Any, pad: int, prompts: Sequence[Sequence[int]], choices: Sequence[Sequence[int]]
) -> Any:
    """Log-probability of each choice after each prompt: shape (rows, choices), float32."""
    import torch

    ids, mask = left_padded(prompts, pad, model.device)
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    start = model(
        input_ids=ids, attention_mask=mask, position_ids=positions, use_cache=True, logits_to_keep=1
    )
    first = start.logits[:, -1].float().log_softmax(dim=-1)
    cache = start.past_key_values
    totals = torch.zeros(len(prompts), len(choices), device=ids.device)
    for k, choice in enumerate(choices):
        totals[:, k] = first[:, choice[0]]
        if len(choice) == 1:
            continue
        given = torch.tensor([choice[:-1]], device=ids.device).expand(len(prompts), -1)
        seen = torch.cat([mask, mask.new_ones(given.shape)], dim=1)
        places = positions[:, -1:] + torch.arange(1, given.shape[1] + 1, device=ids.device)
        out = model(
            input_ids=given, attention_mask=seen, position_ids=places, past_key_values=cache, use_cache=True
        )
        after = out.logits.float().log_softmax(dim=-1)
        wanted = torch.tensor(choice[1:], device=ids.device)
        totals[:, k] += after[:, torch.arange(len(wanted)), wanted].sum(dim=1)
        cache.crop(-given.shape[1])
    return totals
