"""The registry of a task: aliases that name a version, and what was deployed. Every change is one locked write.

promote_version ──▶ gate ──▶ ┐
roll_back ───────────────────┼─▶ lock ─▶ read, change, write whole ─▶ registry.json
record_deployment ───────────┘

Two programs that write at the same moment wait for each other, so nothing is lost; the version is looked for
under the lock, so no alias names one that is not there. A kill leaves the old file or the new one.
"""

from __future__ import annotations

import getpass
from collections.abc import Callable
from pathlib import Path
from typing import Literal

from nlp_skills.confirmation import call_again
from nlp_skills.deployment.deploy_plan import repeated
from nlp_skills.deployment.gate import Gate, ask_gate
from nlp_skills.errors import NotReady, NotValid
from nlp_skills.locks import BRIEF, locked
from nlp_skills.records import Record, now
from nlp_skills.task.registry import (
    ALIASES,
    Alias,
    AliasChange,
    Deployment,
    Registry,
    read_registry,
    registry_file,
    versions_before,
)
from nlp_skills.task.version import version_folder, version_names

SHOWN = 10
"""Changes and deployments that a list shows."""


class AliasMove(Record):
    """What a promotion or a roll-back did, or would do."""

    task: str
    alias: Alias
    version: str
    before: str | None
    done: bool
    gate: Gate | None = None
    """None of a roll-back, which asks nothing."""
    message: str

    @property
    def passed(self) -> bool:
        """Whether it was done, or the gate would let it."""
        return self.gate is None or self.gate.passed


class AliasState(Record):
    """One alias as it stands."""

    alias: Alias
    version: str | None = None
    since: str | None = None
    by: str | None = None
    why: str | None = None
    there: bool = True
    """False: somebody has deleted the version's folder."""


class ListedDeployment(Deployment):
    """A deployment and what has become of it."""

    state: Literal["there", "not finished", "removed", "gone", "not looked at"]
    """gone: no file lies at its path any more. Other machines (Ollama, the Hub) are not asked."""


class AliasList(Record):
    """The aliases of a task, and the newest of what happened to them."""

    task: str
    aliases: list[AliasState]
    history: list[AliasChange]
    deployments: list[ListedDeployment]


def list_aliases(task: Path) -> AliasList:
    """Which version is dev, staging and prod, since when, who said so and why; and what was deployed where.

    Raises NotValid for a registry.json that cannot be read.
    """
    registry, names = read_registry(task), version_names(task)
    return AliasList(
        task=task.name,
        aliases=[_state(registry, alias, names) for alias in ALIASES],
        history=registry.history[-SHOWN:],
        deployments=[_listed(task, one) for one in registry.deployments[-SHOWN:]],
    )


def _listed(task: Path, deployment: Deployment) -> ListedDeployment:
    if deployment.removed is not None:
        state = "removed"
    elif deployment.under_way:
        state = "not finished"
    elif deployment.target in ("gguf", "folder"):
        state = "there" if (task / deployment.name).exists() else "gone"
    else:
        state = "not looked at"
    return ListedDeployment.parse({**deployment.model_dump(), "state": state}, "the deployment")


def _state(registry: Registry, alias: Alias, names: list[str]) -> AliasState:
    version = registry.aliases.get(alias)
    if version is None:
        return AliasState(alias=alias)
    last = next((c for c in reversed(registry.history) if c.alias == alias), None)
    said = {"since": last.at, "by": last.by, "why": last.why} if last else {}
    return AliasState(alias=alias, version=version, there=version in names, **said)


def promote_version(
    task: Path, *, version: str, alias: Alias, why: str, by: str | None = None, confirm: bool = False
) -> AliasMove:
    """Let an alias name a version, if the gate lets it through; without confirm it says what the gate answers.

    dev takes any trained version. staging and prod take one that meets the criteria of task.yaml, is served as it was
    trained (parity of what was deployed of it) and has no test row in its training data; what was not measured is
    never a yes. Who, why and every answer are kept in registry.json. `version` may be an alias: staging, to prod.

    Raises NotReady where the gate refuses it, NotValid without a reason, NotFound.
    """
    name, why = version_folder(task, version).name, _reason(why)
    gate = ask_gate(task, name, alias)
    before = read_registry(task).aliases.get(alias)
    said = f"{name} of {task.name} as {alias}" + (f" in place of {before}" if before else "")
    if not gate.passed:
        if confirm:
            raise NotReady(f"{said} is refused. {gate.told}")
        return _move(task, alias, name, before, gate, done=False, message=f"The gate refuses {said}.")
    if not confirm:
        message = f"The gate lets {said} pass. {call_again()}"
        return _move(task, alias, name, before, gate, done=False, message=message)
    change = _change_alias(task, alias, "promoted", who(by), why, lambda _: name, gate)
    replaced = f"; it was {change.before}" if change.before not in (None, name) else ""
    message = f"{alias} of {task.name} is {name}{replaced}.{_follow(task, alias)}"
    return _move(task, alias, name, change.before, gate, done=True, message=message)


