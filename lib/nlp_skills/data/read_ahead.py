"""What a source whose rows a model writes may know of the sources that are read before it: labels, and rows to show.

    raw rows of the others ──assemble, on the side──▶ their labels, train.jsonl ──▶ {label} and {examples} of a prompt

Needed where the data before do not tell it: at the first regeneration, and after such sources were added.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nlp_skills.data.assemble import assemble_data
from nlp_skills.data.example import read_examples
from nlp_skills.data.snapshot import SourceSnapshot
from nlp_skills.data.sources.source import DataSource, DataSources, GeneratedSource
from nlp_skills.records import Progress
from nlp_skills.task.task import Task


@dataclass(frozen=True)
class Known:
    """What the rows of the other sources say."""

    labels: list[str] = field(default_factory=list)
    train: Path | None = None
    """Their training rows; None: those of the data before will do."""


def in_reading_order(sources: Sequence[DataSource]) -> list[DataSource]:
    """Those that a model writes come last, whatever their rank: it is shown what the others hold."""
    return sorted(sources, key=lambda source: isinstance(source, GeneratedSource))


def look_at_others(
    task: Path,
    sources: DataSources,
    fetched: Mapping[str, SourceSnapshot],
    staging: Path,
    progress: Progress,
) -> Known:
    """Labels and training rows of the sources that were read, where a generated source asks for what is not known yet.

    What is made for it lies in `staging`/ahead, which the caller removes. A task's own labels stay as they are.
    Raises NotValid as assemble_data does.
    """
    definition = Task.load(task / "task.yaml")
    read = [source for source in sources.sources if source.name in fetched]
    if not read or not _is_asked_for(task, definition, sources, read):
        return Known(definition.labels)
    ahead = staging / "ahead"
    (ahead / "raw").mkdir(parents=True)
    for source in read:
        shutil.copyfile(staging / "raw" / f"{source.name}.jsonl", ahead / "raw" / f"{source.name}.jsonl")
    alone = sources.with_changes(sources=[source.model_dump() for source in read])
    _, labelled = assemble_data(ahead / "none", definition, alone, dict(fetched), ahead, progress, ray=False)
    return Known(labelled.labels, ahead / "train.jsonl")


def _is_asked_for(task: Path, definition: Task, sources: DataSources, read: Sequence[DataSource]) -> bool:
    """Whether a template has {label} without labels, or {examples} without training rows of the sources read."""
    templates = [source.prompt_template for source in sources.sources if isinstance(source, GeneratedSource)]
    if any("{label}" in template for template in templates) and not definition.labels:
        return definition.type.has_labels
    if not any("{examples}" in template for template in templates):
        return False
    train, names = task / "data" / "train.jsonl", {source.name for source in read}
    return not train.is_file() or not any(row.meta.source in names for row in read_examples(train))
