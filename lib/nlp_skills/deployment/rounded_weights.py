"""Whether weights went through few bits: blocks of a rounded matrix hold few different numbers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK = 64
"""The block of NF4 in bitsandbytes; those of GGUF's types (32, 256) divide it or hold it."""
LOOKED_AT = 4
"""Matrices, each in its first rows."""
ROWS = 64


def rounded_to_4_bits(folder: Path) -> bool:
    """Whether the matrices of a folder's safetensors have at most 16 different numbers in nearly every block of 64."""
    shares = [_share_of_poor_blocks(matrix) for matrix in _matrices(folder)]
    return bool(shares) and max(shares) > 0.9


def _share_of_poor_blocks(matrix: Any) -> float:
    """Of a matrix of shape (rows, columns), columns a multiple of 64."""
    blocks = matrix.reshape(-1, BLOCK).sort(dim=1).values
    different = (blocks[:, 1:] != blocks[:, :-1]).sum(dim=1) + 1
    return float((different <= 16).float().mean())


def _matrices(folder: Path) -> Iterator[Any]:
    """The first rows of some projections; embeddings are left in 16 bits by everybody."""
    from safetensors import safe_open

    found = 0
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 (it is no dictionary)
                shape = tensors.get_slice(name).get_shape()
                if name.endswith("_proj.weight") and len(shape) == 2 and shape[1] % BLOCK == 0:
                    yield tensors.get_slice(name)[:ROWS]
                    found += 1
                    if found == LOOKED_AT:
                        return
