"""Behaviour tests: how often an answer changes that should not, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from nlp_skills.errors import clip, counted
from nlp_skills.evaluation.figures import show_change
from nlp_skills.tables.grid import table

if TYPE_CHECKING:
    from nlp_skills.evaluation.behaviour.record import BehaviourResult


def behaviour(found: BehaviourResult) -> RenderableType:
    """A line for each test, then a failed row of each."""
    parts: list[RenderableType] = []
    if found.tests_written:
        parts.append(
            Text("The usual tests were written to configs/behaviour.yaml: change them to what holds for you.")
        )
    heads = ("rows", "failed", "rate [95 %]", "right before, wrong after")
    rows = table("test", "kind", *heads, right=heads)
    for one in found.tests:
        rate = "" if one.rate is None else f"{one.rate.value:.1%} [{one.rate.low:.1%}, {one.rate.high:.1%}]"
        broken = f"{one.broken:,}" if one.kind == "invariance" else ""
        rows.add_row(one.name, one.kind, f"{one.count:,}", f"{one.failed:,}", rate, broken)
    parts += [Text(f"{found.model}: {counted(found.rows, f'{found.split} row')}", style="dim"), rows]
    for one in found.tests:
        for flip in one.flips[:1]:
            said = (
                f"{one.name}: {clip(flip.changed, 80)!r}: {clip(flip.after, 40)}, not {clip(flip.before, 40)}"
            )
            moved = "" if flip.moved is None else f" (probability {show_change(flip.moved, '.2f')})"
            parts.append(Text(said + moved))
    return Group(*parts, Text(), Text(f"Examples: {found.file}"))
