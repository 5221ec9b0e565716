"""Are these the weights that were trained? The next token's probabilities, by the trained model and by llama.cpp.

prompts of the task, cut at a quarter, a half, three quarters and the end ──▶ KL(trained ‖ served), the mean in nats

Both see the same token ids, so a template has no part in it. Within a user's text the model is far less sure than in
an answer that it was tuned to: other weights show there first.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from nlp_skills.deployment.parity.report import Difference, WeightsCompared

if TYPE_CHECKING:
    import torch

NextTokens: TypeAlias = Callable[[Sequence[int], int], Mapping[int, float]]
"""(token ids, how many) → the most probable next tokens with their log-probability."""

PROMPTS = 8
TOLD = 256
"""The most probable tokens that llama.cpp is asked for; all others are one."""

ALLOWED = {"f32": 0.01, "f16": 0.01, "bf16": 0.01, "q8_0": 0.03}
"""Mean divergence that a quantisation may cause. Measured on SmolLM2-135M: f16 0.00001, bf16 0.0002, q8_0 0.0045; 0.0014
where the trained model computes in bfloat16; and 0.20 for weights that were merged into a 4-bit (NF4) base model."""
COARSE = 0.5
"""Of all coarser ones, where a merge into 4 bits cannot be told from the quantisation: beyond it is another model."""


def places_to_look(prompts: Sequence[Sequence[int]]) -> list[list[int]]:
    """The beginnings of the prompts after which the next token is compared."""
    some = prompts[:: max(1, len(prompts) // PROMPTS)][:PROMPTS]
    return [list(ids[: max(1, len(ids) * part // 4)]) for ids in some for part in (1, 2, 3, 4)]


def next_log_probs(model: Any, beginnings: Sequence[Sequence[int]]) -> list[torch.Tensor]:
    """The trained model's: float32 of shape (vocabulary,) for each, on the processor."""
    import torch

    found = []
    with torch.inference_mode():
        for ids in beginnings:
            given = torch.tensor([list(ids)], device=model.device)
            logits = model(input_ids=given, use_cache=False, logits_to_keep=1).logits[0, -1]
            found.append(logits.float().log_softmax(dim=-1).cpu())
    return found


def compare_weights(
    trained: Sequence[torch.Tensor],
    beginnings: Sequence[Sequence[int]],
    next_tokens: NextTokens,
    quantization: str | None,
) -> WeightsCompared:
    """The mean divergence, beside what this quantisation may cause; a folder without one has 16 bits or more."""
    found = [
        divergence(before, next_tokens(ids, TOLD)) for before, ids in zip(trained, beginnings, strict=True)
    ]
    allowed = ALLOWED.get((quantization or "f16").lower(), COARSE)
    return WeightsCompared(places=len(found), nats=sum(found) / len(found), allowed=allowed)


def next_tokens_of(model: Any) -> NextTokens:
    """The same of a model of transformers."""

    def told(before: Sequence[int], most: int) -> dict[int, float]:
        (found,) = next_log_probs(model, [before])
        highest = found.topk(min(most, len(found)))
        return dict(zip(highest.indices.tolist(), highest.values.tolist(), strict=True))

    return told


def divergence(trained: torch.Tensor, served: Mapping[int, float]) -> float:
    """KL(trained ‖ served) in nats over the tokens that were told and all others together.

    Joining outcomes never makes it larger, so it is a lower bound of the whole one.
    """
    import torch

    ids = torch.tensor([*served])
    p = trained[ids].double()
    q = torch.tensor([*served.values()], dtype=torch.float64)
    rest = [(1 - part.exp().sum()).clamp(min=1e-9).log() for part in (p, q)]
    p, q = (torch.cat([part, other[None]]) for part, other in zip((p, q), rest, strict=True))
    return max(0.0, (p.exp() * (p - q)).sum().item())


def weights_differ(
    found: WeightsCompared, quantization: str | None, is_merged_into_4_bits: Callable[[], bool]
) -> Difference | None:
    """What it means, where it is too much; only then it is asked whether it is a merge into 4 bits."""
    if found.nats <= found.allowed:
        return None
    told = (
        f"With the same tokens the next one's probabilities diverge by {found.nats:.3g} nats on average, where"
        f" {quantization or 'a folder'} may cause {found.allowed:g}."
    )
    if is_merged_into_4_bits():
        return Difference(
            cause="4-bit merge",
            where="the weights",
            says=f"{told} They are those of a merge into a base model that was loaded in 4 bits: its rounding is in"
            " them for good. Merge the adapter into the 16-bit base model and export again.",
        )
    return Difference(
        cause="other weights",
        where="the weights",
        says=f"{told} These are not the weights that were trained: another version, another base model or revision, or"
        " a merge that went wrong. Export the version again.",
    )
