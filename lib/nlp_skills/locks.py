"""One process at a time: a lock file, and a word to those who wait for it.

    with locked(folder / ".merged.lock", "merges v2 of tickets", progress):

The system gives a lock back when its process ends, however it ends: what is left of the file means nothing.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from nlp_skills.errors import NotReady
from nlp_skills.records import Progress, silent

QUIET = 1.5
"""Seconds of waiting that nobody has to hear of."""
BRIEF = 60.0
"""Seconds after which a lock that is held for a moment only counts as stuck."""


@contextmanager
def locked(
    file: Path, doing: str, progress: Progress = silent, *, patience: float | None = None
) -> Iterator[None]:
    """Hold the lock file; `doing` says what its holder does, as it is told to who waits: `merges v2 of tickets`.

    Waits as long as the other works; with `patience` that many seconds. Raises NotReady after them.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(file)
    _acquire(lock, file, doing, progress, patience)
    try:
        yield
    finally:
        lock.release()


def _acquire(lock: FileLock, file: Path, doing: str, progress: Progress, patience: float | None) -> None:
    began = time.monotonic()
    wait = QUIET
    while True:
        try:
            lock.acquire(timeout=wait)
            return
        except Timeout:
            waited = time.monotonic() - began
        if patience is not None and waited >= patience:
            raise NotReady(
                f"Another process {doing}, and has not ended for {waited:.0f} seconds (it holds {file}). Try again when it"
                " has, or end it."
            ) from None
        progress(f"waiting for another process, which {doing} ({file})", 0, None)
        wait = min(10.0, patience - waited) if patience is not None else 10.0
