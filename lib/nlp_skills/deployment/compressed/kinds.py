"""GPTQ and ONNX: which library makes it, and how far it may be from the merged model.

AWQ is not offered: llm-compressor 0.14 does it only where there is a GPU, and so it was not run; AutoAWQ is given up.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Kind:
    """One form."""

    format: Literal["compressed", "onnx"]
    packages: tuple[str, ...]
    """The library and what it was tried with: its own pins (torch, transformers 4.57 or 5.17) collide with ours."""
    most_kl: float
    """Nats a token, mean, against the merged model."""


_TORCH = "torch==2.13.0"

KINDS = {
    "gptq": Kind("compressed", ("llmcompressor==0.14.0.1", _TORCH), 0.5),
    "onnx": Kind("onnx", ("optimum-onnx==0.1.0", "onnxruntime==1.31.1", _TORCH), 1e-3),
}
"""Four bits are as far from the whole model as q4_k_m is; ONNX is another program for the same numbers."""
