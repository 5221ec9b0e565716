"""A real SSH server on a loopback port, run by a user of its own where the tests run as root.

`ssh_machine` is a target for configs/targets.yaml. Its Python finds this repository's environment through a .pth file,
so nothing is installed there. It runs as another user where there is a Python that such a user may run.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from nlp_skills.training.targets.definition import SSHTarget

NOT_INSTALLED = "the OpenSSH server is not installed (Debian: apt-get install openssh-server)"
USER = "nlp-skills-test"


@dataclass
class SSHMachine:
    """The server, and how it is reached."""

    folder: Path
    """Of the server's user: what a run leaves there lies below it."""
    target: SSHTarget
    user: str | None
    """The other user; None: the tests' own."""

    def as_user(self, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command as who logs in there."""
        return subprocess.run(
            command, user=self.user, cwd="/", capture_output=True, text=True, check=False, timeout=60
        )


def server_program() -> str | None:
    return shutil.which("sshd") or next(
        (p for p in ("/usr/sbin/sshd", "/usr/local/sbin/sshd") if Path(p).is_file()), None
    )


def another_user() -> tuple[str, str] | None:
    """A user for the server and a Python that this user may run; None: the tests' own. Only in CI one is made."""
    if os.name != "posix" or os.geteuid() != 0 or shutil.which("useradd") is None:
        return None
    import pwd

    if USER not in {entry.pw_name for entry in pwd.getpwall()}:
        if not os.environ.get("CI"):  # a machine of somebody's own gets no user from its tests
            return None
        made = subprocess.run(["useradd", "--create-home", "--shell", "/bin/sh", USER], check=False)
        if made.returncode not in (0, 9):  # 9: another process of these tests has just made it
            return None
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    packages = sysconfig.get_paths()["purelib"]
    for python in (os.path.realpath(sys.executable), f"/usr/bin/{version}", f"/usr/local/bin/{version}"):
        program = "import sys, os; sys.exit(not os.access(sys.argv[1], os.R_OK))"
        if not Path(python).exists():
            continue
        try:
            tried = subprocess.run(
                [python, "-c", program, packages], user=USER, cwd="/", check=False, capture_output=True
            )
        except PermissionError:
            continue
        if tried.returncode == 0:
            return USER, python
    return None


def make_python(folder: Path, python: str) -> Path:
    """A Python there with the packages and the library of the tests."""
    subprocess.run([python, "-m", "venv", "--without-pip", str(folder)], check=True)
    site = next(folder.glob("lib/python*/site-packages"))
    library = Path(__file__).resolve().parent.parent / "lib"
    site.joinpath("of-the-tests.pth").write_text(
        f"{library}\nimport site; site.addsitedir({sysconfig.get_paths()['purelib']!r})\n", encoding="utf-8"
    )
    return folder / "bin" / "python"


@pytest.fixture(scope="session")
def ssh_machine() -> Iterator[SSHMachine]:
    """A machine that can be reached by ssh for as long as the tests last."""
    program = server_program()
    if program is None or shutil.which("ssh") is None:
        pytest.fail(NOT_INSTALLED) if os.environ.get("CI") else pytest.skip(NOT_INSTALLED)
    other = another_user()
    user, python = other or (None, os.path.realpath(sys.executable))
    folder = Path(tempfile.mkdtemp(prefix="nlp-skills-sshd-"))
    keys = Path(tempfile.mkdtemp(prefix="nlp-skills-ssh-keys-"))
    try:
        with running_server(program, folder, keys, user, python) as machine:
            yield machine
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        shutil.rmtree(keys, ignore_errors=True)


class running_server:
    """The server for as long as the block lasts."""

    def __init__(self, program: str, folder: Path, keys: Path, user: str | None, python: str) -> None:
        self.folder = folder
        self.user = user
        port = free_port()
        for path, name in ((folder, "host_key"), (keys, "user_key")):
            subprocess.run(
                ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", str(path / name)],
                check=True,
            )
        shutil.copy(keys / "user_key.pub", folder / "authorized_keys")
        # As here: what is saved of a tokenizer says so.
        offline = f" HF_HUB_OFFLINE={os.environ['HF_HUB_OFFLINE']}" if "HF_HUB_OFFLINE" in os.environ else ""
        settings = (
            f"Port {port}\nListenAddress 127.0.0.1\nHostKey {folder}/host_key\nPidFile none\nUsePAM no\n"
            f"AuthorizedKeysFile {folder}/authorized_keys\nStrictModes no\nPasswordAuthentication no\n"
            f"SetEnv NLP_SKILLS_QUEUE={folder}/queue NLP_SKILLS_CACHE={folder}/cache OMP_NUM_THREADS=1"
            f" CUDA_VISIBLE_DEVICES={offline}\n"
        )
        (folder / "sshd_config").write_text(settings, encoding="utf-8")
        made = make_python(folder / "python", python)
        host_key = (folder / "host_key.pub").read_text(encoding="utf-8")
        (keys / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key}", encoding="utf-8")
        if user is not None:
            for path in (folder, *folder.rglob("*")):
                if not path.is_symlink():
                    shutil.chown(path, user)
        self.command = [program, "-D", "-e", "-f", str(folder / "sshd_config")]
        self.target = SSHTarget(
            name="box",
            host="127.0.0.1",
            user=user or current_user(),
            port=port,
            identity_file=str(keys / "user_key"),
            known_hosts_file=str(keys / "known_hosts"),
            folder=f"{folder}/nlp-skills",
            python=str(made),
            min_free_gb=0.1,
        )
        self.port = port

    def __enter__(self) -> SSHMachine:
        log = (self.folder / "sshd.log").open("ab")
        self.server = subprocess.Popen(
            self.command, stderr=log, stdin=subprocess.DEVNULL, user=self.user, cwd="/"
        )
        log.close()
        until_it_listens(self.server, self.port, self.folder / "sshd.log")
        return SSHMachine(self.folder, self.target, self.user)

    def __exit__(self, *_error: object) -> None:
        self.server.terminate()
        self.server.wait()


def until_it_listens(server: subprocess.Popen[bytes], port: int, log: Path) -> None:
    while True:
        assert server.poll() is None, log.read_text(encoding="utf-8", errors="replace")
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
            return
        except OSError:
            time.sleep(0.05)


def current_user() -> str:
    import getpass

    return getpass.getuser()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
