"""A training plan and an advice as people read them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.text import Text

from nlp_skills.errors import counted
from nlp_skills.evaluation.figures import show_change
from nlp_skills.tables.grid import table

if TYPE_CHECKING:
    from nlp_skills.evaluation.advice.advise import Advice
    from nlp_skills.training.planning.forecast import Forecast
    from nlp_skills.training.planning.plan import Plan
    from nlp_skills.training.train import StartingPlan


def plan(found: Plan) -> RenderableType:
    """Settings with reasons, what they take here and elsewhere, and the command."""
    rows = found.lengths
    approximate = "" if found.parameters_are_exact else " (approximately)"
    places = table("elsewhere", "fits", "GiB", "time", "USD", "settings", right=("GiB", "time", "USD"))
    for place in found.elsewhere:
        places.add_row(
            place.name,
            "yes" if place.fits else "no",
            f"{place.needed_mb / 1024:.1f}",
            _time(place.seconds),
            "" if place.usd is None else f"{place.usd:.2f}",
            place.settings,
        )
    return Group(
        Text(
            f"{found.base_model}: {found.parameters:,} parameters{approximate}; {rows.rows:,} rows of {rows.mean:g} tokens"
            f" ({rows.p95} at 95 %, the longest {rows.longest}), counted {rows.counted}"
        ),
        Text(),
        *_settings(found),
        Text(),
        _figures(found.forecast),
        Text(),
        places,
        Text(),
        *(Text(note) for note in found.notes),
        Text(),
        Text("Make a version of it:", style="bold"),
        Text(f"  {found.command}", no_wrap=True, overflow="ignore"),
    )


def _settings(found: Plan) -> Iterator[RenderableType]:
    """Each setting on a line, below it why, and what else could be taken."""
    for choice in found.choices:
        yield Text.assemble((choice.setting, "bold"), f" {choice.value}")
        told = f"{choice.reason}. Or: {choice.alternative}" if choice.alternative else choice.reason
        yield Padding(Text(told, style="dim"), (0, 0, 0, 4))


def starting(found: StartingPlan) -> RenderableType:
    """What a run would take, before it is confirmed."""
    facts = table("", "")
    facts.show_header = False
    target = found.target if found.target != "local" else "this machine"
    facts.add_row("version", f"{found.version} of {found.task}")
    facts.add_row("where", target)
    facts.add_row("base model", found.base_model)
    facts.add_row("rows", f"{found.rows:,}, {counted(found.epochs, 'time')}")
    if found.usd_per_hour is not None:
        facts.add_row("price", f"{found.usd_per_hour:g} USD an hour")
    figures = [Text(), _figures(found.predicted)] if found.predicted else []
    return Group(facts, *figures, Text(), Text(found.message))


def _figures(found: Forecast) -> RenderableType:
    """The verdict on memory, and what the memory is made of."""
    verdict = Text(
        "fits: " if found.fits else "does not fit: ", style="bold green" if found.fits else "bold red"
    )
    verdict.append(f"{found.hardware}: {found.words()}", style="not bold default")
    parts = table("memory", "MiB", right=("MiB",))
    for name, size in found.memory.parts.items():
        parts.add_row(name, f"{size:,.0f}")
    parts.add_row(f"peak, when {found.memory.moment}", f"{found.memory.peak_mb:,.0f}")
    beside = dict(found.memory.beside)
    if found.correction.memory != 1:
        beside["as earlier runs took"] = found.needed_mb - found.memory.needed_mb
    for name, size in beside.items():
        parts.add_row(name, show_change(size, ",.0f"))
    if beside:
        parts.add_row("needed", f"{found.needed_mb:,.0f}")
    price = found.price
    lines: list[RenderableType] = [verdict, parts]
    if price:
        lines.append(
            Text(f"{price.usd_per_hour:g} USD an hour: {price.source} {price.date}".rstrip(), style="dim")
        )
    return Group(*lines)


def _time(seconds: float | None) -> str:
    from nlp_skills.training.planning.forecast import show_seconds

    return "" if seconds is None else show_seconds(seconds)


def advice(found: Advice) -> RenderableType:
    """The verdict first, then every point with its evidence."""
    points = table("says", "because", "evidence")
    for point in found.points:
        evidence = "\n".join(f"{e.file}: {e.figure} {e.value}" for e in point.evidence)
        points.add_row(point.verdict, point.says, evidence)
    return Group(
        Text(found.verdict, style="bold"),
        Text(found.reason),
        Text(),
        points,
        *([Text(), *(Text(f"Not counted: {line}") for line in found.old)] if found.old else []),
        *([Text(), Text("Not known: " + "; ".join(found.unknown))] if found.unknown else []),
        Text(),
        Text(f"Next: {found.next}"),
    )
