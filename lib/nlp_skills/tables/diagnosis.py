"""Causes as people read them: what, how sure, why, and what mending it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nlp_skills.evaluation.figures import show_value
from nlp_skills.tables.grid import short, table

if TYPE_CHECKING:
    from nlp_skills.evaluation.diagnosis.curve import LearningCurve
    from nlp_skills.evaluation.diagnosis.record import Cause, Diagnosis

STYLES = {"strong": "bold red", "some": "bold yellow", "weak": "dim"}


def diagnosis(found: Diagnosis) -> RenderableType:
    """The verdict, each cause with its evidence and its fix, and what was not looked at."""
    parts: list[RenderableType] = [Text(found.verdict, style="bold")]
    if found.symptom_means:
        parts.append(Text(f"Looked at first: {found.symptom_means}", style="dim"))
    for number, cause in enumerate(found.causes, start=1):
        parts += [Text(), *_cause(number, cause)]
    if found.ruled_out:
        parts += [Text(), Text(f"Looked for and not found: {'; '.join(found.ruled_out)}.", style="dim")]
    if found.unchecked:
        parts += [Text(), Text("Not looked at:", style="bold")]
        parts += [Text(f"  {item.what}: {item.why}") for item in found.unchecked]
    return Group(*parts)


def _cause(number: int, cause: Cause) -> list[RenderableType]:
    """Title and sureness, the sentence, its rows, the fix with its command on a line of its own."""
    parts: list[RenderableType] = [
        Text.assemble(
            (f"{number}. {cause.title} ", "bold"),
            f"({cause.id}, ",
            (cause.sure, STYLES[cause.sure]),
            " evidence)",
        ),
        Text(cause.says),
        Text("; ".join(f"{e.figure}: {e.value} ({e.file})" for e in cause.evidence), style="dim"),
    ]
    if cause.rows:
        parts.append(_rows(cause))
    takes = f" Takes: {cause.fix.takes}." if cause.fix.takes else ""
    parts += [
        Text(f"To do: {cause.fix.does}.{takes}"),
        Text(f"  {cause.fix.command}", no_wrap=True, overflow="ignore"),
    ]
    return parts


def _rows(cause: Cause) -> Table:
    rows = table("row", "text", "what")
    for row in cause.rows[:3]:
        rows.add_row(f"{row.file} {row.id}", short(row.text, 80), short(row.note, 120))
    return rows


def learning_curve(found: LearningCurve) -> RenderableType:
    """The points, and what they say or would cost."""
    rows = table("rows", found.metric, "95 % interval", "seconds", right=("rows", found.metric, "seconds"))
    for point in found.points:
        score = point.score
        rows.add_row(
            f"{point.rows:,}",
            show_value(score.value),
            f"{show_value(score.low)} to {show_value(score.high)}",
            f"{point.seconds:.0f}",
        )
    return Group(*([rows, Text()] if found.points else []), Text(found.message))
