"""The first look at another machine and its environment, with nothing but sh there."""

import io
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from nlp_skills.errors import NotReady, RunFailed
from nlp_skills.training.targets.connection import Connection
from nlp_skills.training.targets.definition import SSHTarget
from nlp_skills.training.targets.there_setup import (
    Machine,
    look_at,
    make_environment,
    read_look,
    require_room,
)
from nlp_skills.training.targets.wheel import build_wheel
from sshd import SSHMachine, ssh_machine

__all__ = ["ssh_machine"]

TOLD = """
Welcome to gpu-box!
nlp-skills:system Linux x86_64
nlp-skills:free 52428800
nlp-skills:uv /home/ann/.local/bin/uv
nlp-skills:python 3.10 /usr/bin/python3
nlp-skills:python 3.12 /usr/bin/python3.12
nlp-skills:python 3.10 /usr/local/bin/python3
nlp-skills:gpu NVIDIA A100-SXM4-80GB, 81920 MiB, 535.104.05
"""


def test_look_is_read_whatever_a_login_script_prints() -> None:
    assert read_look(TOLD) == Machine(
        system="Linux x86_64",
        free_gb=50.0,
        uv="/home/ann/.local/bin/uv",
        pythons={"3.10": "/usr/bin/python3", "3.12": "/usr/bin/python3.12"},
        gpus=["NVIDIA A100-SXM4-80GB, 81920 MiB, 535.104.05"],
    )
    assert read_look("") == Machine(system="unknown", free_gb=0.0)


def test_machine_that_cannot_have_an_environment_is_refused_with_the_cure() -> None:
    target = SSHTarget(name="box", host="box", min_free_gb=1)
    old = Machine(system="Linux", free_gb=9, pythons={"3.9": "/usr/bin/python3"})
    with pytest.raises(NotReady, match=r"box has no uv, and no Python from 3\.11 on \(found: 3\.9\)"):
        require_room(target, old)
    require_room(target, old.with_changes(pythons={"3.13": "/usr/bin/python3.13"}))
    require_room(target, old.with_changes(uv="/usr/bin/uv"))
    require_room(target.with_changes(python="/opt/python"), old)


def test_wheel_is_this_package_and_the_same_each_time(tmp_path: Path) -> None:
    name, data = build_wheel()
    assert (name, data) == build_wheel()
    import nlp_skills

    package = Path(nlp_skills.__file__).parent
    with zipfile.ZipFile(io.BytesIO(data)) as wheel:
        assert wheel.read("nlp_skills/records.py") == (package / "records.py").read_bytes()
        assert not [n for n in wheel.namelist() if "__pycache__" in n]
        (info,) = [n for n in wheel.namelist() if n.endswith("/METADATA")]
        assert b"Provides-Extra: train" in wheel.read(info)
    if shutil.which("uv") is None:
        pytest.skip("uv is not installed, so the wheel cannot be installed")
    (tmp_path / name).write_bytes(data)
    install = [
        "uv",
        "pip",
        "install",
        "--quiet",
        "--offline",
        "--no-deps",
        "--target",
        str(tmp_path / "there"),
    ]
    subprocess.run([*install, "--python", sys.executable, str(tmp_path / name)], check=True)
    files = {p.relative_to(package) for p in package.rglob("*.py")}
    assert {
        p.relative_to(tmp_path / "there" / "nlp_skills")
        for p in (tmp_path / "there").rglob("nlp_skills/**/*.py")
    } == files


def test_environment_is_made_once_with_uv_and_never_half(ssh_machine: SSHMachine) -> None:
    uv = uv_program()
    if uv is None:
        pytest.skip("uv is not installed")
    place = Path(ssh_machine.target.folder).parent
    shutil.copy(uv, place / "uv")
    wheel = tiny_wheel(place)
    target = ssh_machine.target.with_changes(python=None, uv=str(place / "uv"), requirement=str(wheel))
    connection = Connection(target)
    machine = look_at(connection)
    assert (machine.uv, bool(machine.pythons), machine.free_gb > 0) == (str(place / "uv"), True, True)
    broken = target.with_changes(requirement=str(place / "none-1-py3-none-any.whl"))
    with pytest.raises(RunFailed, match=r"box \(127\.0\.0\.1\): sh failed there: .*none-1-py3"):
        make_environment(Connection(broken), machine, "owner/name")
    python = make_environment(connection, machine, "owner/name")
    assert connection.run(python, "-c", "import tiny; print(tiny.NAME)").strip() == b"tiny"
    made = Path(python).parents[1] / "pyvenv.cfg"
    before = ssh_machine.as_user("stat", "-c", "%Y %i", str(made)).stdout
    assert make_environment(connection, machine, "owner/name") == python
    assert ssh_machine.as_user("stat", "-c", "%Y %i", str(made)).stdout == before


def uv_program() -> str | None:
    """uv itself, not a shim of it that another user could not run."""
    if shutil.which("uv") is None:
        return None
    tell = "import os; print(os.environ['UV'])"
    command = ["uv", "run", "--no-project", "--offline", "--python", sys.executable, "python", "-c", tell]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    return found.stdout.strip() or None


def tiny_wheel(folder: Path) -> Path:
    """A package with one name in it."""
    file = folder / "tiny-1-py3-none-any.whl"
    with zipfile.ZipFile(file, "w") as wheel:
        wheel.writestr("tiny.py", 'NAME = "tiny"\n')
        wheel.writestr("tiny-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: tiny\nVersion: 1\n")
        wheel.writestr(
            "tiny-1.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        wheel.writestr("tiny-1.dist-info/RECORD", "")
    file.chmod(0o644)
    return file
