"""A table without lines, and values short enough for its cells."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from rich.table import Table

from nlp_skills.errors import clip


def table(*columns: str, title: str | None = None, right: Iterable[str] = ()) -> Table:
    """A plain table; columns named in `right` hold numbers."""
    made = Table(
        title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False
    )
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def filled(
    rows: Iterable[Mapping[str, str]], *, right: Iterable[str] = (), whole: Iterable[str] = ()
) -> Table:
    """A table of the columns that hold something in some row; those named in `whole` are never broken."""
    rows = list(rows)
    names = [
        name for name in dict.fromkeys(key for row in rows for key in row) if any(r.get(name) for r in rows)
    ]
    made = table(*names, right=right)
    for name, column in zip(names, made.columns, strict=True):
        column.no_wrap = name in whole
    for row in rows:
        made.add_row(*(row.get(name, "") for name in names))
    return made


def short(value: Any, length: int = 80) -> str:
    """A value as a cell shows it: text as it is, anything else as JSON."""
    if value is None:
        return ""
    return clip(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), length)
