"""Whether every file of a task can be read, by the readers of the library."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from nlp_skills.data.example import read_examples
from nlp_skills.data.report import ValidationReport
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.data.sources.source import DataSources
from nlp_skills.evaluation.diagnosis.record import Diagnosis
from nlp_skills.evaluation.results import EvalResult
from nlp_skills.evaluation.tool_use.record import ToolUseResult
from nlp_skills.task.registry import Registry
from nlp_skills.task.task import Task
from nlp_skills.task.version import Version, derive_lineage
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import Job
from nlp_skills.training.model_info import ModelInfo
from nlp_skills.training.preflight.check import PreflightReport
from nlp_skills.training.run.metrics_log import read_metrics


def as_derived(file: Path) -> None:
    """lineage.yaml says what the files beside it say."""
    lineage = Version.load(file)
    derived = derive_lineage(file.parent, lineage.version, lineage.created, lineage.parent, lineage.changes)
    assert lineage == derived, file


READERS: dict[str, Callable[[Path], Any]] = {
    "task.yaml": Task.load,
    "data_source.yaml": DataSources.load,
    "registry.json": Registry.load,
    "data/validation.json": ValidationReport.load,
    "data/*snapshot.json": DataSnapshot.load,
    "data/t*.jsonl": lambda file: list(read_examples(file)),
    "data/valid.jsonl": lambda file: list(read_examples(file)),
    "versions/*/config.yaml": TrainConfig.load,
    "versions/*/data_snapshot.json": DataSnapshot.load,
    "versions/*/lineage.yaml": as_derived,
    "versions/*/job.json": Job.load,
    "versions/*/preflight.json": PreflightReport.load,
    "versions/*/metrics.jsonl": read_metrics,
    "versions/*/results*.json": EvalResult.load,
    "versions/*/diagnosis.json": Diagnosis.load,
    "versions/*/model_info.json": ModelInfo.load,
    "benchmarks/tool_use/*.json": ToolUseResult.load,
}
"""Place in a task → its reader; raises where the file is not valid."""
SYNTAX: dict[str, Callable[[str], Any]] = {
    ".json": json.loads,
    ".yaml": yaml.safe_load,
    ".jsonl": lambda text: [json.loads(line) for line in text.splitlines()],
}
"""Any other file is at least what its name says."""


def read_everything(task: Path) -> list[str]:
    """The files of a task that a reader of its own has read; raises for one that is not valid or not finished."""
    read: list[str] = []
    for file in files(task):
        name = file.relative_to(task)
        assert not name.name.endswith(".tmp"), name
        reader = next(
            (reader for place, reader in READERS.items() if name.match(place) and same_depth(name, place)),
            None,
        )
        if reader is not None:
            reader(file)
            read.append(name.as_posix())
        elif file.suffix in SYNTAX:
            SYNTAX[file.suffix](file.read_text(encoding="utf-8"))
    return read


def same_depth(name: Path, place: str) -> bool:
    return len(name.parts) == len(Path(place).parts)


def files(task: Path) -> Iterator[Path]:
    return (path for path in sorted(task.rglob("*")) if path.is_file())
