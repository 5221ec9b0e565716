"""Whether a task's files changed since they were read: a signature from their time stamps, without opening them."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from pathlib import Path

from nlp_skills.errors import NotValid

_FORMAT = "1"
"""Part of every signature: rows of an older format are read again."""

_RACY_NS = 2_000_000_000
"""A file this young may change once more within one tick of its clock (FAT: two seconds) and keep its
time stamp, so its signature proves nothing yet. Git has the same rule for its own index ("racy git")."""

_VERSION = re.compile(r"v[1-9][0-9]*")


def scan(home: Path) -> dict[str, str]:
    """Folder name → signature, for every folder that holds a task.yaml; hidden ones are unfinished."""
    started = time.time_ns()
    try:
        with os.scandir(home) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".")]
    except FileNotFoundError:
        return {}
    except NotADirectoryError:
        raise NotValid(f"{home} is a file; the tasks folder is expected there.") from None
    except OSError as error:
        raise NotValid(f"{home} cannot be read: {error.strerror}.") from None
    found = ((name, _signature(f"{home}{os.sep}{name}", started)) for name in names)
    return {name: signature for name, signature in found if signature is not None}


def _signature(folder: str, started: int) -> str | None:
    """What changes when the task's answer may change; None: no task; empty: it cannot be relied on yet.

    Every lineage.yaml counts, because an older version that is evaluated late can become the best.
    """
    try:
        parts, newest = [_FORMAT], 0
        for label, file in files_of(folder):
            stat = stat_of(file)
            if stat is not None:
                parts.append(f"{label}:{stat.st_mtime_ns}:{stat.st_ctime_ns}:{stat.st_size}")
                newest = max(newest, stat.st_mtime_ns)
            elif label:
                parts.append(label)
            else:
                return None
    except OSError:  # reading it will say why
        return ""
    return " ".join(parts) if newest < started - _RACY_NS else ""


def files_of(folder: str) -> Iterator[tuple[str, str]]:
    """The files that the answer is made from: ("", task.yaml), then ("v1", its lineage.yaml) …"""
    yield "", f"{folder}{os.sep}task.yaml"
    for version in versions_of(folder):
        yield version, lineage_of(folder, version)


def stat_of(file: str) -> os.stat_result | None:
    try:
        return os.stat(file)  # noqa: PTH116 - a Path costs five times as much, and there are 40,000
    except (FileNotFoundError, NotADirectoryError):
        return None


def versions_of(folder: str) -> list[str]:
    """The names v1, v2, … in the versions folder, in the order of their numbers."""
    try:
        names = os.listdir(f"{folder}{os.sep}versions")  # noqa: PTH208
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(filter(_VERSION.fullmatch, names), key=lambda name: int(name[1:]))


def lineage_of(folder: str | Path, version: str) -> str:
    return f"{folder}{os.sep}versions{os.sep}{version}{os.sep}lineage.yaml"
