"""`configs/targets.yaml`: the machines and services that a task may be trained on, beside this one.

targets:
- name: gpu-box
  type: ssh
  host: gpu1.example.org
  user: ann
  identity_file: ~/.ssh/id_ed25519
  environment: {HF_TOKEN: "${HF_TOKEN}"}
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field

from nlp_skills.data.secret import expand
from nlp_skills.data.sources.source import Values
from nlp_skills.errors import NotFound, NotReady, NotValid, did_you_mean
from nlp_skills.records import Record
from nlp_skills.training.planning.hardware import HardwareName

_NAMES = re.compile(r"\$\{([A-Za-z_]\w*)\}")


def _word(value: str) -> str:
    """Of a command line: no option can be made of it."""
    if not re.fullmatch(r"[\w.\[][\w.:\[\]@%-]*", value):
        raise ValueError("use letters, digits, dots and hyphens, not with a hyphen first")
    return value


def _remote_path(value: str) -> str:
    if value.startswith(("~", "-")) or not value.strip() or any(ord(c) < 32 for c in value):
        raise ValueError(
            "give a folder below the home folder there (nlp-skills) or an absolute one (/data/nlp-skills)"
        )
    return value


Word = Annotated[str, AfterValidator(_word)]
RemotePath = Annotated[str, AfterValidator(_remote_path)]


class Target(Record):
    """What every kind of target has."""

    name: Word
    environment: Values = Field(default={}, repr=False)
    """Variables of the run there; secrets as ${NAME}, read here when the run is started, never written to a file."""
    requirement: str | None = None
    """What is installed there; None: a wheel made of this very package, with the extra train."""
    usd_per_hour: float | None = Field(default=None, ge=0)
    """Your own price; otherwise the service's, where it tells one."""
    hardware: HardwareName | None = None
    """What it is, in the names of plan-training: memory and time are predicted from it before anything is started."""


class SSHTarget(Target):
    """Any machine with an SSH server, tar, and uv or Python; no root and no Docker there."""

    type: Literal["ssh"] = "ssh"
    host: Word
    """A name, an address, or a Host of ~/.ssh/config."""
    user: Word | None = None
    port: int | None = Field(default=None, ge=1, le=65535)
    identity_file: str | None = None
    known_hosts_file: str | None = None
    folder: RemotePath = "nlp-skills"
    """Where tasks and the environment are put."""
    python: RemotePath | None = None
    """A Python there that has nlp-skills[train] already: nothing is installed (for machines without a network)."""
    uv: RemotePath = "uv"
    min_free_gb: float = Field(default=5.0, ge=0)
    """Less free disk than that, and nothing is started."""


class HFJobsTarget(Target):
    """Jobs of the Hugging Face Hub; needs a token with write access, as HF_TOKEN or by `hf auth login`."""

    type: Literal["hf_jobs"] = "hf_jobs"
    flavor: Word = "a10g-small"
    """The hardware; the list with prices is asked for before anything is started."""
    timeout: str = "4h"
    namespace: Word | None = None
    """The user or organisation that pays; None: you."""
    image: str | None = None


class SkyPilotTarget(Target):
    """A machine that SkyPilot rents for the run: AWS, GCP, RunPod, Kubernetes."""

    type: Literal["skypilot"] = "skypilot"
    infra: str
    """aws, aws/us-east-1, gcp, runpod, kubernetes …"""
    accelerators: str | None = None
    """`L4:1`, `A100:1` …; None: no GPU."""
    cpus: str | None = None
    memory: str | None = None
    disk_size: int = Field(default=100, ge=20)
    """GB."""
    use_spot: bool = False
    """Cheaper, and may be taken away: started again, the run goes on from the newest checkpoint that came home."""
    idle_minutes: int = Field(default=10, ge=1)
    """So long after its end the machine is given back by itself."""
    sky: str = "skypilot"
    """The package that `uvx` runs `sky` from, in an environment of its own; its extra is that of `infra`."""


AnyTarget: TypeAlias = Annotated[SSHTarget | HFJobsTarget | SkyPilotTarget, Field(discriminator="type")]


class Targets(Record):
    """The file."""

    targets: list[AnyTarget] = []


def read_target(task: Path, name: str) -> AnyTarget:
    """The target of that name in the task's configs/targets.yaml. Raises NotFound or NotValid."""
    file = task / "configs" / "targets.yaml"
    known = Targets.load(file).targets if file.is_file() else []
    names = [target.name for target in known]
    if len(names) != len(set(names)):
        raise NotValid(
            f"{file}: two targets have the same name ({', '.join(names)}). Names are what they are chosen by."
        )
    for target in known:
        if target.name == name:
            return target
    shown = ", ".join(["local", *names])
    raise NotFound(
        f"{task.name} has no target {name!r}{did_you_mean(name, ['local', *names])}. Targets: {shown}."
        f" Declare others in {file}."
    )


def environment_of(target: Target) -> dict[str, str]:
    """The target's variables with every ${NAME} replaced. Raises NotReady for one that is not set here."""
    found = {}
    for name, value in target.environment.items():
        text = "" if value is None else str(value)
        missing = [part for part in _NAMES.findall(text) if not os.environ.get(part)]
        if missing:
            raise NotReady(
                f"The environment variable {missing[0]} is not set, and the target {target.name} in configs/targets.yaml"
                f" refers to it. Set it where this runs (export {missing[0]}=…) and try again."
            )
        found[name] = expand(text)
    return found
