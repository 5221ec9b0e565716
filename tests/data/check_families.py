"""Running one family of checks over rows or files, as a validation does."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeVar

from nlp_skills.data.checks import Family
from nlp_skills.data.checks.reading import Reader
from nlp_skills.data.checks.rows import Context, RowFamily, Rows
from nlp_skills.data.example import Example, Message, Meta, encode
from nlp_skills.data.prepare import load_training_data, prepare_dataset
from nlp_skills.data.report import Finding
from nlp_skills.task.task import Task, TaskType

TRAIN, VALID, TEST = "data/train.jsonl", "data/valid.jsonl", "data/test.jsonl"

OfRows = TypeVar("OfRows", bound=RowFamily)
OfFiles = TypeVar("OfFiles", bound=Family)


def make_task(type: str = "generation", **fields: Any) -> Task:
    return Task.parse({"name": "t", "type": type, "goal": "Help.", "created": "now", **fields}, "the test")


def chat(question: str, answer: str, label: str | None = None, **meta: Any) -> Example:
    said = [Message("user", question), Message("assistant", answer)]
    return Example(meta=Meta(id=question[:40], source="s", label=label, **meta), messages=said)


def pair(question: str, chosen: str, rejected: str) -> Example:
    return Example(
        meta=Meta(id=question, source="s"),
        prompt=[Message("user", question)],
        chosen=[Message("assistant", chosen)],
        rejected=[Message("assistant", rejected)],
    )


def over_rows(family: type[OfRows], examples: Sequence[Example], task: Task) -> OfRows:
    """The family after it saw the examples in two parts, as two processes would, which were merged."""
    context, half = Context(task, {}), len(examples) // 2
    first, later = family(context), family(context)
    first.see(Rows(TRAIN, range(1, half + 1), examples[:half]))
    later.see(Rows(TRAIN, range(half + 1, len(examples) + 1), examples[half:]))
    first.merge(later)
    return first


def over_files(
    family: type[OfFiles], folder: Path, task: Task, *, context: dict[str, Any] | None = None, **splits: Any
) -> OfFiles:
    """The family after it saw files with these examples."""
    files = {f"data/{split}.jsonl": folder / f"{split}.jsonl" for split in splits}
    for name, path in files.items():
        split = name.removeprefix("data/").removesuffix(".jsonl")
        path.write_bytes(b"".join(encode(example) + b"\n" for example in splits[split]))
    reader = Reader(files, task)
    made = family(Context(task, files, **(context or {})), reader)
    for batch in reader.batches():
        made.see(batch)
    return made


def real_examples(path: Path, type: str) -> list[Example]:
    """A real file's rows as examples."""
    return prepare_dataset(load_training_data(path), type=TaskType(type))


def lines(finding: Finding) -> list[int]:
    return [row.line for row in finding.rows]
