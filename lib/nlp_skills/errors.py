"""Everything that can go wrong and that a person can mend.

    NlpSkillsError
    ├── NotFound        a task, version, file or row that was named is not there
    ├── NotValid        what was given is wrong: names the file, the field or line, and the cure
    ├── AlreadyExists   refusing to replace what is there
    ├── NotReady        an earlier step has to be done first: says which command does it
    ├── MissingExtra    an optional part is not installed: carries the exact install command
    └── RunFailed       a training or evaluation process ended badly: points at its log

The message is written for the person who reads it: where, what, and what to do next.
Errors are raised where the fact is known and turned into text once, in the shells.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from pathlib import Path


class NlpSkillsError(Exception):
    """The root: every error that the library raises on purpose."""


class NotFound(NlpSkillsError):
    """Something that was named does not exist."""


class NotValid(NlpSkillsError):
    """The input breaks a rule; the message names the place and the cure."""


class AlreadyExists(NlpSkillsError):
    """Something of that name is already there and is left as it is."""


class NotReady(NlpSkillsError):
    """A step before this one has not been done yet."""


class RunFailed(NlpSkillsError):
    """A process that was started ended without its result."""


class MissingExtra(NlpSkillsError):
    """An optional dependency is not installed."""

    def __init__(self, what: str, extra: str) -> None:
        self._made_of = what, extra
        checkout = Path(__file__).resolve().parents[2]
        here = f' --project "{checkout}"' if (checkout / "uv.lock").is_file() else ""
        super().__init__(
            f"{what} needs the {extra} extra. Install it with: uv sync{here} --inexact --extra {extra}"
            f" (or, without a checkout: pip install 'nlp-skills[{extra}]')"
        )

    def __reduce__(self) -> tuple[type[MissingExtra], tuple[str, str]]:
        """An exception is made anew from its message, which is not what this one is made from."""
        return type(self), self._made_of


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """` (did you mean "labels"?)` for a near miss, otherwise an empty string."""
    close = difflib.get_close_matches(word, list(known), n=1, cutoff=0.6)
    return f' (did you mean "{close[0]}"?)' if close else ""


def lasting(seconds: float) -> str:
    """`0.9 seconds`, `5 minutes`, `1.5 hours`, `30 days`: in the largest unit that fits, two figures where it is small."""
    name, length = "second", 1
    for unit, size in (("minute", 60), ("hour", 3_600), ("day", 86_400)):
        if seconds >= size:
            name, length = unit, size
    number = seconds / length
    shown = f"{number:,.0f}" if number >= 10 else f"{number:.2g}"
    return f"{shown} {name}" if shown == "1" else f"{shown} {name}s"


def counted(number: float, noun: str) -> str:
    """`1 row`, `2 rows`, `12,000 rows`, `0.5 epochs`."""
    shown = f"{number:,}" if isinstance(number, int) else f"{number:,g}"
    return f"{shown} {noun}" if number == 1 else f"{shown} {noun}s"


def sized(number: int) -> str:
    """`12 kB`, `986 MB`, `4.7 GB`: bytes in decimal units, as Ollama and the Hub show them."""
    if number >= 10**9:
        return f"{number / 10**9:.1f} GB"
    return f"{number / 10**6:.0f} MB" if number >= 10**6 else f"{number / 1000:.0f} kB"


def clip(text: str, longest: int) -> str:
    """The text as it is shown: of a longer one the first `longest` characters and `…`."""
    return text if len(text) <= longest else f"{text[:longest]}…"
