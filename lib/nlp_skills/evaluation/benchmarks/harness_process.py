"""The harness in a process of its own: started by uv, asked for suites, answered by a predictor."""

from __future__ import annotations

import json
import subprocess
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from nlp_skills.errors import NotReady, RunFailed, clip
from nlp_skills.own_environment import fetch_line, find_uv, plain_environment, worker_command

VERSION = "0.4.13"
REQUIREMENT = f"lm-eval=={VERSION}"
FETCH = fetch_line([REQUIREMENT])
"""Brings the harness into uv's cache, without torch: the model answers here."""

Reply = Callable[[str, list[Any]], list[Any]]
"""The answers to the rows of a request (choices, generate, rolling)."""


class HarnessProcess:
    """One process for several runs."""

    def __init__(self, folder: Path, *, download: bool) -> None:
        """`folder` is where relative paths of local tasks begin. Without `download` nothing is fetched: neither the
        harness nor a data set. Raises NotReady where the harness is not to be had.
        """
        uv = find_uv(f"lm-evaluation-harness {VERSION}")
        worker = Path(__file__).with_name("harness_worker.py")
        self._log = tempfile.TemporaryFile()  # noqa: SIM115
        self._process = subprocess.Popen(
            worker_command(uv, [REQUIREMENT], worker, offline=not download),
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


def _environment(download: bool) -> Mapping[str, str]:
    """Of all keys the one that opens gated data sets."""
    offline = {} if download else {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    return plain_environment(keep=["HF_TOKEN"], **offline)
