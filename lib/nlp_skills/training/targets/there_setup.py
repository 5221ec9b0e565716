"""The first look at another machine, and its environment: with nothing but sh, before there is a Python of ours."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Callable
from typing import IO

from nlp_skills.base_model import EMBEDDED
from nlp_skills.errors import NotReady
from nlp_skills.records import Record
from nlp_skills.training.targets.connection import ANSWER, LONG, Connection
from nlp_skills.training.targets.definition import SSHTarget
from nlp_skills.training.targets.wheel import build_wheel

INSTALL_SECONDS = 1800
OLDEST = (3, 11)
ANY = ">=3.11"
"""uv takes one that is there, and otherwise fetches one."""

LOOK = """
mkdir -p "$1" || exit 1
echo "nlp-skills:system $(uname -s) $(uname -m)"
echo "nlp-skills:free $(df -Pk "$1" | tail -n 1 | awk '{print $4}')"
command -v "$2" >/dev/null 2>&1 && echo "nlp-skills:uv $(command -v "$2")"
[ -x "$HOME/.local/bin/uv" ] && echo "nlp-skills:uv $HOME/.local/bin/uv"
for python in "$3" python3.13 python3.12 python3.11 python3; do
    version=$("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) || continue
    echo "nlp-skills:python $version $(command -v "$python")"
done
nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader 2>/dev/null |
    while read -r gpu; do echo "nlp-skills:gpu $gpu"; done
exit 0
"""

INSTALL = """
set -e
cd "$1"
shift
key=$1 uv=$2 python=$3
shift 3
[ -e "environments/$key/.ready" ] && exit 0
new=environments/.$key.$$
rm -rf "$new"
if [ -n "$uv" ]; then
    "$uv" venv --quiet --relocatable --python "$python" "$new" >&2
    "$uv" pip install --quiet --python "$new/bin/python" "$1" >&2
    [ -z "$2" ] || "$uv" pip install --quiet --no-deps --python "$new/bin/python" "$2" >&2
else
    "$python" -m venv "$new" >&2
    "$new/bin/python" -m pip install --quiet "$1" >&2
    [ -z "$2" ] || "$new/bin/python" -m pip install --quiet --no-deps "$2" >&2
fi
touch "$new/.ready"
rm -rf "environments/$key"
mv "$new" "environments/$key"
"""

KEEP = """
set -e
mkdir -p "$1"
cat >"$1/.$2.$$"
mv "$1/.$2.$$" "$1/$2"
"""


class Machine(Record):
    """What a first look at another machine tells."""

    system: str
    free_gb: float
    uv: str | None = None
    pythons: dict[str, str] = {}
    """Version → path, of those that were found."""
    gpus: list[str] = []
    """Name, memory and driver of each, as nvidia-smi says them."""


def look_at(connection: Connection) -> Machine:
    """System, disk, uv, Python and GPUs there. Raises Unreachable or RunFailed."""
    target = connection.target
    told = connection.run("sh", "-c", LOOK, "sh", target.folder, target.uv, target.python or "python3")
    return read_look(told.decode("utf-8", errors="replace"))


def read_look(told: str) -> Machine:
    """The machine from what the script has printed."""
    facts: dict[str, list[str]] = {}
    for line in told.splitlines():
        if line.startswith(ANSWER):
            name, _, value = line.removeprefix(ANSWER).partition(" ")
            facts.setdefault(name, []).append(value.strip())
    pythons: dict[str, str] = {}
    for value in facts.get("python", []):
        version, _, path = value.partition(" ")
        pythons.setdefault(version, path)
    free = facts.get("free", ["0"])[0]
    return Machine(
        system=facts.get("system", ["unknown"])[0],
        free_gb=round(int(free) / 2**20, 1) if free.isdigit() else 0.0,
        uv=facts["uv"][0] if "uv" in facts else None,
        pythons=pythons,
        gpus=facts.get("gpu", []),
    )


def require_room(target: SSHTarget, machine: Machine) -> None:
    """Raises NotReady where there is too little disk, or nothing that could make an environment."""
    if machine.free_gb < target.min_free_gb:
        raise NotReady(
            f"{target.name} has {machine.free_gb:g} GB of free disk in {target.folder}, and min_free_gb is"
            f" {target.min_free_gb:g}. Make room there, or give another folder in configs/targets.yaml."
        )
    if target.python is None and machine.uv is None and _newest(machine) is None:
        found = ", ".join(machine.pythons) or "none"
        raise NotReady(
            f"{target.name} has no uv, and no Python from {OLDEST[0]}.{OLDEST[1]} on (found: {found}). Install uv there,"
            " which needs no root: curl -LsSf https://astral.sh/uv/install.sh | sh"
        )


def _newest(machine: Machine) -> str | None:
    usable = [v for v in machine.pythons if tuple(int(part) for part in v.split(".")) >= OLDEST]
    return machine.pythons[max(usable, key=lambda v: int(v.split(".")[1]))] if usable else None


def make_environment(connection: Connection, machine: Machine, base_model: str) -> str:
    """The Python there that has this library: the target's own, or one in an environment that is made the first time."""
    target = connection.target
    if target.python:
        return target.python
    name, wheel = build_wheel()
    requirement = target.requirement
    if requirement is None:
        digest = hashlib.sha256(wheel).hexdigest()[:12]
        folder = f"wheels/{digest}"
        connection.run("sh", "-c", KEEP, "sh", f"{target.folder}/{folder}", name, write=_writer(wheel))
        requirement = f"./{folder}/{name}[train]"
    model = EMBEDDED[base_model][0] if base_model in EMBEDDED else ""
    key = hashlib.sha256(f"{requirement} {model}".encode()).hexdigest()[:12]
    python = ANY if machine.uv else _newest(machine) or ""
    words = (target.folder, key, machine.uv or "", python, requirement, model)
    connection.run("sh", "-c", INSTALL, "sh", *words, seconds=INSTALL_SECONDS)
    return f"{target.folder}/environments/{key}/bin/python"


def _writer(data: bytes) -> Callable[[IO[bytes]], None]:
    def write(stream: IO[bytes]) -> None:
        stream.write(data)

    return write


def require_gpus(connection: Connection, python: str, machine: Machine) -> None:
    """Where there are GPUs, torch has to see them: a run that fell back to the processor would take days."""
    if machine.gpus and not connection.ask(python, "devices", ".", seconds=LONG):
        raise NotReady(
            f"{connection.target.name} has {machine.gpus[0]} (name, memory, driver), but torch there cannot use it: the"
            " driver is older than torch's CUDA. Update the driver, or set requirement in configs/targets.yaml to a"
            f" torch that fits it. See for yourself: {shlex.quote(python)} -c 'import torch; torch.cuda.init()'"
        )
