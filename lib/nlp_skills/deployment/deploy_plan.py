"""What a deployment will be, before anything is done: which version, in which form, under which name, in which steps."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from nlp_skills.deployment.artefact import models_folder
from nlp_skills.deployment.ollama.creating import USUAL
from nlp_skills.deployment.ollama.names import full_name, version_name, with_tag
from nlp_skills.errors import NotValid
from nlp_skills.task.registry import Alias, Deployment, Target, is_alias
from nlp_skills.task.version import version_folder

MERGED = "merged"
NEW_PLACE = "NEW_PLACE"


class Plan(NamedTuple):
    """What was asked for, resolved."""

    task: Path
    version: str
    alias: Alias | None
    to: Target
    what: str
    name: str

    @property
    def own_place(self) -> Path:
        """Where the artefact lies in the task."""
        name = MERGED if self.what == MERGED else f"{self.what}.gguf"
        return models_folder(self.task, self.version) / name

    @property
    def compared_as(self) -> str:
        """The name in the parity report."""
        return f"ollama/{self.name}" if self.to == "ollama" else self.what

    @property
    def names_in_ollama(self) -> list[str]:
        """Its own, and that of the alias which it follows."""
        return [self.name, *([with_tag(self.name, self.alias)] if self.alias else [])]

    @property
    def command(self) -> str:
        """To do it."""
        place = copied_to(self)
        name = (
            f" --name {self.name}" if self.to in ("ollama", "hub") else f' --name "{place}"' if place else ""
        )
        return (
            f"nlp-skills deploy-version {self.task.name} --version {self.alias or self.version} --to {self.to}"
            f" --quantization {self.what}{name} --confirm"
        )


def plan_deployment(task: Path, version: str | None, to: Target, quantization: str, name: str | None) -> Plan:
    """Everything that was asked for, resolved. Raises NotValid, NotFound or NotReady."""
    chosen = version_folder(task, version).name
    alias = version if is_alias(version) else None
    what = MERGED if to == "folder" else quantization.lower()
    if to in ("ollama", "gguf") and what == MERGED:
        raise NotValid(
            f"quantization: {to} takes a GGUF file: q8_0, f16, q4_k_m … (merged goes to a folder or the Hub)."
        )
    if to == "ollama" and name:
        name = full_name(name)
    if to == "hub" and name is None:
        raise NotValid("name: say which repository of the Hub: --name OWNER/NAME.")
    return Plan(task, chosen, alias, to, what, name or usual_name(task, chosen, to, what))


def usual_name(task: Path, version: str, to: Target, what: str) -> str:
    """What a deployment is called where nobody has said it; of the Hub nobody knows."""
    if to == "ollama":
        return version_name(task.name, version, what, USUAL)
    return Plan(task, version, None, to, what, "").own_place.relative_to(task).as_posix()


def repeated(task: Path, deployment: Deployment, version: str) -> str:
    """The command that puts a version, or the one that an alias names, where `deployment` was put.

    A copy that lies elsewhere is never replaced: it needs a new name.
    """
    usual = usual_name(task, deployment.version, deployment.target, deployment.artefact)
    name = None if deployment.name == usual else deployment.name
    if name and deployment.target in ("gguf", "folder"):
        name = NEW_PLACE
    return plan_deployment(task, version, deployment.target, deployment.artefact, name).command


def copied_to(plan: Plan) -> Path | None:
    """Where a local deployment is copied to; None where it stays in the task."""
    own = plan.own_place.relative_to(plan.task).as_posix()
    return None if plan.to not in ("gguf", "folder") or plan.name == own else Path(plan.name).expanduser()


def steps_of(plan: Plan) -> list[str]:
    """What will be done, in words."""
    made = "the merged model" if plan.what == MERGED else f"the GGUF file {plan.own_place.name}"
    last = {
        "ollama": f"name it {plan.name} in Ollama"
        + (f" and {with_tag(plan.name, plan.alias)}" if plan.alias and plan.to == "ollama" else ""),
        "hub": f"upload it to {plan.name} on the Hub, privately",
        "gguf": f"put it at {plan.name}",
        "folder": f"put it at {plan.name}",
    }[plan.to]
    return [
        f"{'take' if plan.own_place.exists() else 'make'} {made} of {plan.version}",
        *(["create a candidate in Ollama, which nobody is served by"] if plan.to == "ollama" else []),
        "compare it with what was trained: prompts token by token, the end of an answer, weights, test rows",
        last,
        "record it in registry.json",
    ]
