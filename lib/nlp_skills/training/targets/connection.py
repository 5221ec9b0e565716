"""One machine over the system's own ssh: every call is a connection of its own, so a cut one costs nothing.

Commands are lists; what the shell there reads is quoted by shlex. Keys, jump hosts and addresses come from
~/.ssh/config as always; a question (a password, an unknown host key) is an error with the cure, never a wait.
"""

from __future__ import annotations

import json
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from nlp_skills.data.secret import hide
from nlp_skills.errors import NotReady, RunFailed, clip
from nlp_skills.training.targets.definition import SSHTarget

OPTIONS = (
    ("ControlMaster", "no"),
    ("ControlPath", "none"),
    ("BatchMode", "yes"),
    ("ConnectTimeout", "15"),
    ("ServerAliveInterval", "15"),
    ("ServerAliveCountMax", "4"),
)
ANSWER = "nlp-skills:"
"""Begins the answer: a login script there may print lines of its own before."""
SECONDS = 120


class Unreachable(RunFailed):
    """The machine does not answer now; what runs there goes on."""


class Connection:
    """A machine that commands and files are sent to."""

    def __init__(self, target: SSHTarget) -> None:
        self.target = target

    def command(self, *words: str) -> list[str]:
        """The ssh command that runs these words there."""
        program = shutil.which("ssh")
        if program is None:
            raise NotReady("There is no ssh program here. Install OpenSSH's client and try again.")
        target = self.target
        options = [part for name, value in OPTIONS for part in ("-o", f"{name}={value}")]
        if target.port:
            options += ["-p", str(target.port)]
        if target.identity_file:
            key = str(Path(target.identity_file).expanduser())
            options += ["-i", key, "-o", "IdentitiesOnly=yes"]
        if target.known_hosts_file:
            options += ["-o", f"UserKnownHostsFile={Path(target.known_hosts_file).expanduser()}"]
        if target.user:
            options += ["-l", target.user]
        return [program, "-T", *options, target.host, "exec " + shlex.join(words)]

    def run(
        self,
        *words: str,
        write: Callable[[IO[bytes]], None] | None = None,
        read: Callable[[IO[bytes]], Any] = lambda stream: stream.read(),
        seconds: float | None = SECONDS,
    ) -> Any:
        """Run a command there; `write` fills its input, `read` takes its output. Raises Unreachable or RunFailed."""
        with tempfile.TemporaryFile() as given, tempfile.TemporaryFile() as told:
            if write is not None:
                write(given)
                given.seek(0)
            with subprocess.Popen(
                self.command(*words), stdin=given, stdout=subprocess.PIPE, stderr=told
            ) as process:
                assert process.stdout is not None
                try:
                    found = read(process.stdout)
                    status = process.wait(timeout=seconds)
                except subprocess.TimeoutExpired:
                    raise Unreachable(f"{self.target.name} does not answer.") from None
                finally:
                    if process.poll() is None:
                        process.kill()
            told.seek(0)
            self._check(words, status, told.read().decode("utf-8", errors="replace"))
        return found

    def _check(self, words: tuple[str, ...], status: int, told: str) -> None:
        if status == 0:
            return
        said = hide(clip(" ".join(told.split()), 1000))
        where = f"{self.target.name} ({self.target.host})"
        if status == 255 or status < 0:  # ssh's own, or ssh itself was killed
            raise Unreachable(
                f"{where} cannot be reached: {said or 'the connection was cut'}. Try it by hand, which also records its"
                f" host key: {shlex.join(['ssh', *_by_hand(self.target)])}"
            )
        raise RunFailed(f"{where}: {words[0]} failed there: {said or f'exit status {status}'}")

    def ask(self, python: str, *words: str, request: Any = None) -> Any:
        """What the library there answers to a command (there.py)."""
        data = json.dumps(request).encode()
        output = self.run(*library(python), *words, write=lambda stream: _write(stream, data))
        lines = output.decode("utf-8", errors="replace").splitlines()
        answers = [line.removeprefix(ANSWER) for line in lines if line.startswith(ANSWER)]
        if not answers:
            raise RunFailed(f"{self.target.name}: the library there gave no answer to {words[0]}.")
        answer = json.loads(answers[-1])
        if "error" in answer:
            raise RunFailed(f"{self.target.name}: {answer['error']}")
        return answer["answer"]


def library(python: str) -> list[str]:
    """The words that start there.py."""
    return [python, "-P", "-m", "nlp_skills.training.targets.there"]


def _write(stream: IO[bytes], data: bytes) -> None:
    stream.write(data)


def _by_hand(target: SSHTarget) -> list[str]:
    port = ["-p", str(target.port)] if target.port else []
    return [*port, f"{target.user}@{target.host}" if target.user else target.host]
