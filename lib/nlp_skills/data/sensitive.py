"""Places in a text that must not be shown: personal data and secrets, found by `personal` and `secret`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import msgspec

from nlp_skills.data.example import Example, Message

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, order=True)
class Span:
    """From `start` up to, not including, `end`, in characters."""

    start: int
    end: int
    kind: str
    """`email address`, `AWS key` …: in words, to be shown."""


def apart(spans: Iterable[Span]) -> list[Span]:
    """In the order of the text; of those that overlap the first given is kept."""
    kept: list[Span] = []
    for span in spans:
        if all(span.end <= other.start or other.end <= span.start for other in kept):
            kept.append(span)
    return sorted(kept)


def mask(text: str, spans: Iterable[Span]) -> str:
    """The text with every span replaced by its kind: `write to [email address]`."""
    for span in sorted(spans, reverse=True):
        text = f"{text[: span.start]}[{span.kind}]{text[span.end :]}"
    return text


def hint(text: str, span: Span) -> str:
    """Enough of the span to find it in the text, and no more: at most the first four characters, a fifth of it."""
    return f"{text[span.start : span.start + min(4, (span.end - span.start) // 5)]}…"


def texts_of(example: Example) -> Iterator[str]:
    """Every text of a row that a model may see: all turns, and the arguments of calls as JSON."""
    turns: list[Message] = [
        *(example.messages or ()),
        *(example.prompt or ()),
        *(example.chosen or ()),
        *(example.rejected or ()),
    ]
    for turn in turns:
        if turn.content:
            yield turn.content
        if turn.tool_calls:
            yield _encode(turn.tool_calls).decode()
