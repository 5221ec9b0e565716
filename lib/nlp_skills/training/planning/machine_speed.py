"""How fast this machine multiplies, measured once: a matrix product of the size that a small model has.

Run as `python -m nlp_skills.training.planning.machine_speed THREADS`, in a process of its own: torch stays out of the
process that asks, and its threads are set before anything runs. The result is kept in the cache folder for
this processor, these GPUs, this number of threads and this torch.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Any

from nlp_skills.base_model import cache_folder, compute_device, compute_dtype
from nlp_skills.errors import NotValid
from nlp_skills.records import Record

SHAPE = (128, 1024, 1024)
"""Tokens, inputs, outputs: small enough that a product fits between two turns of other processes."""
SECONDS = 0.6
"""Of each measurement; the best product counts, because others may use the machine as well."""


class MachineSpeed(Record):
    """What torch does here."""

    machine: str
    """Processor, threads and GPU: predictions are corrected from runs of the same."""
    device: str
    dtype: str
    """What dtype: auto means here: bfloat16 or float32."""
    bfloat16_gflops: float
    float32_gflops: float
    """Billions of additions and multiplications a second."""


def machine_speed(threads: int, gpus: str = "") -> MachineSpeed | None:
    """Measured now, or as it was measured before; None without the train extra or where the measurement fails.

    `gpus` names the GPUs that may be used, in words: part of what the result is kept under.
    """
    machine = f"{processor()}, {threads} threads" + (f", {gpus}" if gpus else "")
    try:
        key = f"{machine} {metadata.version('torch')} {os.environ.get('CUDA_VISIBLE_DEVICES', '')}"
    except metadata.PackageNotFoundError:
        return None
    file = cache_folder() / "speed" / f"{hashlib.sha256(key.encode()).hexdigest()[:24]}.json"
    if file.is_file():
        try:
            return MachineSpeed.load(file)
        except NotValid:
            pass  # of another release: measured again
    command = [sys.executable, "-P", "-m", "nlp_skills.training.planning.machine_speed", str(threads)]
    try:
        ran = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
        found = MachineSpeed.parse(
            {"machine": machine, **json.loads(ran.stdout.splitlines()[-1])}, "the speed"
        )
    except (subprocess.TimeoutExpired, OSError, ValueError, IndexError, NotValid):
        return None
    file.parent.mkdir(parents=True, exist_ok=True)
    return found.save(file)


def processor() -> str:
    """The processor's name as the system says it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def measure(threads: int) -> dict[str, Any]:
    """The products of this process; loads torch."""
    import torch

    torch.set_num_threads(threads)
    device = compute_device()
    dtype = str(compute_dtype()).removeprefix("torch.")
    return {
        "device": device,
        "dtype": dtype,
        "bfloat16_gflops": _rate(torch.bfloat16, device) if dtype == "bfloat16" else 0.0,
        "float32_gflops": _rate(torch.float32, device),
    }


def _rate(dtype: Any, device: str) -> float:
    import torch

    tokens, inputs, outputs = (size * (16 if device == "cuda" else 1) for size in SHAPE)
    left = torch.randn(tokens, inputs).to(device=device, dtype=dtype)
    right = torch.randn(outputs, inputs).to(device=device, dtype=dtype)
    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    best = float("inf")
    torch.nn.functional.linear(left, right)
    wait()
    until = time.perf_counter() + SECONDS
    while time.perf_counter() < until:
        started = time.perf_counter()
        torch.nn.functional.linear(left, right)
        wait()
        best = min(best, time.perf_counter() - started)
    return round(2 * tokens * inputs * outputs / best / 1e9, 1)


if __name__ == "__main__":
    sys.stdout.write(json.dumps(measure(int(sys.argv[1]))) + "\n")
