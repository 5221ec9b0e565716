"""A real PostgreSQL server on a loopback port, started once for all tests that ask for it.

A conftest.py takes the fixtures over by importing them: `from postgresql import postgresql_server, postgresql_url`.
benchmarks/database.py uses `running_server`.
"""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PASSWORD = "s3cret-pass"
NOT_INSTALLED = "the PostgreSQL server programs are not installed (Debian: apt-get install postgresql)"
_numbers = itertools.count(1)


def server_programs() -> Path | None:
    """The folder of initdb and pg_ctl: on the PATH, or where Debian and Homebrew keep them."""
    on_path = shutil.which("initdb")
    if on_path:
        return Path(on_path).resolve().parent
    places = ("/usr/lib/postgresql/*/bin/initdb", "/opt/homebrew/opt/postgresql*/bin/initdb")
    found = [p.parent for place in places for p in Path("/").glob(place.removeprefix("/"))]
    return max(found, key=str, default=None)


def server_user() -> str | None:
    """Who may run the server: PostgreSQL refuses root."""
    if os.name != "posix" or os.geteuid() != 0:
        return None
    import pwd

    known = {entry.pw_name for entry in pwd.getpwall()}
    return "postgres" if "postgres" in known else "nobody"


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """`postgresql+psycopg://user:password@127.0.0.1:port` of a running server, without a database name."""
    programs = server_programs()
    if programs is None:
        pytest.fail(NOT_INSTALLED) if os.environ.get("CI") else pytest.skip(NOT_INSTALLED)
    with running_server(programs) as url:
        yield url


@contextmanager
def running_server(programs: Path) -> Iterator[str]:
    """A server of its own in a temporary folder, for as long as the block lasts; its URL without a database name."""
    user = server_user()
    # Not below tmp_path: that belongs to who runs the tests, and the server may be somebody else.
    folder = Path(tempfile.mkdtemp(prefix="nlp-skills-postgresql-"))
    (folder / "password").write_text(PASSWORD, encoding="utf-8")
    if user is not None:
        for path in (folder, folder / "password"):
            shutil.chown(path, user)
    data, port = folder / "data", free_port()

    def run(program: str, *arguments: str) -> None:
        command = [str(programs / program), *arguments]
        log = folder / f"{program}.log"
        with log.open("ab") as output:  # not a pipe: the server would keep it open
            done = subprocess.run(command, stdout=output, stderr=output, user=user, cwd="/", check=False)
        assert done.returncode == 0, log.read_text(encoding="utf-8", errors="replace")

    access = ("-U", "tester", "-A", "scram-sha-256", f"--pwfile={folder / 'password'}")
    run("initdb", "-D", str(data), "-E", "UTF8", "--locale=C", "--no-sync", *access)
    options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off"
    run("pg_ctl", "-D", str(data), "-w", "-o", options, "start")
    try:
        yield f"postgresql+psycopg://tester:{PASSWORD}@127.0.0.1:{port}"
    finally:
        run("pg_ctl", "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(folder)


@pytest.fixture
def postgresql_url(postgresql_server: str) -> str:
    """The URL of a fresh, empty database, for SQLAlchemy."""
    import psycopg

    name = f"test_{next(_numbers)}"
    server = postgresql_server.replace("+psycopg", "")
    with psycopg.connect(f"{server}/postgres", autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name}".encode())
    return f"{postgresql_server}/{name}"


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]
