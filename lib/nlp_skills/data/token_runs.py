"""A row's tokens as people read them: runs of text that are trained or not, in which special tokens have a name."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from itertools import groupby
from typing import Any, Literal

from pydantic import Field

from nlp_skills.data.tokens import IGNORED, TokenRow
from nlp_skills.errors import NotValid
from nlp_skills.records import Record

Mark = Literal["end", "begin", "special"]


class TokenRun(Record):
    """Neighbouring tokens of which all are trained or none is, as text."""

    text: str
    trained: bool
    cut: bool = False
    """Beyond max_length."""


class PreviewedRow(Record):
    """One conversation as the model meets it in training."""

    line: int
    """1-based line of the split's file."""
    id: str
    tokens: int = 0
    trained: int = 0
    """Tokens that the loss sees."""
    cut: int = 0
    """Tokens beyond max_length."""
    runs: list[TokenRun] = []
    problem: str | None = None
    """Why there are no tokens."""


class TokenPreview(Record):
    """Some rows of a split as tokens; `page` has them in full."""

    task: str
    file: str
    base_model: str
    max_length: int
    marks: dict[str, Mark] = Field(default_factory=dict)
    """Special tokens that begin, open or end a turn, as they stand in the text."""
    notes: list[str] = []
    rows: list[PreviewedRow]
    page: str = "data/tokens.html"
    """In the task's folder; what preview_tokens gives is the path from where the user is."""


def previewed(
    tokenizer: Any, found: TokenRow | NotValid, line: int, name: str, max_length: int
) -> PreviewedRow:
    """Ids and labels as runs of text."""
    if isinstance(found, NotValid):
        return PreviewedRow(line=line, id=name, problem=str(found))
    return PreviewedRow(
        line=line,
        id=name,
        tokens=len(found.input_ids),
        trained=found.trained,
        cut=max(0, len(found.input_ids) - max_length),
        runs=_runs(tokenizer, found, max_length),
    )


def _runs(tokenizer: Any, found: TokenRow, max_length: int) -> list[TokenRun]:
    runs = []
    places = range(len(found.input_ids))
    for (trained, cut), group in groupby(
        places, lambda place: (found.labels[place] != IGNORED, place >= max_length)
    ):
        ids = [found.input_ids[place] for place in group]
        text = tokenizer.decode(ids, skip_special_tokens=False, clean_up_tokenization_spaces=False)
        runs.append(TokenRun(text=text, trained=trained, cut=cut))
    return runs


def pieces(preview: TokenPreview, row: PreviewedRow) -> Iterator[tuple[TokenRun, str, Mark | None]]:
    """The row's text in order: the run it belongs to, the piece, and what it is where it is a special token.

    The token that begins the text is only at its very start one; some templates open every turn with it.
    """
    names = sorted(preview.marks, key=len, reverse=True)
    split = re.compile("(" + "|".join(map(re.escape, names)) + ")") if names else None
    start = True
    for run in row.runs:
        for text in filter(None, split.split(run.text) if split else [run.text]):
            mark = preview.marks.get(text)
            yield run, visible(text), "special" if mark == "begin" and not start else mark
            start = False


def visible(text: str) -> str:
    """Control and direction characters written out: a row of data steers no terminal and hides nothing on a page."""
    return "".join(c if c in "\n\t\u200c\u200d" or c.isprintable() else _written_out(c) for c in text)


def _written_out(character: str) -> str:
    if unicodedata.category(character) == "Zs":
        return character  # ideographic and no-break spaces
    return chr(0x2400 + ord(character)) if ord(character) < 0x20 else f"\\u{ord(character):04x}"