def roll_back(task: Path, *, alias: Alias, why: str, by: str | None = None) -> AliasMove:
    """Let an alias name the version again that it named before; called again, the one before that.

    Nothing is asked: it was let through once. Versions that were deleted since are passed over. Raises NotReady where
    there is none to go back to.
    """
    why = _reason(why)

    def earlier(registry: Registry) -> str:
        there = version_names(task)
        for version in versions_before(registry.history, alias):
            if version in there and version != registry.aliases.get(alias):
                return version
        now_named = registry.aliases.get(alias)
        standing = f"It names {now_named}." if now_named else "It names no version yet."
        raise NotReady(f"{alias} of {task.name} has no earlier version to go back to. {standing}")

    change = _change_alias(task, alias, "rolled back", who(by), why, earlier)
    message = (
        f"{alias} of {task.name} is {change.version} again; it was {change.before}.{_follow(task, alias)}"
    )
    return _move(task, alias, change.version, change.before, None, done=True, message=message)


def record_deployment(task: Path, deployment: Deployment) -> Deployment:
    """Add what was deployed to registry.json; a commit of the Hub stands there once, as it was last told.

    What was begun there before and never finished is settled by what is finished now. Raises NotFound for a version that
    is not there.
    """

    def add(registry: Registry) -> Registry:
        version_folder(task, deployment.version)
        others = [
            known
            for known in registry.deployments
            if not _is_same_commit(known, deployment) and not _settles(deployment, known)
        ]
        return registry.model_copy(update={"deployments": [*others, deployment]})

    _change(task, add)
    return deployment


def record_removal(task: Path, name: str, host: str) -> bool:
    """Keep that what was deployed to that Ollama under that name is gone; False where nothing was."""

    def is_it(known: Deployment) -> bool:
        there = known.target == "ollama" and known.name.lower() == name.lower() and known.host in (None, host)
        return there and known.removed is None

    def remove(registry: Registry) -> Registry:
        known = [d.with_changes(removed=now()) if is_it(d) else d for d in registry.deployments]
        return registry.model_copy(update={"deployments": known})

    if not any(map(is_it, read_registry(task).deployments)):
        return False
    _change(task, remove)
    return True


def _settles(deployment: Deployment, known: Deployment) -> bool:
    """Whether this was finished where `known` was begun; what somebody began later may still be under way."""
    there = (known.target, known.name, known.host) == (deployment.target, deployment.name, deployment.host)
    return there and known.under_way and not deployment.under_way and known.created <= deployment.created


def _is_same_commit(a: Deployment, b: Deployment) -> bool:
    return a.commit is not None and (a.target, a.name, a.commit) == (b.target, b.name, b.commit)


def who(by: str | None) -> str:
    """The name that is given, else that of this machine's user."""
    if by is not None and by.strip():
        return by.strip()
    try:
        return getpass.getuser()
    except (OSError, KeyError, ImportError):  # no such user, or no such thing on this system
        return "somebody"


def _change_alias(
    task: Path,
    alias: Alias,
    kind: str,
    by: str,
    why: str,
    choose: Callable[[Registry], str],
    gate: Gate | None = None,
) -> AliasChange:
    changes: list[AliasChange] = []

    def change(registry: Registry) -> Registry:
        version = version_folder(task, choose(registry)).name
        made = AliasChange.parse(
            {
                "alias": alias,
                "version": version,
                "before": registry.aliases.get(alias),
                "kind": kind,
                "at": now(),
                "by": by,
                "why": why,
                "gate": [answer.model_dump() for answer in gate.answers] if gate else [],
            },
            "the alias",
        )
        changes.append(made)
        return registry.model_copy(
            update={
                "aliases": {**registry.aliases, alias: version},
                "history": [*registry.history, made],
            }
        )

    _change(task, change)
    return changes[0]


def _change(task: Path, change: Callable[[Registry], Registry]) -> None:
    """Read, change and write while no other program does."""
    with locked(task / ".registry.lock", f"changes the registry of {task.name}", patience=BRIEF):
        change(read_registry(task)).save(registry_file(task))


def _reason(why: str) -> str:
    if not why.strip():
        raise NotValid("why: say in a sentence why; it is kept in registry.json for those who ask later.")
    return why.strip()


def _follow(task: Path, alias: Alias) -> str:
    """What was deployed by this alias is still what it was."""
    newest = {d.target: d for d in read_registry(task).deployments if d.alias == alias and d.removed is None}
    return "".join(
        f"\nWhat was deployed to {target} follows with: {_followed(task, deployment, alias)}"
        for target, deployment in sorted(newest.items())
    )


def _followed(task: Path, deployment: Deployment, alias: Alias) -> str:
    if deployment.target == "hub" and deployment.parity is None:  # uploaded as it is, perhaps an adapter
        what = f"--repo-id {deployment.name} --version {alias} --what {deployment.artefact}"
        return f"nlp-skills upload-model {task.name} {what} --confirm"
    return repeated(task, deployment, alias)


def _move(
    task: Path,
    alias: Alias,
    version: str,
    before: str | None,
    gate: Gate | None,
    *,
    done: bool,
    message: str,
) -> AliasMove:
    return AliasMove(
        task=task.name, alias=alias, version=version, before=before, done=done, gate=gate, message=message
    )
