"""Code that a model wrote, run in a process of its own: with little time and memory, no network, and one folder to write in.

    run_code(programs, tests) ──job──▶ python -I sandbox_child.py   passed only with the token, written after the tests
                              ◀─token─  (no environment of ours, temporary folder)

What holds the process is asked of the process itself: `sandbox_holds()`. Linux fences off files, network, processes and
memory in the kernel. macOS has limits for time and file size; Windows has the time alone. There, and on Linux too, Python's
audit hook refuses files outside the folder, sockets and new processes: that stops accidents and careless code, not an
attack through C. Code that sets out to forge the verdict of its own process can: a score is no proof of good faith.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, NamedTuple

from nlp_skills.errors import lasting

CHILD = Path(__file__).with_name("sandbox_child.py")
MEGABYTE = 1024 * 1024


@dataclass(frozen=True)
class Limits:
    """What a program may use."""

    seconds: float = 10.0
    """Of the clock, and of the processor."""
    memory_mb: int = 1024
    """Address space."""
    file_mb: int = 1
    """Of each file that it writes."""
    files: int = 100
    """How many it may open for writing."""


LIMITS = Limits()


class Outcome(NamedTuple):
    """How a program ended."""

    passed: bool
    reason: str
    """Why it did not pass, in one line; empty where it did."""
    held: tuple[str, ...] = ()
    """What the kernel held it by: memory, file size, files, network, processes."""


def run_code(programs: Sequence[str], tests: str, limits: Limits = LIMITS) -> Outcome:
    """Run the first of the programs that compiles, and its tests after it, in a process of its own."""
    token = secrets.token_hex(16)
    job = {
        "programs": list(programs),
        "tests": tests,
        "token": token,
        "seconds": limits.seconds,
        "memory": limits.memory_mb * MEGABYTE,
        "file_size": limits.file_mb * MEGABYTE,
        "files": limits.files,
    }
    with (
        tempfile.TemporaryDirectory(prefix="nlp-skills-code-", ignore_cleanup_errors=True) as folder,
        tempfile.TemporaryFile() as asked,
        tempfile.TemporaryFile() as said,
        tempfile.TemporaryFile() as errors,
    ):
        asked.write(json.dumps(job).encode())
        asked.seek(0)
        ended = _run(folder, asked, said, errors, limits.seconds)
        return _outcome(ended, _tail(said), _tail(errors), token, limits)


def sandbox_holds() -> tuple[str, ...]:
    """What the kernel holds a program by on this machine: of memory, file size, files, network, processes."""
    return run_code(["pass"], "pass").held


def _run(folder: str, asked: IO[bytes], said: IO[bytes], errors: IO[bytes], seconds: float) -> int | None:
    """The exit code; None where time ran out."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-B", "-X", "utf8", str(CHILD)],
        stdin=asked,
        stdout=said,
        stderr=errors,
        cwd=folder,
        env=_environment(),
        start_new_session=True,  # ignored on Windows
    )
    try:
        return process.wait(seconds)
    except subprocess.TimeoutExpired:
        return None
    finally:
        _kill(process)


def _environment() -> dict[str, str]:
    """Nothing of this process's; Windows cannot start a program without the place of its system.

    One thread for numpy and its like: with one for each of 64 processors their stacks take all the memory there is.
    """
    system = {name: os.environ[name] for name in ("SYSTEMROOT",) if name in os.environ}
    return {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", **system}


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the process, and on POSIX whatever it started."""
    if sys.platform != "win32":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()


def _tail(stream: IO[bytes]) -> str:
    """The last few thousand characters: code may have written any amount."""
    size = stream.seek(0, os.SEEK_END)
    stream.seek(max(0, size - 4096))
    return stream.read().decode("utf-8", "replace")


def _outcome(ended: int | None, said: str, errors: str, token: str, limits: Limits) -> Outcome:
    head, _, verdict = said.partition("\n")
    try:
        held = tuple(json.loads(head))
    except ValueError:
        held = ()
    if verdict == token and ended == 0:
        return Outcome(True, "", held)
    if ended is None:
        return Outcome(False, f"it ran longer than {lasting(limits.seconds)}", held)
    lines = [line for line in errors.splitlines() if line.strip()]
    if ended < 0:
        return Outcome(False, f"it was ended by {signal.Signals(-ended).name}", held)
    last = lines[-1][:200] if lines else f"it ended itself before its tests were done (exit code {ended})"
    return Outcome(False, last, held)
