"""What a server, a chat and a file of rows came to, in a sentence each, and what to do next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from nlp_skills.errors import counted, lasting
from nlp_skills.tables.grid import table

if TYPE_CHECKING:
    from nlp_skills.deployment.serving.chat import Chatted
    from nlp_skills.deployment.serving.predict import Predicted
    from nlp_skills.deployment.serving.serve import Served

MEANINGS = {
    "400": "asked for what cannot be done; the answer says what",
    "401": "came without the server's key",
    "403": "called this server by another name than localhost or 127.0.0.1",
    "404": "named a model that is not here",
    "408": "did not arrive in time",
    "413": "too large",
    "415": "no JSON",
    "429": "no place was free; for more at once start it with --streams",
    "499": "the client went away",
    "503": "the model gave no answer",
}


def served(found: Served) -> RenderableType:
    """How many were answered, then the others by their HTTP status."""
    asked = counted(found.requests, "request")
    tokens = f" with {counted(found.tokens, 'token')}" if found.answered else ""
    told = f"answered {found.answered:,} of {asked}{tokens}" if found.requests else "was asked nothing"
    parts: list[RenderableType] = [Text(f"{_who(found)} {told} in {lasting(found.seconds)}.")]
    others = table("status", "requests", "", right=("requests",))
    for status, count in found.statuses.items():
        if status != "200":
            others.add_row(status, f"{count:,}", MEANINGS.get(status, ""))
    if others.row_count:
        parts.append(others)
    if found.failed:
        parts.append(Text(f"Broken off by the model: {counted(found.failed, 'answer')}."))
    if found.cancelled:
        parts.append(Text(f"Not read to the end: {counted(found.cancelled, 'answer')}."))
    return Group(*parts)


def chatted(found: Chatted) -> RenderableType:
    """How much was said."""
    told = f"{counted(found.turns, 'turn')} with {_who(found)}, {counted(found.tokens, 'token')}."
    return Text(f"{told} Nothing of it was kept.\nFor programs: nlp-skills serve {found.task}")


def predicted(found: Predicted) -> RenderableType:
    """Where the answers are, how many were there already, and what to look at."""
    lines = [
        f"{counted(found.rows, 'row')} of {found.file} answered by {_who(found)} in {lasting(found.seconds)}"
        f" ({found.method}): {found.out}"
    ]
    if found.kept:
        lines.append(f"{found.kept:,} of them had been answered before, by a run that was cut off.")
    if found.cut:
        lines.append(
            f"{counted(found.cut, 'answer')} ended at the limit of tokens. For longer ones give --max-new-tokens and"
            " another --out."
        )
    if found.method == "label scoring":
        lines.append("Each has its probability: look at the rows with the lowest first.")
    return Text("\n".join(lines))


def _who(found: Served | Chatted | Predicted) -> str:
    return f"{found.task} {found.version} ({found.weights})"
