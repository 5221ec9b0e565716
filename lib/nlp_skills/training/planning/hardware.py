"""What a run can have: this machine as it is, or hardware by name.

Peak figures are dense products with float32 sums, from the makers' data sheets; prices are what an hour is
sold for, with source and date: they change, so a user's own price goes before them.
"""

from __future__ import annotations

import os
import platform
import sys
from pathlib import Path
from typing import Literal

from nlp_skills.errors import NotFound, did_you_mean
from nlp_skills.records import Record
from nlp_skills.training.environment import free_cores
from nlp_skills.training.planning.gpus import visible_gpus
from nlp_skills.training.planning.machine_speed import machine_speed, processor
from nlp_skills.training.planning.memory import Device

HardwareName = Literal["cpu", "minimal", "rtx_3060", "rtx_4090", "a100", "h100", "h200", "apple"]

GIB = 2**30
METAL_SHARE = 0.75
"""What Metal lets one process have of the memory of a Mac (recommendedMaxWorkingSetSize)."""
KEPT_FREE = 0.05
"""Of a memory: for whatever else there is."""


class Price(Record):
    """What an hour of one device costs."""

    usd_per_hour: float
    source: str
    date: str


class Hardware(Record):
    """A device that a model can be trained on; memory in GiB."""

    name: str
    device: Device
    gpus: int = 0
    memory_gb: float
    """Of one GPU, or of the machine where it computes on its processor."""
    free_gb: float
    """What a run may have of it."""
    dtype: Literal["bfloat16", "float32"]
    gflops: float | None = None
    """Dense products a second in that dtype, in billions; None: not known."""
    float32_gflops: float | None = None
    measured: bool = False
    """Whether the speed was measured here, or stands in a data sheet."""
    threads: int | None = None
    machine: str | None = None
    """Which machine it is, where it is this one."""
    price: Price | None = None
    source: str


def _named(name: str, device: Device, memory: float, gflops: float, source: str, **more: object) -> Hardware:
    return Hardware.parse(
        {
            "name": name,
            "device": device,
            "gpus": 1 if device == "cuda" else 0,
            "memory_gb": memory,
            "free_gb": round(memory * (METAL_SHARE if device == "mps" else 1 - KEPT_FREE), 2),
            "dtype": "bfloat16",
            "gflops": gflops,
            "source": source,
            **more,
        },
        name,
    )


RUNPOD = "runpod.io/pricing, Secure Cloud"

NAMED: dict[str, Hardware] = {
    hardware.name: hardware
    for hardware in (
        _named(
            "cpu",
            "cpu",
            16,
            200,
            "a processor of 4 cores with AVX2: 50 GFLOP/s a core",
            dtype="float32",
            float32_gflops=200,
        ),
        _named(
            "minimal",
            "cuda",
            5,
            9_000,
            "4 to 6 GB of GPU memory: RTX 3050 laptop, T1000 (their data sheets)",
            float32_gflops=4_500,
        ),
        _named(
            "rtx_3060",
            "cuda",
            12,
            25_600,
            "NVIDIA Ampere GA102 white paper, table 2, scaled to 28 SMs",
            float32_gflops=12_700,
        ),
        _named(
            "rtx_4090",
            "cuda",
            24,
            165_200,
            "NVIDIA Ada white paper, table 2",
            float32_gflops=82_600,
            price={
                "usd_per_hour": 0.34,
                "source": "runpod.io/pricing, Community Cloud",
                "date": "2026-03-10",
            },
        ),
        _named(
            "a100",
            "cuda",
            40,
            312_000,
            "NVIDIA A100 data sheet",
            float32_gflops=19_500,
            price={
                "usd_per_hour": 1.99,
                "source": "lambda.ai/instances, A100 SXM 40 GB",
                "date": "2026-09-20",
            },
        ),
        _named(
            "h100",
            "cuda",
            80,
            989_000,
            "NVIDIA H100 SXM data sheet",
            float32_gflops=67_000,
            price={"usd_per_hour": 3.99, "source": RUNPOD, "date": "2026-11-09"},
        ),
        _named(
            "h200",
            "cuda",
            141,
            989_000,
            "NVIDIA H200 data sheet",
            float32_gflops=67_000,
            price={
                "usd_per_hour": 3.59,
                "source": "runpod.io/pricing, Community Cloud",
                "date": "2026-03-10",
            },
        ),
        _named(
            "apple",
            "mps",
            16,
            6_800,
            "Apple M2 Pro, 16 GB: 6.8 TFLOP/s (apple.com, technical specifications)",
            float32_gflops=6_800,
        ),
    )
}


def find_hardware(name: str | None = None, *, threads: int | None = None) -> Hardware:
    """Hardware by name, or this machine where none is named; its speed is measured once (some seconds).

    `threads`: of the run, where config.yaml says so. Raises NotFound with the names there are.
    """
    if name is None or name == "this":
        return this_machine(threads)
    known = name.lower().replace("-", "_").replace(" ", "_")
    if known not in NAMED:
        raise NotFound(
            f"There is no hardware {name!r}{did_you_mean(known, NAMED)}. Choose from: {', '.join(NAMED)}, or leave it"
            " out for this machine."
        )
    return NAMED[known]


def this_machine(threads: int | None = None) -> Hardware:
    """The device that a run would have here, with what is free of it at this moment."""
    threads = threads or free_cores()
    gpus = visible_gpus()
    words = f"{len(gpus)} x {gpus[0].name}" if gpus else ""
    speed = machine_speed(threads, words)
    total, free = memory_gb()
    if gpus:
        device: Device = "cuda"
        total, free = min(gpu.memory_gb for gpu in gpus), min(gpu.free_gb for gpu in gpus)
    elif sys.platform == "darwin" and platform.machine() == "arm64":
        device, free = "mps", total * METAL_SHARE
    else:
        device = "cpu"
    is_bfloat16 = speed.dtype == "bfloat16" if speed else device == "cuda"
    return Hardware(
        name=words or (f"this Mac ({processor()})" if device == "mps" else f"this processor ({processor()})"),
        device=device,
        gpus=len(gpus),
        memory_gb=round(total, 1),
        free_gb=round(free, 1),
        dtype="bfloat16" if is_bfloat16 else "float32",
        gflops=(speed.bfloat16_gflops if is_bfloat16 else speed.float32_gflops) if speed else None,
        float32_gflops=speed.float32_gflops if speed else None,
        measured=speed is not None,
        threads=threads,
        machine=speed.machine if speed else None,
        source="this machine",
    )


def memory_gb() -> tuple[float, float]:
    """The machine's memory and what is free of it, in GiB; a container's limit counts."""
    limits = [_container_limit()]
    info = Path("/proc/meminfo")
    if info.is_file():
        said = dict(line.split(":", 1) for line in info.read_text().splitlines() if ":" in line)
        total, free = (int(said[key].split()[0]) * 1024 for key in ("MemTotal", "MemAvailable"))
    else:
        total = free = _physical_memory()
    total = min([total, *(limit for limit in limits if limit)])
    return total / GIB, min(free, total) / GIB


def _container_limit() -> int | None:
    for name in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        file = Path(name)
        if file.is_file():
            text = file.read_text().strip()
            return int(text) if text.isdigit() else None
    return None


def _physical_memory() -> int:
    if sys.platform == "win32":
        import psutil

        return psutil.virtual_memory().total
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
