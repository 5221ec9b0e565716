"""Parity, deployments and aliases as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from nlp_skills.tables.grid import filled, short, table
from nlp_skills.tables.results import ANSWERS, cures

if TYPE_CHECKING:
    from nlp_skills.deployment.deploy import DeployedVersion
    from nlp_skills.deployment.parity.report import ParityReport
    from nlp_skills.deployment.registry import AliasList, AliasMove


def parity(found: ParityReport) -> RenderableType:
    """What was compared, what differs, then the answer."""
    compared = table("compared", "", "")
    equal = sum(one.equal for one in found.renderings)
    compared.add_row("prompts", f"{equal} of {len(found.renderings)} conversations", "token by token")
    if found.weights is not None:
        one = found.weights
        compared.add_row(
            "weights", f"{one.nats:.2g} nats", f"{one.allowed:g} allowed, at {one.places} places"
        )
    if found.answers is not None:
        compared.add_row(
            "answers", f"{found.answers.same} of {found.answers.rows} the same", found.answers.reason
        )
    for what, why in found.not_compared.items():
        compared.add_row(what, "not compared", why)
    for what, why in found.does_not_apply.items():
        compared.add_row(what, "does not apply", why)
    parts: list[RenderableType] = [compared, Text()]
    if found.differences:
        differs = table("cause", "conversation", "token", "trained", "served")
        for one in found.differences:
            place = "" if one.position is None else str(one.position)
            differs.add_row(
                one.cause, one.conversation or "", place, repr(one.trained or ""), repr(one.served or "")
            )
        parts += [differs, Text()]
    return Group(*parts, Text(found.message, style=ANSWERS[found.answer]))


def deployed(found: DeployedVersion) -> RenderableType:
    """The steps, what was compared, then what was done."""
    steps = [Text(f"{number}. {step}") for number, step in enumerate(found.steps, start=1)]
    if found.parity is None:
        return Group(*steps, Text(), Text(found.message))
    return Group(parity(found.parity), Text(), Text(found.message))


def alias_move(found: AliasMove) -> RenderableType:
    """The gate's answers, then what was done."""
    if found.gate is None:
        return Text(found.message)
    made = table("asked", "", "why")
    for one in found.gate.answers:
        made.add_row(one.check, Text(one.answer, style=ANSWERS[one.answer]), one.reason)
    return Group(
        made,
        Text(),
        Text(found.message, style=ANSWERS["yes" if found.gate.passed else "no"]),
        *cures((one.check, one.next) for one in found.gate.answers),
    )


def aliases(found: AliasList) -> RenderableType:
    """Each alias, then the newest changes and deployments."""
    now = filled(
        (
            {
                "alias": one.alias,
                "version": (one.version or "none yet") + ("" if one.there else " (deleted)"),
                "since": _minute(one.since or ""),
                "by": one.by or "",
                "why": one.why or "",
            }
            for one in found.aliases
        ),
        whole=("alias", "version"),
    )
    parts: list[RenderableType] = [now]
    if found.history:
        changes = (
            {
                "when (UTC)": _minute(one.at),
                "alias": one.alias,
                "from": one.before or "",
                "to": one.version,
                "how": one.kind,
                "by": one.by,
                "why": short(one.why),
            }
            for one in reversed(found.history)
        )
        parts += [Text(), filled(changes, title="Changes", less=("by", "from"))]
    if found.deployments:
        made = []
        for one in reversed(found.deployments):
            told = [f"accepted by {one.accepted.by}: {short(one.accepted.why)}"] if one.accepted else []
            told += [one.state] if one.state in ("not finished", "removed", "gone") else []
            made.append(
                {
                    "when (UTC)": _minute(one.created),
                    "version": one.version,
                    "what": one.artefact,
                    "to": one.target,
                    "name": one.name,
                    "by": one.by,
                    "note": "; ".join(told),
                }
            )
        parts += [Text(), filled(made, title="Deployments", whole=("name",), less=("by", "to"))]
    return Group(*parts)


def _minute(time: str) -> str:
    """`2026-11-21T15:20:10Z` as people read it in a list: `2026-11-21 15:20`."""
    return time[:16].replace("T", " ")
