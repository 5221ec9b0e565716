"""What the loss sees of some rows, in colour or in plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.text import Text

from nlp_skills.errors import counted

if TYPE_CHECKING:
    from nlp_skills.data.token_runs import PreviewedRow, TokenPreview, TokenRun


class TokenText:
    """A row's tokens: coloured, or in plain text with [[…]] around what is trained and {{…}} around what is cut."""

    def __init__(self, found: TokenPreview, row: PreviewedRow) -> None:
        self._found, self._row = found, row

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from nlp_skills.data.token_runs import pieces

        shown, last = Text(), None
        plain = console.color_system is None or console.no_color
        for run, text, mark in pieces(self._found, self._row):
            if plain and run is not last:
                shown.append(_brackets(last, closing=True) + _brackets(run, closing=False))
            style = ("bold " if mark else "") + ("green underline" if run.trained else "bright_black")
            named = f"({TOKEN_MARKS[mark]})" if mark in TOKEN_MARKS else ""
            shown.append(text + named, "" if plain else style + (" strike" if run.cut else ""))
            last = run
        if plain:
            shown.append(_brackets(last, closing=True))
        yield shown


TOKEN_MARKS = {"end": "EOS", "begin": "BOS"}


def _brackets(run: TokenRun | None, *, closing: bool) -> str:
    if run is None:
        return ""
    cut, trained = ("}}", "]]") if closing else ("{{", "[[")
    signs = [cut if run.cut else "", trained if run.trained else ""]
    return "".join(reversed(signs) if closing else signs)


def token_preview(found: TokenPreview) -> RenderableType:
    """A legend, then each row: its counts and its text."""
    from nlp_skills.data.token_runs import visible

    legend = Text(
        "Underlined, or between [[ and ]], is what the model learns to write; the rest it is given. Struck through,"
        f" or between {{{{ and }}}}, lies beyond max_length {found.max_length:,}.",
        style="dim",
    )
    parts: list[RenderableType] = [legend, *(Text(note, style="dim") for note in found.notes)]
    for row in found.rows:
        cut = f", {row.cut:,} cut" if row.cut else ""
        said = row.problem or f"{counted(row.tokens, 'token')}, {row.trained:,} trained{cut}"
        parts += [Text(), Text.assemble((f"{found.file}:{row.line}  {visible(row.id)}  ", "bold"), said)]
        if row.runs:
            parts.append(TokenText(found, row))
    return Group(*parts, Text(), Text(f"In full: {found.page}", no_wrap=True, overflow="ignore"))
