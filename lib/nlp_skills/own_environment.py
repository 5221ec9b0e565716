"""Programs in an environment of their own: what they need collides with what is installed here, so uv brings it apart.

uv run --no-project --python 3.11 --with lm-eval==0.4.13 python -I worker.py …
"""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from nlp_skills.errors import NotReady

PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"

_SECRET = ("_KEY", "_TOKEN", "_SECRET", "PASSWORD", "_PWD")  # PGPASSWORD, MYSQL_PWD


def find_uv(what: str) -> str:
    """The program uv. Raises NotReady naming `what` it is needed for."""
    uv = shutil.which("uv")
    if uv is None:
        raise NotReady(f"{what} is run by uv, which is not on this machine. Install uv.")
    return uv


def fetch_line(requirements: Sequence[str]) -> str:
    """The command that brings the packages into uv's cache."""
    packages = " ".join(f"--with {requirement}" for requirement in requirements)
    return f"uv run --no-project --python {PYTHON} {packages} python -c pass"


def worker_command(uv: str, requirements: Sequence[str], worker: Path, *, offline: bool) -> list[str]:
    """How uv starts a worker; `offline` takes nothing that is not in uv's cache."""
    packages = [part for requirement in requirements for part in ("--with", requirement)]
    # -I: neither the working folder nor PYTHONPATH decides what is imported.
    start = ["python", "-I", "-X", "utf8", str(worker)]
    network = ["--offline"] if offline else []
    return [uv, "run", "--quiet", *network, "--no-project", "--python", PYTHON, *packages, *start]


def plain_environment(*, keep: Sequence[str] = (), **more: str) -> Mapping[str, str]:
    """This process's environment without keys and passwords (but those in `keep`), and without its own Python."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in keep or not name.upper().endswith(_SECRET)
    }
    for name in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"):
        kept.pop(name, None)
    return {**kept, "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false", **more}
