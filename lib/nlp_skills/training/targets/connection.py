"""One machine over the system's own ssh: every call is a connection of its own, so a cut one costs nothing.

Commands are lists; what the shell there reads is quoted by shlex. Keys, jump hosts and addresses come from
~/.ssh/config as always; a question (a password, an unknown host key) is an error with the cure, never a wait.
"""

from __future__ import annotations

import errno
import json
import shlex
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
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
LONG = 1800
"""Where files there are hashed, or torch is imported for the first time."""


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
        """Run a command there; `write` fills its input, `read` takes its output.

        What is written goes through a pipe: it may hold secrets. `seconds`: for all of it together; None for files,
        which take as long as the line makes them (ssh itself notices a line that is dead).
        Raises Unreachable, also when the time is over, or RunFailed.
        """
        late, allowed = threading.Event(), seconds or threading.TIMEOUT_MAX
        with (
            tempfile.TemporaryFile() as told,
            subprocess.Popen(
                self.command(*words),
                stdin=subprocess.DEVNULL if write is None else subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=told,
            ) as process,
            ThreadPoolExecutor(1) as beside,
        ):
            assert process.stdout is not None
            limit = threading.Timer(allowed, _end, (process, late))
            limit.daemon = True
            limit.start()
            filled = beside.submit(_fill, process.stdin, write)
            try:
                found = read(process.stdout)
                status = process.wait()
            finally:
                limit.cancel()
                if process.poll() is None:
                    process.kill()
            if late.is_set():
                raise Unreachable(
                    f"{self._where} did not answer to {words[0]} within {allowed:g} seconds. What runs there goes on. See"
                    f" what keeps the machine busy, and ask again: {self._by_hand}"
                )
            told.seek(0)
            self._check(words, status, told.read().decode("utf-8", errors="replace"))
            filled.result()
        return found

    @property
    def _where(self) -> str:
        return f"{self.target.name} ({self.target.host})"

    @property
    def _by_hand(self) -> str:
        return shlex.join(["ssh", *_by_hand(self.target)])

    def _check(self, words: tuple[str, ...], status: int, told: str) -> None:
        if status == 0:
            return
        said = hide(clip(" ".join(told.split()), 1000))
        if status == 255 or status < 0:  # ssh's own, or ssh itself was killed
            raise Unreachable(
                f"{self._where} cannot be reached: {said or 'the connection was cut'}. Try it by hand, which also records"
                f" its host key: {self._by_hand}"
            )
        raise RunFailed(
            f"{self._where}: {words[0]} failed there: {said or f'exit status {status}'}. Look at the machine, then try"
            f" again: {self._by_hand}"
        )

    def ask(self, python: str, *words: str, request: Any = None, seconds: float = SECONDS) -> Any:
        """What the library there answers to a command (there.py)."""
        data = json.dumps(request).encode()
        output = self.run(
            *library(python), *words, write=lambda stream: _write(stream, data), seconds=seconds
        )
        lines = output.decode("utf-8", errors="replace").splitlines()
        answers = [line.removeprefix(ANSWER) for line in lines if line.startswith(ANSWER)]
        if not answers:
            raise RunFailed(
                f"{self._where}: the library there gave no answer to {words[0]}. See whether it works:"
                f" {self._by_hand} {shlex.join([python, '-c', 'import nlp_skills'])}. If not, delete the folder"
                " environments there; the next start makes it anew."
            )
        answer = json.loads(answers[-1])
        if "error" in answer:
            raise RunFailed(f"{self.target.name}: {answer['error']}")
        return answer["answer"]


def library(python: str) -> list[str]:
    """The words that start there.py."""
    return [python, "-P", "-m", "nlp_skills.training.targets.there"]


def _write(stream: IO[bytes], data: bytes) -> None:
    stream.write(data)


def _fill(stream: IO[bytes] | None, write: Callable[[IO[bytes]], None] | None) -> None:
    """Write the input and close it; when the other side does not want it any more, its exit status says why."""
    if stream is None or write is None:
        return
    # Windows says EINVAL, where the others say EPIPE.
    try:
        with suppress(BrokenPipeError), stream:
            write(stream)
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise


def _end(process: subprocess.Popen[bytes], late: threading.Event) -> None:
    late.set()
    process.kill()


def _by_hand(target: SSHTarget) -> list[str]:
    port = ["-p", str(target.port)] if target.port else []
    return [*port, f"{target.user}@{target.host}" if target.user else target.host]
