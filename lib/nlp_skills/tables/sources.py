"""Sources: what was set, the first rows, and what a row becomes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from nlp_skills.tables.data import warnings
from nlp_skills.tables.grid import short, table

if TYPE_CHECKING:
    from nlp_skills.data.sourcing import AddedSource, Preview


def preview(found: Preview) -> RenderableType:
    """The first rows and the example that the first becomes; of rows still to be written, what they would cost."""
    if found.note and not found.rows:
        return Group(Text(found.note), *warnings(found.warnings))
    columns = list(dict.fromkeys(key for row in found.rows for key in row))[:8]
    rows = table(*columns)
    for row in found.rows:
        rows.add_row(*(short(row.get(column)) for column in columns))
    roles = ", ".join(f"{part} = {column}" for part, column in found.columns.items())
    head = Text(f"{found.source}: {found.reason} ({roles})")
    return Group(head, Text(), rows, Text(), *turns(found), *warnings(found.warnings))


def added_source(found: AddedSource) -> RenderableType:
    """What was set, and a row as the model will see it."""
    head = table("", "")
    head.show_header = False
    said = {"name": found.name, "type": found.type, **found.settings}
    if found.columns:
        said["columns"] = ", ".join(f"{part} = {column}" for part, column in found.columns.items())
    for name, value in said.items():
        head.add_row(Text(name, style="bold"), short(value, 300))
    parts: list[RenderableType] = [head]
    if found.example:
        said = f"{found.reason[:1].upper()}{found.reason[1:]}. The first row becomes:"
        parts += [Text(), Text(said), *turns(found)]
    if found.note:
        parts += [Text(), Text(found.note)]
    return Group(*parts, *warnings(found.warnings))


def turns(found: Preview | AddedSource) -> list[Text]:
    """A row's messages, each on a line; of a preference both answers."""
    names = [message["role"] for message in found.example]
    if found.rejected:
        names[-1] = "chosen"
    named = [*zip(names, found.example, strict=True), *(("rejected", message) for message in found.rejected)]
    said: list[Text] = []
    for name, message in named:
        parts = [message[part] for part in ("content", "tool_calls") if message.get(part)]
        said.append(Text.assemble((f"{name}: ", "bold"), " ".join(short(part, 300) for part in parts)))
    return said
