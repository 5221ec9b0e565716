"""Today's date, as a template writes it and Ollama knows it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nlp_skills.deployment.go_template.values import Equal, Node, NotTranslatable, Out, Text, When

MONTHS = "January February March April May June July August September October November December".split()


def date_text(form: str) -> Any:
    """Today's date in Python's form, out of Ollama's `currentDate` (2026-11-21)."""
    pieces: dict[str, tuple[Node, ...]] = {
        "%Y": (Out("slice (currentDate) 0 4"),),
        "%m": (Out("slice (currentDate) 5 7"),),
        "%d": (Out("slice (currentDate) 8 10"),),
        "%B": _month(MONTHS),
        "%b": _month([month[:3] for month in MONTHS]),
    }
    nodes: list[Node] = []
    while form:
        if form[:2] in pieces:
            nodes += pieces[form[:2]]
        elif form[0] == "%":
            raise NotTranslatable(f"it writes the time ({form[:2]}), and Ollama knows the date only")
        else:
            nodes.append(form[0])
        form = form[2 if form[0] == "%" else 1 :]
    return Text(tuple(nodes))


def _month(names: Sequence[str]) -> tuple[Node, ...]:
    found: tuple[Node, ...] = (names[-1],)
    for number, name in reversed(list(enumerate(names[:-1], start=1))):
        month = "slice (currentDate) 5 7"
        found = (When(Equal(f'eq ({month}) "{number:02d}"', month, f"{number:02d}"), (name,), found),)
    return found
