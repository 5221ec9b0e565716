"""How the tests of row checks make rows and let a family see them, in one part or in several."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nlp_skills.data.checks.rows import Context, RowFamily, Rows
from nlp_skills.data.example import Example, Message, Meta, write_examples
from nlp_skills.data.report import Finding
from nlp_skills.task.task import Task, TaskType

FILES = ("data/train.jsonl", "data/valid.jsonl", "data/test.jsonl")


def make_task(type: TaskType = TaskType.CLASSIFICATION, language: str | None = None) -> Task:
    """A task of a type and a language."""
    return Task(name="t", type=type, goal="g", language=language, created="2026-11-21T08:00:00Z")


def row(
    text: str, answer: str = "up", *, group: str | None = None, system: str = "Classify.", **more: Any
) -> Example:
    """A question with its answer."""
    turns = [Message("system", system), Message("user", text), Message("assistant", answer)]
    return Example(meta=Meta("a", "s", group=group), messages=turns, **more)


def run_family(
    make: type[RowFamily],
    task: Task,
    folder: Path,
    *sides: Sequence[Example],
    parts: int = 1,
) -> RowFamily:
    """The family after it has seen train, valid and test, divided into so many parts that were seen apart."""
    files = {}
    for name, rows in zip(FILES, sides, strict=False):
        files[name] = folder / name
        files[name].parent.mkdir(exist_ok=True)
        write_examples(files[name], rows)
    context = Context(task, files)
    families: list[Any] = [make(context) for _ in range(parts)]
    seen = [(name, n, e) for name, side in zip(FILES, sides, strict=False) for n, e in enumerate(side, 1)]
    size = -(-len(seen) // parts) or 1
    for start, family in zip(range(0, len(seen), size), families, strict=False):
        for name in files:
            some = [(n, e) for file, n, e in seen[start : start + size] if file == name]
            if some:
                family.see(Rows(name, [n for n, _ in some], [e for _, e in some]))
    first, *later = families
    for family in later:
        first.merge(family)
    return first


def found_rows(findings: Sequence[Finding]) -> dict[str, list[str]]:
    """Check → `train:3` of the rows that are shown, in order; checks that found more than they show are left out."""
    shown: dict[str, list[str]] = {}
    for finding in findings:
        places = [f"{Path(r.file).stem}:{r.line}" for r in finding.rows]
        assert finding.count == len(places) or len(places) == 5
        shown.setdefault(finding.check, []).extend(places)
    return shown
