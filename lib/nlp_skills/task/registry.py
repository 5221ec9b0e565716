"""`registry.json`: which version is dev, staging or prod, how it came to that, and what was deployed where.

    prod ──▶ v3        history: v1 ─promoted─▶ v2 ─promoted─▶ v3 …, each with who, why and the gate's answers

Reading it is everybody's; it is written by the deployment alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeGuard, get_args

from nlp_skills.errors import NotReady
from nlp_skills.records import Record

Alias = Literal["dev", "staging", "prod"]
ALIASES: tuple[Alias, ...] = get_args(Alias)
"""From the first try to what users meet."""

Target = Literal["ollama", "gguf", "hub", "folder"]


class GateAnswer(Record):
    """One thing that was asked before a promotion."""

    check: str
    answer: Literal["yes", "no", "cannot tell"]
    reason: str
    next: str = ""
    """The command that mends a no, or measures what could not be told."""


class AliasChange(Record):
    """An alias that began to name another version."""

    alias: Alias
    version: str
    before: str | None = None
    kind: Literal["promoted", "rolled back"]
    at: str
    by: str
    why: str
    gate: list[GateAnswer] = []
    """As it answered then; empty of a roll-back, which asks nothing."""


class Acceptance(Record):
    """Differences that somebody has seen and wants to live with."""

    by: str
    why: str
    at: str
    differences: list[str]
    """What was accepted, in words."""


class Deployment(Record):
    """One model that was handed over: which, from which version, to where."""

    version: str
    artefact: str
    """adapter, merged, f16, q8_0 …: what lies in models/vN under that name."""
    target: Target
    name: str
    """Its name there: `entity-sentiment:v2`, `owner/repository`, or a path: whole, where it lies outside of the task."""
    host: str | None = None
    """The address of the Ollama that has it."""
    created: str
    by: str
    sha256: str | None = None
    """Of the artefact."""
    commit: str | None = None
    """Of the Hub's repository."""
    alias: Alias | None = None
    """The alias that was followed."""
    parity: str | None = None
    """The parity report, relative to the task's folder; None: nothing was compared."""
    accepted: Acceptance | None = None
    under_way: bool = False
    """It was about to be put there; a run that was killed then leaves it so."""
    removed: str | None = None
    """When it was taken away again."""


class Registry(Record):
    """`registry.json`."""

    aliases: dict[Alias, str] = {}
    history: list[AliasChange] = []
    """The oldest first."""
    deployments: list[Deployment] = []
    """The oldest first."""


def registry_file(task: Path) -> Path:
    """Where it lies."""
    return task / "registry.json"


def read_registry(task: Path) -> Registry:
    """The registry; an empty one where nothing was promoted or deployed yet. Raises NotValid for a broken file."""
    file = registry_file(task)
    return Registry.load(file) if file.is_file() else Registry()


def is_alias(name: str | None) -> TypeGuard[Alias]:
    """Whether this names a stage and no version."""
    return name in ALIASES


def aliased_version(task: Path, alias: Alias) -> str:
    """The version that an alias names. Raises NotReady where it names none yet."""
    version = read_registry(task).aliases.get(alias)
    if version is None:
        raise NotReady(
            f"{task.name} has no {alias} version yet. Make one: nlp-skills promote-version {task.name}"
            f' --version VERSION --alias {alias} --why "…"'
        )
    return version


def versions_before(history: Sequence[AliasChange], alias: Alias) -> list[str]:
    """The versions that an alias can be rolled back to, the nearest first; what was rolled back from is not among them."""
    stack: list[str] = []
    for change in history:
        if change.alias != alias:
            continue
        if change.kind == "rolled back":
            while stack and stack[-1] != change.version:
                stack.pop()
        elif not stack or stack[-1] != change.version:
            stack.append(change.version)
    return stack[-2::-1]
