"""Columns of a table that have no name: nobody says what they hold, so that they hold something is told.

v1,v2,,,                      usual in exports where a text with commas stands without quotes:
ham,"Ok",,,                   the text goes on in the columns behind its own
ham,Well, I see,,
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from nlp_skills.data.sources.fetch import Row, Rows
from nlp_skills.data.sources.source import DataSource
from nlp_skills.errors import counted

UNNAMED = "unnamed_columns"
"""The note with their made-up names, after a comma each."""
UNNAMED_ROWS = "unnamed_rows"
"""The note with the number of rows in which they hold something."""


def watch_unnamed(rows: Rows, notes: dict[str, Any]) -> Iterator[Row]:
    """The same rows; `notes` gets the columns of the header that have no name, and counts the rows that fill them."""
    names: list[str] | None = None
    for line, row in rows:
        if names is None and (names := _unnamed(row)):
            known = str(notes.get(UNNAMED) or "").split(", ") if notes.get(UNNAMED) else []
            notes[UNNAMED] = ", ".join(dict.fromkeys([*known, *names]))
        if names and any(str(row[name] or "").strip() for name in names):
            notes[UNNAMED_ROWS] = notes.get(UNNAMED_ROWS, 0) + 1
        yield line, row


def _unnamed(row: Mapping[str, Any]) -> list[str]:
    """The names that formats.delimited.column_names has made up: they say the column's place."""
    return [
        name
        for place, name in enumerate(row, start=1)
        if name == f"column_{place}" or re.fullmatch(rf"column_{place}_\d+", name)
    ]


def tell_unnamed(
    source: DataSource, notes: Mapping[str, Any], used: Mapping[str, str], *, looked: int | None = None
) -> str | None:
    """A sentence where columns without a name hold something that is not `used`; `looked`: so many rows were looked at."""
    names = [name for name in str(notes.get(UNNAMED) or "").split(", ") if name]
    rows = int(notes.get(UNNAMED_ROWS) or 0)
    if not rows or not names or set(names) & set(used.values()):
        return None
    several = len(names) > 1
    among = "" if looked is None else f" of the first {looked:,}"
    return (
        f"Source {source.name}: {counted(len(names), 'column')} without a name ({', '.join(names)})"
        f" {'hold' if several else 'holds'} text in {counted(rows, 'row')}{among};"
        f" {'they are' if several else 'it is'} not used. Where a text with commas was written without quotes, its rest"
        " stands there: put such texts into quotes. If it is something else, give the column a name in the first line."
    )
