"""The process that holds the API classes, from this side: a method for each of its commands."""

from __future__ import annotations

import json
import os
import queue
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import msgspec

from nlp_skills.errors import MissingExtra, RunFailed
from nlp_skills.evaluation.tool_use.bfcl import API_FILES, Scenario

LONGEST = 60.0
"""Seconds that a call may take: an exponent of a billion would run for days."""


class CodeCall(msgspec.Struct, frozen=True):
    """A call as code makes it: the packaged ground truths leave some names of arguments out."""

    name: str
    arguments: dict[str, Any]
    positional: list[Any] = []


class ApiProcess:
    """One process for many scenarios; each has its own instances under a key."""

    def __init__(self, package: Path, longest: float = LONGEST) -> None:
        """`package` is the folder that holds `bfcl_eval`; `longest` are the seconds that a command may take."""
        self._longest = longest
        worker = Path(__file__).with_name("api_worker.py")
        # -I: neither the working folder nor PYTHONPATH decides what is imported.
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-B", "-X", "utf8", str(worker), str(package)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
            env={key: value for key, value in os.environ.items() if key in _KEPT},
        )
        self._answers: queue.Queue[str] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def open(self, key: str, scenario: Scenario) -> None:
        """Make the scenario's instances in the state of its beginning."""
        self._ask(
            do="open",
            key=key,
            classes=scenario.classes,
            modules=[API_FILES[name] for name in scenario.classes],
            config=scenario.config,
            long_context=scenario.long_context,
        )

    def run(self, key: str, calls: Sequence[CodeCall]) -> list[str]:
        """What each call answers, errors included. Raises RunFailed where one does not come back."""
        return self._ask(do="run", key=key, calls=[msgspec.to_builtins(_whole(call)) for call in calls])[
            "results"
        ]

    def differences(self, key: str, other: str) -> Mapping[str, Mapping[str, list[str]]]:
        """Attributes in which two sessions of a scenario differ: class → attribute → both as text."""
        return self._ask(do="differences", key=key, other=other)["differences"]

    def forget(self, *keys: str) -> None:
        """Give back sessions."""
        for key in keys:
            self._ask(do="close", key=key)

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            if stream is not None:
                stream.close()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._answers.put(line)
        self._answers.put("")

    def _ask(self, **command: Any) -> dict[str, Any]:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(command) + "\n")
            self._process.stdin.flush()
            answer = self._answers.get(timeout=self._longest)
        except queue.Empty:
            self._process.kill()  # what it still answers would be taken for the answer to something else
            raise RunFailed(
                f"A call of a BFCL scenario did not come back within {self._longest:g} seconds."
            ) from None
        except OSError:
            answer = ""
        if not answer:
            raise RunFailed("The process with BFCL's API classes has ended. Run the same command again.")
        told = json.loads(answer)
        if "missing" in told:
            raise MissingExtra(f"BFCL's multi-turn categories use {told['missing']}, which", "train")
        return told


_KEPT = {"PATH", "SYSTEMROOT", "TEMP", "TMP", "TMPDIR", "HOME", "LANG", "TZ"}
"""Of the environment; keys of services are none of a benchmark's business."""


def _whole(call: CodeCall) -> dict[str, Any]:
    return {"name": call.name, "positional": call.positional, "arguments": call.arguments}
