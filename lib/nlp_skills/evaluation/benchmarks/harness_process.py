"""The harness in a process of its own: started by uv, asked for suites, answered by a predictor."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nlp_skills.errors import NotReady, RunFailed, clip

VERSION = "0.4.13"
REQUIREMENT = f"lm-eval=={VERSION}"
FETCH = f"uv run --no-project --python {sys.version_info[0]}.{sys.version_info[1]} --with {REQUIREMENT} python -c pass"
"""Brings the harness into uv's cache, without torch: the model answers here."""

Reply = Callable[[str, list[Any]], list[Any]]
"""The answers to the rows of a request (choices, generate, rolling)."""


class HarnessProcess:
    """One process for several runs."""

    def __init__(self, folder: Path, *, download: bool) -> None:
        """`folder` is where relative paths of local tasks begin. Without `download` nothing is fetched: neither the
        harness nor a data set. Raises NotReady where the harness is not to be had.
        """
        uv = shutil.which("uv")
        if uv is None:
            raise NotReady(
                f"lm-evaluation-harness {VERSION} is run by uv, which is not on this machine. Install uv."
            )
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            _command(uv, download),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            encoding="utf-8",
            cwd=folder,
            env=_environment(download),
        )
        started = self._read()
        if started is None:
            said = self._last_words()
            self.close()
            raise NotReady(
                f"lm-evaluation-harness {VERSION} is not in uv's cache and could not be fetched ({said}). Fetch it"
                f" once where a package index can be reached: {FETCH}"
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def run(self, given: dict[str, Any], reply: Reply) -> dict[str, Any]:
        """What the harness found. Raises RunFailed where it ends without a result, and what `reply` raises."""
        self._write(given)
        while (told := self._read()) is not None:
            if "done" in told:
                return told["done"]
            self._write({"found": reply(told["ask"], told["rows"])})
        raise RunFailed(f"lm-evaluation-harness has ended without a result: {self._last_words()}")

    def close(self) -> None:
        """End the process: without anybody to ask it ends by itself."""
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None and not stream.closed:
                try:
                    stream.close()
                except OSError:
                    continue  # it has ended before it read everything
        self._process.terminate()
        self._process.wait()
        self._log.close()

    def _read(self) -> dict[str, Any] | None:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return json.loads(line) if line else None

    def _write(self, told: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(told, ensure_ascii=False) + "\n")
            self._process.stdin.flush()
        except OSError:
            raise RunFailed(f"lm-evaluation-harness has ended: {self._last_words()}") from None

    def _last_words(self) -> str:
        self._log.seek(0)
        lines = self._log.read().decode("utf-8", "replace").splitlines()
        return clip(" ".join(line.strip() for line in lines[-4:] if line.strip()), 500) or "it said nothing"


def _command(uv: str, download: bool) -> Sequence[str]:
    python = f"{sys.version_info[0]}.{sys.version_info[1]}"
    worker = str(Path(__file__).with_name("harness_worker.py"))
    offline = () if download else ("--offline",)
    # -I: neither the working folder nor PYTHONPATH decides what is imported.
    start = ("python", "-I", "-X", "utf8", worker)
    return [uv, "run", "--quiet", *offline, "--no-project", "--python", python, "--with", REQUIREMENT, *start]


_SECRET = ("_KEY", "_TOKEN", "_SECRET", "_PASSWORD")


def _environment(download: bool) -> dict[str, str]:
    """Without the keys of services, but for the one that opens gated data sets."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name == "HF_TOKEN" or not name.upper().endswith(_SECRET)
    }
    for name in ("VIRTUAL_ENV", "PYTHONPATH", "PYTHONHOME"):
        kept.pop(name, None)
    offline = {} if download else {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    return {**kept, "HF_HUB_DISABLE_TELEMETRY": "1", "TOKENIZERS_PARALLELISM": "false", **offline}
