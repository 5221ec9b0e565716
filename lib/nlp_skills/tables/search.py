"""Searches: what one would cost, and its trials."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from nlp_skills.evaluation.figures import show_value
from nlp_skills.tables.grid import table

if TYPE_CHECKING:
    from nlp_skills.evaluation.search.record import SearchReport

HEAD = 12
"""Characters of a line of a column's head."""
STYLES = {"running": "bold green", "failed": "bold red", "pruned": "yellow"}


def search(found: SearchReport) -> RenderableType:
    """The trials with their settings and values, what mattered, and what comes next."""
    parts: list[RenderableType] = []
    if found.trials:
        fields = list(dict.fromkeys(field for trial in found.trials for field in trial.settings))
        heads = [_on_lines(field) for field in fields]
        rows = table(
            "trial",
            "version",
            "state",
            *heads,
            found.metric,
            right=("trial", *heads, found.metric),
            less=("state",),
        )
        for trial in found.trials:
            rows.add_row(
                str(trial.number),
                Text(trial.version or "", style="bold" if trial.version == found.best else ""),
                Text(trial.state, style=STYLES.get(trial.state, "")),
                *(str(trial.settings.get(field, "")) for field in fields),
                "" if trial.value is None else show_value(trial.value, ".4f"),
            )
        notes = [Text(f"Trial {trial.number}: {trial.note}") for trial in found.trials if trial.note]
        parts += [rows, Text(), *([*notes, Text()] if notes else [])]
    if found.importance:
        mattered = ", ".join(f"{field} {share:.0%}" for field, share in found.importance.items())
        parts.append(Text(f"What mattered: {mattered}"))
    if found.error:
        parts.append(Text(found.error, style="red"))
    parts.append(Text(found.message))
    if found.page:
        parts.append(Text(f"Page: {found.page}"))
    return Group(*parts)


def _on_lines(field: str) -> str:
    """A setting's name as a head that is as narrow as its values: `per_device_`, `train_batch_`, `size`."""
    lines = [""]
    for word in re.findall(r"[^_]+_*", field):
        if lines[-1] and len(lines[-1] + word) > HEAD:
            lines.append("")
        lines[-1] += word
    return "\n".join(lines)
