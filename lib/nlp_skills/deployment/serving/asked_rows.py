"""The rows of a file of new texts, as the questions that the task's training rows were: everything but the answer.

texts, one a line ──┐
a table of texts    ├──▶ the layout of the task's own source, with an answer to be found ──▶ Example
conversations ──────┘
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from nlp_skills.data.convert import read_layout
from nlp_skills.data.example import Example
from nlp_skills.data.format import to_example
from nlp_skills.data.shape import Layout, Shape
from nlp_skills.data.sources.file import read_file
from nlp_skills.data.sources.source import Columns, DataSources
from nlp_skills.data.turns import read_turns
from nlp_skills.errors import NotValid, did_you_mean
from nlp_skills.task.task import Task, TaskType

ANSWER = "the answer that is asked for"
"""A column of ours, in a row that has none yet."""

TEXTS = ("text", "prompt", "question", "input", "instruction", "sentence", "content", "query", "message")
"""What the column with the text is called, where the task's own data has another name for it."""

CONVERSATIONS = ("messages", "conversations", "conversation")


def read_asked(
    task: Path, file: Path, text: str | None = None, entity: str | None = None
) -> Iterator[Example]:
    """A row after the other; `text` and `entity` name columns. Raises NotFound, or NotValid with the row."""
    definition = Task.load(task / "task.yaml")
    known = _known_layout(task, definition)
    layout: Layout | None = None
    for number, (_, row) in enumerate(read_file(file), start=1):
        layout = layout or asked_layout(row, known, definition, text, entity)
        try:
            yield to_example(
                _with_answer(row, layout), layout, task=definition, source=file.stem, line=number
            )
        except NotValid as error:
            raise NotValid(f"{file}, row {number}: {error}.") from None


def _known_layout(task: Path, definition: Task) -> Layout | None:
    """How the task's first source is laid out; None where its rows are not here any more."""
    raw = task / "data" / "raw"
    for source in DataSources.load(task / "data_source.yaml").sources:
        if (raw / f"{source.name}.jsonl").is_file():
            return read_layout(source, raw, definition)
    return None


def asked_layout(
    row: Mapping[str, Any],
    known: Layout | None,
    task: Task,
    text: str | None = None,
    entity: str | None = None,
) -> Layout:
    """Which column of such a row plays which part. Raises NotValid with the columns that are there."""
    columns = known.columns if known else Columns()
    if text is None:
        for name in dict.fromkeys((columns.messages, *CONVERSATIONS)):
            if name and read_turns(row.get(name)):
                return Layout(Shape.MESSAGES, Columns(messages=name), "a conversation in each row")
    found = _text_column(row, text, columns.text if task.type.has_labels else columns.prompt)
    if task.type.has_labels:
        about = entity or next((name for name in (columns.entity, "entity") if name in row), None)
        if task.type is TaskType.ENTITY_CLASSIFICATION and about not in row:
            raise NotValid(f"The rows have no column with the entity. Name it with --entity. {_there(row)}")
        about = about if task.type is TaskType.ENTITY_CLASSIFICATION else None
        return Layout(Shape.TEXT_LABEL, Columns(text=found, label=ANSWER, entity=about), "a text in each row")
    shape = Shape.ALPACA if known and known.shape is Shape.ALPACA else Shape.PROMPT_COMPLETION
    context = columns.text if columns.text in row and columns.text != found else None
    return Layout(shape, Columns(prompt=found, completion=ANSWER, text=context), "a question in each row")


def _text_column(row: Mapping[str, Any], given: str | None, own: str | None) -> str:
    if given is not None:
        if given not in row:
            raise NotValid(f"There is no column {given!r}{did_you_mean(given, row)}. {_there(row)}")
        return given
    lower = {name.lower(): name for name in row}
    for name in (own, *TEXTS):
        if name and name.lower() in lower:
            return lower[name.lower()]
    if len(row) == 1:
        return next(iter(row))
    raise NotValid(f"Which column holds the text? Name it with --text. {_there(row)}")


def _there(row: Mapping[str, Any]) -> str:
    return f"Columns: {', '.join(map(str, row))}."


def _with_answer(row: Mapping[str, Any], layout: Layout) -> dict[str, Any]:
    """The row with a place for its answer; an answer that stands at the end of a conversation is taken away."""
    if layout.columns.messages is None:
        return {**row, ANSWER: "?"}
    turns = list(read_turns(row.get(layout.columns.messages)) or [])
    if turns and str(turns[-1].get("role", turns[-1].get("from"))).lower() in ("assistant", "gpt"):
        turns.pop()
    return {**row, layout.columns.messages: [*turns, {"role": "assistant", "content": "?"}]}
