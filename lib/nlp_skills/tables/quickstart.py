"""The quickstart: what came of it, and what else there is to try."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from nlp_skills.tables.results import comparison, scores

if TYPE_CHECKING:
    from nlp_skills.pipeline import Examples, Outcome


def outcome(found: Outcome) -> RenderableType:
    """The closing table, what it means, and what to do next."""
    minutes, seconds = divmod(round(found.seconds), 60)
    parts: list[RenderableType] = [
        Text(),
        scores((line.name, line.metrics) for line in found.scores),
        Text(),
        Text(found.advice),
    ]
    if found.comparison:
        parts += [Text(), comparison(found.comparison)]
    parts += [Text(), Text(f"Done in {minutes} min {seconds} s. Next:", style="bold")]
    steps = [*found.next, *made_known()]
    return Group(*parts, *(Text(f"  {step}") for step in steps))


def made_known() -> list[str]:
    """How the commands are found in this terminal: after `uv run`, their environment is not on its PATH."""
    if "UV_RUN_RECURSION_DEPTH" not in os.environ:  # uv sets it for what it runs
        return []
    environment = Path(sys.prefix)
    if environment.parent == Path.cwd():
        environment = Path(environment.name)
    if os.name == "nt":
        line = str(environment / "Scripts" / "activate")
    else:
        line = f"source {shlex.quote(str(environment / 'bin' / 'activate'))}"
    return [f"For these commands, once in each terminal: {line}"]


def examples(found: Examples) -> RenderableType:
    """Commands under what they are for."""
    parts: list[RenderableType] = []
    for purpose, commands in found.commands.items():
        parts += [
            Text(purpose, style="bold"),
            # Longer than the terminal is wide or not: a command that is cut cannot be copied.
            *(Text(f"  {command}", no_wrap=True, overflow="ignore") for command in commands),
            Text(),
        ]
    return Group(*parts[:-1])
