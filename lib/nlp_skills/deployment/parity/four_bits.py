"""Are other weights those of a merge into a 4-bit base model (P12)? It is tried: the trained model is rounded so, and asked.

    trained ── base weights to NF4 or FP4 and back ──▶ next tokens ──▶ as what is served says them?

A quantised base model loses about 0.2 nats a token (SmolLM2-135M); what is served then says the same as the rounded one.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nlp_skills.deployment.parity.weights import NextTokens, compare_weights, next_log_probs
from nlp_skills.evaluation.predictors import open_predictor
from nlp_skills.evaluation.predictors.local import LocalPredictor

KINDS = ("nf4", "fp4")
NEARER = 4.0
"""How many times nearer the rounded model has to be, to be the one."""


def is_merged_into_4_bits(
    task: Path, version: str, places: Sequence[Sequence[int]], served: NextTokens, nats: float
) -> bool:
    """Whether the served weights are `NEARER` to the trained ones on a 4-bit base than to the trained ones (`nats`).

    False where bitsandbytes, which rounds so, is not installed: then nobody can say.
    """
    if find_spec("bitsandbytes") is None:
        return False
    return any(_distance(task, version, kind, places, served) * NEARER < nats for kind in KINDS)


def _distance(
    task: Path, version: str, kind: str, places: Sequence[Sequence[int]], served: NextTokens
) -> float:
    predictor = open_predictor(task, version)
    try:
        assert isinstance(predictor, LocalPredictor)
        _round(predictor.model, kind)
        rounded = next_log_probs(predictor.model, places)
    finally:
        predictor.close()
    return compare_weights(rounded, places, served, None).nats


def _round(model: Any, kind: str) -> None:
    """The linear layers as they are loaded in 4 bits; adapters and the output layer keep theirs."""
    import torch
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    for name, layer in model.named_modules():
        if isinstance(layer, torch.nn.Linear) and "lora_" not in name and "lm_head" not in name:
            kept = layer.weight.data
            packed, state = quantize_4bit(kept, quant_type=kind)
            layer.weight.data = dequantize_4bit(packed, state).to(kept.dtype)
