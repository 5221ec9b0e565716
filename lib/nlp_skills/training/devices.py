"""The devices that a run on this machine can have: its GPUs by number, or the processor as one.

CUDA_VISIBLE_DEVICES, when set, says which GPUs may be used; numbers are nvidia-smi's (PCI order).
Nothing is imported for it: torch takes seconds.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence

CPU = "cpu"


def visible_devices() -> list[str]:
    """`["0", "1"]`, or `["cpu"]` where there is no GPU of NVIDIA's or none may be used."""
    chosen = os.environ.get("CUDA_VISIBLE_DEVICES")
    if chosen is not None:
        return _chosen(chosen)
    return _numbers(_nvidia_smi()) or [CPU]


def device_environment(devices: Sequence[str]) -> dict[str, str]:
    """What the run's process finds in its environment, so that it sees these devices alone."""
    if list(devices) == [CPU]:
        return {}
    # Without the order, CUDA numbers the fastest first, and nvidia-smi by slot.
    return {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", "CUDA_VISIBLE_DEVICES": ",".join(devices)}


def _chosen(value: str) -> list[str]:
    """CUDA reads the list up to the first that is none (-1)."""
    found: list[str] = []
    for device in (part.strip() for part in value.split(",")):
        if not device or device.startswith("-"):
            break
        found.append(device)
    return found or [CPU]


def _nvidia_smi() -> str:
    program = shutil.which("nvidia-smi")
    if program is None:
        return ""
    try:
        listed = subprocess.run(
            [program, "--query-gpu=index", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            timeout=20,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return listed.stdout if listed.returncode == 0 else ""


def _numbers(listed: str) -> list[str]:
    return [line.strip() for line in listed.splitlines() if line.strip().isdigit()]
