"""What sections are made of: headings, paragraphs, tables, and figures with their text alternative."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from nlp_skills.errors import clip
from nlp_skills.page.markup import Child, Html, element

LONGEST_INPUT = 1_000
"""Characters of an input that the page carries."""


def section(identifier: str, title: str, *children: Child) -> Html:
    return element("section", element("h2", title), children, id=identifier)


def lead(text: str) -> Html:
    return element("p", text, class_="lead")


def absent(text: str) -> Html:
    return element("p", text, class_="absent")


def figure(chart: Html, *, scroll: str | None = None, table: Html | None = None) -> Html:
    """A chart, with its numbers as a table one click away; a wide one scrolls in a box of its own."""
    box = chart
    if scroll is not None:
        box = element("div", chart, class_="scroll", role="region", tabindex="0", aria_label=scroll)
    numbers = (
        element("details", element("summary", "The same as a table"), table) if table is not None else None
    )
    return element("figure", box, numbers)


def table(
    heads: Sequence[str],
    rows: Iterable[Sequence[Child]],
    *,
    numbers: bool = False,
    stack: bool = False,
    caption: str | None = None,
    identifier: str | None = None,
) -> Html:
    """A table whose first column names the row; `stack` lays a row out as a card on a phone."""
    cell: Callable[[int, Child], Html] = lambda i, value: (  # noqa: E731
        element("th", value, scope="row")
        if i == 0 and not stack
        else element("td", value, data_label=heads[i] if stack else None)
    )
    table = element(
        "table",
        element("caption", caption) if caption else None,
        element("thead", element("tr", [element("th", head, scope="col") for head in heads])),
        element("tbody", [element("tr", [cell(i, v) for i, v in enumerate(row)]) for row in rows]),
        class_=" ".join(k for k, on in (("numbers", numbers), ("stack", stack)) if on) or None,
        id=identifier,
    )
    if stack:
        return table
    return element(
        "div", table, class_="scroll", role="region", tabindex="0", aria_label=caption or heads[0] or "Table"
    )


def input_text(text: str, language: str | None) -> Html:
    return element("span", clip(text, LONGEST_INPUT), lang=language, class_="input")


def hash_code(digest: str) -> Html:
    return element("code", digest, class_="hash")


def listed(names: Iterable[str]) -> str:
    return ", ".join(names)


def plain(value: Any) -> str:
    return "none" if value is None else value if isinstance(value, str) else f"{value}"
