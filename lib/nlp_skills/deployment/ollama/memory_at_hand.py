"""The memory that a model has on this machine: the GPU's where there is one, else the machine's."""

from __future__ import annotations

import platform
import sys
from typing import NamedTuple

from nlp_skills.training.planning.gpus import visible_gpus
from nlp_skills.training.planning.hardware import GIB, METAL_SHARE, memory_gb

_GB = 10**9


class MemoryAtHand(NamedTuple):
    """In GB (10^9 bytes)."""

    name: str
    total_gb: float
    free_gb: float


def memory_at_hand() -> MemoryAtHand:
    """Of all visible GPUs together (Ollama divides a model among them), of a Mac what Metal gives, else of the machine."""
    gpus = visible_gpus()
    if gpus:
        names = f"{len(gpus)} x {gpus[0].name}" if len(gpus) > 1 else gpus[0].name
        return MemoryAtHand(
            names, _gb(sum(gpu.memory_gb for gpu in gpus)), _gb(sum(gpu.free_gb for gpu in gpus))
        )
    total, free = memory_gb()
    if sys.platform == "darwin" and platform.machine() == "arm64":
        return MemoryAtHand("this Mac", _gb(total), _gb(min(free, total * METAL_SHARE)))
    return MemoryAtHand("this machine's memory, no GPU was found", _gb(total), _gb(free))


def _gb(gib: float) -> float:
    return round(gib * GIB / _GB, 1)
