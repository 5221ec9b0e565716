"""A table without lines that fits the terminal and breaks no name, and values short enough for its cells."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console, ConsoleOptions, RenderResult
from rich.measure import Measurement
from rich.table import Column, Table
from rich.text import Text

from nlp_skills.errors import clip

CAPS = [(name, word) for name in (40, 24, 16, 12, 8) for word in (24, 16, 12, 8) if word <= name]
"""Tried in turn: in a column of single words (names), and in one of text, longer words than so many characters are folded."""
BETWEEN = 2
"""Spaces between two columns."""


class Grid(Table):
    """A table whose columns are as wide as they have to be: text is wrapped between its words, names stay whole.

    Where that does not fit, the columns of `less` go, the first of them first, and a line says so. The first column
    and those of `whole` are never broken: rather, the lines are longer than the terminal.
    """

    def __init__(
        self, *, title: str | None = None, whole: Iterable[str] = (), less: Iterable[str] = ()
    ) -> None:
        super().__init__(
            title=title,
            title_justify="left",
            title_style="bold",
            header_style="bold",
            box=None,
            pad_edge=False,
        )
        self._whole, self._less = tuple(whole), tuple(less)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Lay the columns out, and let a plain table draw them."""
        shown, gone = list(self.columns), []
        sizes = {id(column): self._size(console, options, column) for column in shown}
        for name in self._less:
            if self._fits(shown, sizes, options.max_width, CAPS[0]):
                break
            gone += [column.header for column in shown if column.header == name]
            shown = [column for column in shown if column.header != name]
        widths = self._widths(shown, sizes, options.max_width)
        made = Table(
            title=self.title,
            title_justify="left",
            title_style="bold",
            header_style="bold",
            box=None,
            pad_edge=False,
            show_header=self.show_header,
        )
        for column, width in zip(shown, widths, strict=True):
            made.add_column(column.header, justify=column.justify, overflow="fold", width=width)
        for row in zip(*(column.cells for column in shown), strict=True):
            made.add_row(*row)
        total = sum(widths) + BETWEEN * len(widths)
        yield from console.render(made, options.update(max_width=max(total, options.max_width)))
        if gone:
            yield Text(
                f"No room for: {', '.join(map(str, gone))} (in a wider terminal, or with --json)", style="dim"
            )

    def _size(self, console: Console, options: ConsoleOptions, column: Column) -> Measurement:
        """Its longest word, and its longest line."""
        sizes = [
            Measurement.get(console, options.update(max_width=10_000), cell)
            for cell in (column.header, *column.cells)
        ]
        return Measurement(max(s.minimum for s in sizes), max(s.maximum for s in sizes))

    def _least(self, column: Column, size: Measurement, caps: tuple[int, int]) -> int:
        if column is self.columns[0] or column.header in self._whole:
            return size.maximum
        return min(size.minimum, caps[0] if size.minimum == size.maximum else caps[1])

    def _fits(
        self, columns: Sequence[Column], sizes: Mapping[int, Measurement], room: int, caps: tuple[int, int]
    ) -> bool:
        return sum(self._least(c, sizes[id(c)], caps) for c in columns) + BETWEEN * (len(columns) - 1) <= room

    def _widths(self, columns: Sequence[Column], sizes: Mapping[int, Measurement], room: int) -> list[int]:
        """As wide as they are, and of what is too much the widest give way first, down to their words."""
        caps = next((caps for caps in CAPS if self._fits(columns, sizes, room, caps)), CAPS[0])
        least = [self._least(column, sizes[id(column)], caps) for column in columns]
        widths = [sizes[id(column)].maximum for column in columns]
        while sum(widths) + BETWEEN * (len(widths) - 1) > room:
            wide = [n for n, width in enumerate(widths) if width > least[n]]
            if not wide:
                break
            widths[max(wide, key=lambda n: widths[n])] -= 1
        return widths


def table(
    *columns: str,
    title: str | None = None,
    right: Iterable[str] = (),
    whole: Iterable[str] = (),
    less: Iterable[str] = (),
) -> Grid:
    """A plain table; columns named in `right` hold numbers; `whole` and `less` as in Grid."""
    made = Grid(title=title, whole=whole, less=less)
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left")
    return made


def filled(
    rows: Iterable[Mapping[str, str | Text]],
    *,
    title: str | None = None,
    right: Iterable[str] = (),
    whole: Iterable[str] = (),
    less: Iterable[str] = (),
) -> Grid:
    """A table of the columns that hold something in some row."""
    rows = list(rows)
    names = [
        name for name in dict.fromkeys(key for row in rows for key in row) if any(r.get(name) for r in rows)
    ]
    made = table(*names, title=title, right=right, whole=whole, less=less)
    for row in rows:
        made.add_row(*(row.get(name, "") for name in names))
    return made


def short(value: Any, length: int = 80) -> str:
    """A value as a cell shows it: text as it is, anything else as JSON."""
    if value is None:
        return ""
    return clip(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False), length)
