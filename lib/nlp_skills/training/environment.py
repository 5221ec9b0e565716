"""What a run runs on and what it takes: threads, packages, memory, seconds."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from nlp_skills.training.job import Environment

RECORDED_PACKAGES = (
    "nlp-skills",
    "torch",
    "transformers",
    "trl",
    "peft",
    "accelerate",
    "datasets",
    "tokenizers",
)


class Stopwatch:
    """Seconds of work, the parts before a resume included."""

    def __init__(self, before: float = 0.0) -> None:
        self._before = before
        self._start = time.monotonic()

    def seconds(self) -> float:
        """Seconds so far."""
        return self._before + time.monotonic() - self._start

    @contextmanager
    def stopped(self) -> Iterator[None]:
        """What happens meanwhile is no work."""
        began = time.monotonic()
        try:
            yield
        finally:
            self._start += time.monotonic() - began


def free_cores() -> int:
    """The processor cores that this process may use; OMP_NUM_THREADS, when set, decides."""
    chosen = os.environ.get("OMP_NUM_THREADS", "")
    if chosen.isdigit() and int(chosen) > 0:
        return int(chosen)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def environment(task: Path, threads: int) -> Environment:
    """Versions, platform, GPU and the commit of the repository that holds the task."""
    import torch

    packages = {name: metadata.version(name) for name in RECORDED_PACKAGES if _installed(name)}
    return Environment(
        python=platform.python_version(),
        platform=platform.platform(),
        packages=packages,
        gpu=torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        threads=threads,
        git_commit=git_commit(task),
    )


def _installed(name: str) -> bool:
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def git_commit(folder: Path) -> str | None:
    """The commit that is checked out where the folder lies; None outside a repository or without git."""
    try:
        found = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=folder, capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None


def peak_memory_mb() -> tuple[float, float | None]:
    """Peak resident memory of this process and peak memory of the GPU, in MiB (None without a GPU)."""
    import torch

    gpu = torch.cuda.max_memory_allocated() / 2**20 if torch.cuda.is_available() else None
    if sys.platform == "win32":
        import psutil

        return round(psutil.Process().memory_info().peak_wset / 2**20, 1), gpu
    status = Path("/proc/self/status")
    if status.is_file():
        # getrusage would count the memory of the process that started this one: Linux keeps that through exec.
        line = next(row for row in status.read_text().splitlines() if row.startswith("VmHWM:"))
        return round(int(line.split()[1]) / 2**10, 1), gpu
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # macOS counts in bytes, other systems in KiB.
    return round(peak / (2**20 if sys.platform == "darwin" else 2**10), 1), gpu
