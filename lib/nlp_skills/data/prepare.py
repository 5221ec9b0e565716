"""Rows in memory, without a task folder: read them from a file, convert them whatever their shape."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from nlp_skills.data.example import Example
from nlp_skills.data.format import Layout, Shape, detect_layout, to_example
from nlp_skills.data.sources.file import read_file
from nlp_skills.data.sources.source import Columns
from nlp_skills.errors import NotValid, counted
from nlp_skills.task.task import Task, TaskType


def load_training_data(path: str | Path) -> list[dict[str, Any]]:
    """The rows of a file (JSONL, JSON, CSV, TSV, Parquet, Excel). Raises NotFound, or NotValid with the line."""
    return [row for _, row in read_file(Path(path))]


def prepare_dataset(
    rows: Iterable[Mapping[str, Any] | Example],
    *,
    type: TaskType | None = None,
    instruction: str | None = None,
    columns: Columns | None = None,
) -> list[Example]:
    """Rows in any known shape (chat, ShareGPT, Alpaca, question and answer, text and label) as examples.

    `type` and `columns` are detected when not given. `instruction` is the system prompt; a
    classification without one gets its labels as the prompt. Raises NotValid with the first five bad rows.
    """
    listed = list(rows)
    ready = [row for row in listed if isinstance(row, Example)]
    if len(ready) == len(listed):
        return ready
    given = [dict(row) for row in listed if not isinstance(row, Example)]
    layout = detect_layout(given[:200], columns or Columns(), type)
    task = Task(
        name="dataset",
        type=type or _type_of(layout),
        goal="",
        instruction=instruction,
        created="",
    )
    examples = _convert(given, layout, task)
    if task.type.has_labels and instruction is None:
        labels = sorted({e.meta.label for e in examples if e.meta.label is not None})
        examples = _convert(given, layout, task.with_changes(labels=labels))
    return [*ready, *examples]


def _type_of(layout: Layout) -> TaskType:
    if layout.shape is not Shape.TEXT_LABEL:
        return TaskType.GENERATION
    return TaskType.ENTITY_CLASSIFICATION if layout.columns.entity else TaskType.CLASSIFICATION


def _convert(rows: list[dict[str, Any]], layout: Layout, task: Task) -> list[Example]:
    examples: list[Example] = []
    bad: list[str] = []
    for number, row in enumerate(rows, start=1):
        try:
            examples.append(to_example(row, layout, task=task, source="rows", line=number))
        except NotValid as error:
            bad.append(f"row {number}: {error}")
    if bad:
        raise NotValid(f"{counted(len(bad), 'row')} cannot be used. {' '.join(bad[:5])}")
    return examples
