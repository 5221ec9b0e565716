"""Room for what a run writes: checkpoints with the optimiser's state, and the model (ENV-DISK, ENV-WRITE)."""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from nlp_skills.data.report import Finding
from nlp_skills.records import unfinished
from nlp_skills.training.checkpoints import KEPT

STATE_BYTES = 12
"""Of a trained number in a checkpoint: itself and Adam's two moments, in float32 (Kingma and Ba 2014, arXiv:1412.6980)."""
SAVED_BYTES = 4
OTHERS = 16 << 20
"""metrics.jsonl, train.log and what else is small."""
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
"""The disk is full; the user's share of it is; the file may not grow (ulimit -f)."""
SAID = (
    "no space left",
    "disk quota",
    "file too large",
    "failed writing file",
    "enforce fail at inline_container",
)
"""By libraries that write themselves: safetensors, torch.save."""


def needed_bytes(trained: int, tokenizer: int) -> tuple[int, int]:
    """Bytes of the largest file, and of all that lies there at once: the kept checkpoints, one being written, the model.

    `trained`: numbers that the optimiser changes; `tokenizer`: bytes of its files, which lie beside each.
    """
    checkpoint = trained * STATE_BYTES + tokenizer
    return trained * (STATE_BYTES - SAVED_BYTES), (
        KEPT + 1
    ) * checkpoint + trained * SAVED_BYTES + tokenizer + OTHERS


def disk_findings(folder: Path, largest: int, total: int) -> Iterator[Finding]:
    """What stands against writing `total` bytes into a folder, the largest file of `largest`; the folder is made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = unfinished(folder / "probe")
        probe.touch(exist_ok=False)
    except OSError as error:
        yield Finding(
            check="ENV-WRITE",
            level="error",
            message=f"Nothing can be written to {folder}: {error.strerror}.",
            count=0,
            fix="Give yourself the right to write there, or move the task to where you have it",
        )
        return
    try:
        free = shutil.disk_usage(folder).free
        refused = None if free < total else _reserve(probe, largest)
    finally:
        probe.unlink(missing_ok=True)
    if free < total or refused:
        why = refused or f"{_mb(free)} are free"
        yield Finding(
            check="ENV-DISK",
            level="error",
            message=f"The run writes about {_mb(total)} to {folder}, the largest file {_mb(largest)}, and {why}.",
            count=0,
            fix="Delete what is not needed there (models of old versions), raise the limit, or move the task to another disk",
        )


def _reserve(probe: Path, size: int) -> str | None:
    """Why the system refuses a file of that size (a quota, a limit); None where it gives it, or cannot be asked."""
    reserve = getattr(os, "posix_fallocate", None)
    if reserve is None or not size:
        return None
    handle = os.open(probe, os.O_WRONLY)
    try:
        reserve(handle, 0, size)
    except OSError as error:
        return f"the system says: {error.strerror}" if error.errno in FULL else None
    finally:
        os.close(handle)
    return None


def _mb(size: int) -> str:
    return f"{size / 2**20:,.0f} MiB" if size >= 10 << 20 else f"{size / 2**20:,.1f} MiB"


def is_disk_full(error: BaseException) -> bool:
    """Whether the error says that there is no room for a file, in any of the ways in which that is said."""
    if isinstance(error, OSError) and error.errno in FULL:
        return True
    return any(words in str(error).lower() for words in SAID)
