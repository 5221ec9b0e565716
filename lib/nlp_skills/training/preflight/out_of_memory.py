"""Was it too little memory? What a process says of itself, and what the kernel says of one that it has killed."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

SAID = ("can't allocate memory", "not enough memory", "out of memory", "cannot allocate memory")
"""In a RuntimeError or OSError: torch's allocators and the system's mmap have no error of their own."""


class EvaluationOutOfMemory(MemoryError):
    """There was too little memory for a batch of validation rows (EVAL-MEM)."""


class KernelKills(NamedTuple):
    """How many processes the kernel has killed for memory."""

    place: str
    """This start of the machine, and the file with the count."""
    kills: int


@contextmanager
def while_evaluating() -> Iterator[None]:
    """Too little memory in here is told as EvaluationOutOfMemory (P09)."""
    try:
        yield
    except (MemoryError, RuntimeError, OSError) as error:
        if isinstance(error, EvaluationOutOfMemory) or not is_out_of_memory(error):
            raise
        raise EvaluationOutOfMemory(str(error) or type(error).__name__) from error


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the error says that there was too little memory, in any of the ways in which that is said."""
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    if not isinstance(error, RuntimeError | OSError):
        return False
    text = str(error).lower()
    return any(words in text for words in SAID)


def killed_for_memory(exit_code: int, before: KernelKills | None, now: KernelKills | None) -> bool:
    """Whether a process that ended so was killed because the memory was full: the kernel uses SIGKILL, and counts.

    Somebody who kills a run by hand uses the same signal; then the count has not risen.
    """
    if exit_code != -getattr(signal, "SIGKILL", 9) or before is None or now is None:
        return False
    return before.place == now.place and now.kills > before.kills


def kernel_kills(root: Path = Path("/")) -> KernelKills | None:
    """The count of this process's control group or of the machine; None where the kernel does not say.

    memory.events: https://docs.kernel.org/admin-guide/cgroup-v2.html; oom_kill in /proc/vmstat: since Linux 4.13.
    """
    for file in _counters(root):
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except OSError:
            continue
        for line in lines:
            name, _, value = line.partition(" ")
            if name == "oom_kill" and value.strip().isdigit():
                return KernelKills(f"{_start_of(root)} {file}", int(value))
    return None


def _start_of(root: Path) -> str:
    """Another one each time that the machine starts."""
    try:
        return (root / "proc/sys/kernel/random/boot_id").read_text(encoding="utf-8").strip()
    except OSError:
        return ""


def _counters(root: Path) -> list[Path]:
    """The control group's own file first: on a shared machine others are killed too."""
    try:
        groups = (root / "proc/self/cgroup").read_text(encoding="utf-8").splitlines()
    except OSError:
        groups = []
    unified = [line.removeprefix("0::/") for line in groups if line.startswith("0::/")]
    own = [root / "sys/fs/cgroup" / group / "memory.events" for group in unified]
    return [*own, root / "proc/vmstat"]
