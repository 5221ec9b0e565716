"""The GPUs of NVIDIA's that a run here may use, with their memory, as nvidia-smi tells it.

CUDA_VISIBLE_DEVICES names them by number, by UUID (GPU-8f6a…, or its beginning), or names a part of one (MIG-…).
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from nlp_skills.training.devices import CPU, visible_devices

FIELDS = "index,uuid,name,memory.total,memory.free"
_GPU = re.compile(r"GPU (\d+): (.+) \(UUID: (GPU-[\w-]+)\)")
_PART = re.compile(r"MIG (\d+[\w.+]*?\.(\d+)gb\S*)\s+Device\s+(\d+): \(UUID: (MIG-[\w/-]+)\)")


class Gpu(NamedTuple):
    """A GPU, or a part of one; memory in GiB."""

    name: str
    memory_gb: float
    free_gb: float


def visible_gpus() -> list[Gpu]:
    """Those that a run may use, in its order; none where there is no nvidia-smi to ask."""
    wanted = visible_devices()
    if wanted == [CPU]:
        return []
    parts = _nvidia_smi("-L") if any(device.startswith("MIG-") for device in wanted) else ""
    return chosen_gpus(wanted, _nvidia_smi(f"--query-gpu={FIELDS}", "--format=csv,noheader,nounits"), parts)


def chosen_gpus(wanted: Sequence[str], listed: str, parts: str = "") -> list[Gpu]:
    """The wanted ones of a listing by FIELDS; `parts`: what `nvidia-smi -L` says, for parts of GPUs.

    A UUID may be cut short, as for CUDA itself. What nvidia-smi does not know is left out, as CUDA leaves it out.
    """
    found = {**_whole(listed), **_parts(parts)}
    chosen = []
    for device in wanted:
        names = [
            name for name in found if name == device or (not device.isdigit() and name.startswith(device))
        ]
        if names:
            chosen.append(found[names[0]])
    return chosen


def _whole(listed: str) -> dict[str, Gpu]:
    found = {}
    for line in listed.splitlines():
        cells = [cell.strip() for cell in line.split(",")]
        if len(cells) == 5 and cells[3].isdigit() and cells[4].isdigit():
            gpu = Gpu(cells[2], int(cells[3]) / 1024, int(cells[4]) / 1024)
            found |= {cells[0]: gpu, cells[1]: gpu}
    return found


def _parts(listed: str) -> dict[str, Gpu]:
    """MIG devices: `MIG 3g.40gb     Device  0: (UUID: MIG-…)` below its GPU; the profile names the memory.

    How much of it is free nvidia-smi tells nobody without rights on the whole GPU: all of it is assumed.
    """
    found: dict[str, Gpu] = {}
    owner, number = "", ""
    for line in listed.splitlines():
        if gpu := _GPU.search(line):
            number, owner = gpu[1], gpu[2]
        elif part := _PART.search(line):
            memory = float(part[2])
            found[part[4]] = found[f"{number}:{part[3]}"] = Gpu(f"{owner} MIG {part[1]}", memory, memory)
    return found


def _nvidia_smi(*arguments: str) -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    try:
        ran = subprocess.run([program, *arguments], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return ran.stdout if ran.returncode == 0 else ""
