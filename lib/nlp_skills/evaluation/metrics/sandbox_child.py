"""The process that runs somebody else's code: a script of its own, started by code_sandbox.py without our environment.

    stdin    {"programs": […], "tests": …, "token": …, "seconds": …, "memory": …, "file_size": …, "files": …}
    stdout   one line: what holds this process · and the token, once all tests have passed and not before
    stderr   the traceback of what went wrong

Three layers, each where it exists: limits of the kernel (resource), what Linux can fence off (linux_fence.py), and a
hook that Python itself asks before it opens, removes, starts or connects anything (PEP 578): everywhere.
"""

from __future__ import annotations

import functools
import json
import os
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

REFUSED = (
    "socket.",
    "subprocess.",
    "ctypes.",
    "winreg.",
    "webbrowser.",
    "pty.",
    "fcntl.",
    "gc.",
    "resource.",
    "signal.",
    "sys._current_",
    "_winapi.",
    "urllib.",
    "ftplib.",
    "smtplib.",
)
"""Beginnings of the names of events that are never allowed."""

CHANGES = {
    f"os.{name}"
    for name in "chflags chmod chown exec fork forkpty kill killpg link posix_spawn removexattr setxattr spawn"
    " startfile startfile/2 symlink system truncate utime".split()
}
"""Single events that are never allowed."""

INSIDE = ("os.mkdir", "os.remove", "os.rename", "os.rmdir")
"""Events whose paths have to lie in the folder."""

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def main() -> None:
    """Read the job, fence this process off, run the code, then its tests, and say so."""
    job = json.loads(sys.stdin.buffer.read())
    said = os.dup(1)
    nothing = os.open(os.devnull, os.O_RDWR)
    os.dup2(nothing, 0)
    os.dup2(nothing, 1)
    folder = os.path.realpath(Path.cwd())
    held = [*_limit(job), *_fence(folder)]
    if sys.platform != "win32" and "processes" not in held and _limit_one("RLIMIT_NPROC", 0):
        held.append("processes")
    os.write(said, f"{json.dumps(held)}\n".encode())
    passed = functools.partial(os.write, said, job.pop("token").encode())
    programs, tests, files = job["programs"], job["tests"], job["files"]
    sys.addaudithook(_guard(folder, files))
    _run(programs, tests)
    passed()
    os._exit(0)


def _limit(job: dict[str, Any]) -> list[str]:
    """Set the kernel's limits; the names of those that it took."""
    if sys.platform == "win32":
        return []
    seconds = int(job["seconds"]) + 1
    found = []
    if _limit_one("RLIMIT_AS", job["memory"]):
        found.append("memory")
    if _limit_one("RLIMIT_FSIZE", job["file_size"]):
        found.append("file size")
    for name, value in (("RLIMIT_CPU", seconds), ("RLIMIT_CORE", 0), ("RLIMIT_NOFILE", 64)):
        _limit_one(name, value)
    return found


def _limit_one(name: str, value: int) -> bool:
    import resource

    try:
        resource.setrlimit(getattr(resource, name), (value, value))
    except (ValueError, OSError):  # macOS refuses some
        return False
    return True


def _fence(folder: str) -> list[str]:
    if sys.platform != "linux":
        return []
    sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 (before any path is trusted)
    import linux_fence  # pyright: ignore[reportMissingImports]

    sys.path.pop(0)
    return linux_fence.fence(folder)


def _guard(folder: str, files: int) -> Callable[[str, tuple[Any, ...]], None]:
    """The hook: refuses what leaves the folder or the process, and more than so many files."""
    opened = 0
    # Kept here, whatever the code makes of the modules.
    inside, devnull, is_writing = os.path.realpath, os.devnull, WRITING
    beginnings, single, paths = REFUSED, CHANGES, INSIDE

    def refuse_outside(path: Any) -> None:
        if isinstance(path, int) or path == devnull:
            return
        full = inside(os.fsdecode(path))
        if not full.startswith(folder + os.sep):
            raise PermissionError(f"the sandbox refuses to change {full}")

    def hook(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal opened
        if event == "open":
            path, _, flags = arguments
            if flags & is_writing and not isinstance(path, int):
                refuse_outside(path)
                opened += 1
                if opened > files:
                    raise PermissionError(f"the sandbox refuses more than {files} files")
        elif event in paths:
            opened += event == "os.mkdir"
            two = 2 if event == "os.rename" else 1
            if any(place != -1 for place in arguments[-two:]):
                raise PermissionError("the sandbox refuses paths that begin at an open folder")
            for path in arguments[:two]:
                refuse_outside(path)
        elif event.startswith("ctypes."):
            raise ImportError("the sandbox has no ctypes")  # packages that can do without it go on
        elif event in single or event.startswith(beginnings):
            raise PermissionError(f"the sandbox refuses {event}")

    return hook


def _run(programs: list[str], tests: str) -> None:
    """The first of the programs that compiles, then the tests in the same module."""
    module = types.ModuleType("solution")
    sys.modules["solution"] = module
    exec(_first_that_compiles(programs), module.__dict__)
    exec(compile(tests, "tests", "exec"), module.__dict__)


def _first_that_compiles(programs: list[str]) -> types.CodeType:
    for program in programs[:-1]:
        try:
            return compile(program, "answer", "exec")
        except (SyntaxError, ValueError):
            continue
    return compile(programs[-1], "answer", "exec")


if __name__ == "__main__":
    main()
