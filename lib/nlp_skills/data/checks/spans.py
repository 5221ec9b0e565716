"""DATA-SPAN: offsets that do not point at the text which they name, and entities that the text does not hold.

    {"text": "Ada", "start": 0, "end": 3}      in an answer that is JSON: characters of the user's last turn
    meta.origin.answer_start                   of a SQuAD row: where the answer begins in its context
    meta.entity                                of a task that judges entities

An input may hold more than the text that was counted in: a question, a heading. So the offsets of a row
are right if they all fit from the start of one and the same line on. `end` may be the last character or
the one behind it, the same for the whole row. Offsets without their text are compared with its length.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from typing import Any, ClassVar, NamedTuple

import msgspec

from nlp_skills.data.checks.rows import Context, Rows
from nlp_skills.data.checks.tally import Tally
from nlp_skills.data.example import Example
from nlp_skills.data.report import DoesNotApply, Finding
from nlp_skills.task.task import TaskType

_STARTS = ("start", "begin", "start_offset", "start_char", "char_start", "start_index")
_ENDS = ("end", "stop", "end_offset", "end_char", "char_end", "end_index")
_TEXTS = ("text", "span", "mention", "surface", "word", "entity", "value", "name")
_KINDS = ("label", "type", "tag", "category", "entity_type", "entity_group")


class Span(NamedTuple):
    """Characters of a text, and what stands there; None where that is not said."""

    start: int
    end: int | None
    """None: as long as the text."""
    text: str | None


class Spans:
    """Compares the offsets and the entity of each row with its text."""

    checks: ClassVar[tuple[str, ...]] = ("DATA-SPAN",)

    def __init__(self, context: Context, /) -> None:
        self._by_entity = context.task.type is TaskType.ENTITY_CLASSIFICATION
        self._looked_at = 0
        self._offsets = Tally(
            "DATA-SPAN",
            "error",
            "Offsets that do not match the text: {rows}.",
            "Count the offsets anew at their source, in characters (not bytes or tokens) of the text as it is used",
        )
        self._entities = Tally(
            "DATA-SPAN",
            "warning",
            "The text does not hold the entity: {rows}.",
            "Name the entity as the text does, or drop the rows that speak of something else",
        )

    def see(self, rows: Rows) -> None:
        """Take in the next rows."""
        for line, example in zip(rows.lines, rows.examples, strict=True):
            if spans := spans_of(example):
                self._looked_at += 1
                if problem := span_problem(spans, last_question(example)):
                    self._offsets.add(rows.file, line, problem)
            if self._by_entity and example.meta.entity:
                self._looked_at += 1
                text = last_question(example)
                if not holds_entity(text, example.meta.entity):
                    self._entities.add(rows.file, line, f"{example.meta.entity!r} in: {_own_text(text)}")

    def merge(self, later: Spans) -> None:
        """Take in what another process has seen of later rows."""
        self._looked_at += later._looked_at
        self._offsets.merge(later._offsets)
        self._entities.merge(later._entities)

    def findings(self) -> list[Finding]:
        """One finding for offsets, one for entities."""
        return [*self._offsets.findings(), *self._entities.findings()]

    def not_run(self) -> dict[str, str]:
        """There has to be an offset or an entity."""
        return {} if self._looked_at else {"DATA-SPAN": DoesNotApply("no row has offsets or an entity")}


def last_question(example: Example) -> str:
    """The user's last turn."""
    return next((turn.content or "" for turn in reversed(example.context) if turn.role == "user"), "")


def spans_of(example: Example) -> list[Span]:
    """The offsets that a row's answer holds, or that its source gave for it."""
    answer = example.output_text
    start = (example.meta.origin or {}).get("answer_start")
    if isinstance(start, int) and not isinstance(start, bool):
        return [Span(start, None, answer)]
    if answer.lstrip()[:1] not in ("{", "[") or example.answer.tool_calls:
        return []
    try:
        return list(_spans_in(msgspec.json.decode(answer)))
    except (msgspec.DecodeError, RecursionError):
        return []


def _spans_in(value: Any) -> Iterator[Span]:
    if isinstance(value, list):
        for item in value:
            yield from _spans_in(item)
    elif isinstance(value, dict):
        span = _span(value)
        if span is not None:
            yield span
        else:
            for item in value.values():
                yield from _spans_in(item)


def _span(value: dict[str, Any]) -> Span | None:
    """The object as a span: it has a start and an end, and a text or a kind."""
    start, end = (_first(value, names, int) for names in (_STARTS, _ENDS))
    if start is None or end is None:
        return None
    text = _first(value, _TEXTS, str)
    return Span(start, end, text) if text is not None or _first(value, _KINDS, str) is not None else None


def _first(value: dict[str, Any], names: tuple[str, ...], kind: type) -> Any:
    return next((value[name] for name in names if type(value.get(name)) is kind), None)


def span_problem(spans: list[Span], text: str) -> str | None:
    """Why these offsets do not fit the text; None when they do."""
    for span in spans:
        if span.start < 0 or (span.end is not None and span.end < span.start):
            return f"from {span.start} to {span.end} is no part of a text"
        if (span.end or span.start) > len(text):
            return (
                f"{span.end or span.start} is behind the end of the text, which has {len(text):,} characters"
            )
    named = [span for span in spans if span.text is not None]
    if not named or any(
        all(_fits(span, text, base, inclusive) for span in named)
        for base in _bases(named[0], text)
        for inclusive in (0, 1)
    ):
        return None
    wrong = next((span for span in named if not any(_fits(span, text, 0, i) for i in (0, 1))), named[0])
    end = wrong.start + len(wrong.text or "") if wrong.end is None else wrong.end
    return f"from {wrong.start} to {end} stands {text[wrong.start : end]!r}, not {wrong.text!r}: {text}"


def _fits(span: Span, text: str, base: int, inclusive: int) -> bool:
    said = span.text or ""
    start = base + span.start
    ends_there = span.end is None or span.end - span.start + inclusive == len(said)
    return ends_there and text.startswith(said, start)


def _bases(span: Span, text: str) -> Iterator[int]:
    """Where the text that was counted in may begin: at the start, and at every line in which the span would fit."""
    yield 0
    at = text.find("\n")
    while at >= 0:
        if text.startswith(span.text or "", at + 1 + span.start):
            yield at + 1
        at = text.find("\n", at + 1)


def holds_entity(text: str, entity: str) -> bool:
    """Whether a text names an entity, however it is written: case, width and white space do not count."""
    return _plain(entity) in _plain(_own_text(text))


def _own_text(text: str) -> str:
    """Of `Entity: …` and `Text: …`, as entities are asked for, only the text."""
    head, found, rest = text.partition("\nText: ")
    return rest if found and head.startswith("Entity: ") else text


def _plain(text: str) -> str:
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())
