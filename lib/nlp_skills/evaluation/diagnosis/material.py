"""What a diagnosis is made from: the files of a task and of one of its versions, read once.

What is not there, or speaks of other data, is None, and `missing` says why: a look that needs it is told as not
checked, never as passed.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from nlp_skills.data.checked import is_of_present_data, last_report
from nlp_skills.data.example import Example, read_examples
from nlp_skills.data.excerpt import excerpt
from nlp_skills.data.report import ValidationReport
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.evaluation.diagnosis.record import ShownRow
from nlp_skills.evaluation.results import EvalResult, Prediction
from nlp_skills.records import sha256_file
from nlp_skills.task.task import Task
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import Job
from nlp_skills.training.model_info import ModelInfo
from nlp_skills.training.run.metrics_log import read_metrics

MOST_ROWS = 20_000
"""Training rows that are looked at; of more, a seeded sample."""
TEXT_SHOWN = 200


@dataclass(frozen=True)
class Material:
    """One version's records and rows."""

    task: Path
    folder: Path
    split: str
    definition: Task
    config: TrainConfig
    snapshot: DataSnapshot
    train: list[Example] | None = None
    train_count: int = 0
    """Rows in the file, of which `train` may be a sample."""
    tested: list[Example] | None = None
    """The rows of the split, in the order of the predictions."""
    predictions: list[Prediction] | None = None
    results: EvalResult | None = None
    report: ValidationReport | None = None
    job: Job | None = None
    info: ModelInfo | None = None
    metrics: list[dict[str, Any]] | None = None
    missing: dict[str, str] = field(default_factory=dict)
    """Name of a field that is None → why."""

    @property
    def name(self) -> str:
        """The task's."""
        return self.task.name

    @property
    def version(self) -> str:
        """v1, v2 …"""
        return self.folder.name

    @property
    def model(self) -> str:
        """Where the trained model lies, as a person finds it."""
        return self.info.path if self.info else f"models/{self.version}"

    @property
    def train_file(self) -> str:
        """As evidence names it."""
        return "data/train.jsonl"

    @property
    def split_file(self) -> str:
        """As evidence names it."""
        return f"data/{self.split}.jsonl"

    @property
    def predictions_file(self) -> str:
        """As evidence names it."""
        return f"versions/{self.version}/predictions{self._suffix}.jsonl"

    @property
    def results_file(self) -> str:
        """As evidence names it."""
        return f"versions/{self.version}/results{self._suffix}.json"

    @property
    def metrics_file(self) -> str:
        """As evidence names it."""
        return f"versions/{self.version}/metrics.jsonl"

    @property
    def on_split(self) -> str:
        """The option of `evaluate-version` that this split takes."""
        return "" if self.split == "test" else f" --split {self.split}"

    @property
    def _suffix(self) -> str:
        return "" if self.split == "test" else f"_{self.split}"

    @property
    def train_seconds(self) -> float | None:
        """What this version's run took."""
        return self.job.cost.seconds if self.job and self.job.cost else None

    @property
    def train_usd(self) -> float | None:
        """What this version's run cost; nothing on this machine."""
        return self.job.cost.usd if self.job and self.job.cost else None

    @property
    def test_seconds(self) -> float | None:
        """What answering the split took, baselines apart."""
        spent = [row.milliseconds for row in self.predictions or [] if row.milliseconds is not None]
        return sum(spent) / 1000 if spent else None

    @property
    def wrong(self) -> list[Prediction]:
        """The rows that were answered wrongly."""
        return [row for row in self.predictions or [] if not row.correct]


def show_prediction(material: Material, row: Prediction, note: str = "") -> ShownRow:
    """A test row as evidence."""
    said = note or f"expected {excerpt(row.expected, 60)!r}, answered {excerpt(row.predicted, 60)!r}"
    return ShownRow(file=material.split_file, id=row.id, text=excerpt(row.input, TEXT_SHOWN), note=said)


def show_example(file: str, row: Example, note: str) -> ShownRow:
    """A row of a split as evidence."""
    return ShownRow(file=file, id=row.meta.id, text=excerpt(row.input_text, TEXT_SHOWN), note=note)


def read_material(task: Path, folder: Path, split: str) -> Material:
    """Read what is there. Raises NotFound or NotValid for records without which there is no version."""
    snapshot = DataSnapshot.load(folder / "data_snapshot.json")
    missing: dict[str, str] = {}
    found: dict[str, Any] = {}
    train, count = _rows(task, snapshot, "train", missing)
    found |= {"train": train, "train_count": count}
    found["predictions"] = predictions = _predictions(task, folder, split, missing)
    tested, _ = _rows(task, snapshot, split, missing)
    found["tested"] = _in_order(tested, predictions, split, missing)
    suffix, on_split = ("", "") if split == "test" else (f"_{split}", f" --split {split}")
    for name, kind, file, cure, option in (
        ("results", EvalResult, f"results{suffix}.json", "evaluate-version", on_split),
        ("job", Job, "job.json", "train-model", ""),
        ("info", ModelInfo, "model_info.json", "train-model", ""),
    ):
        if (folder / file).is_file():
            found[name] = kind.load(folder / file)
        else:
            missing[name] = (
                f"versions/{folder.name}/{file} is not there: nlp-skills {cure} {task.name} --version {folder.name}{option}"
            )
    found["metrics"] = read_metrics(folder / "metrics.jsonl") or None
    if found["metrics"] is None:
        missing["metrics"] = (
            f"versions/{folder.name}/metrics.jsonl has no line: the version was not trained here"
        )
    found["report"] = _report(task, missing)
    return Material(
        task=task,
        folder=folder,
        split=split,
        definition=Task.load(task / "task.yaml"),
        config=TrainConfig.load(folder / "config.yaml"),
        snapshot=snapshot,
        missing=missing,
        **found,
    )


def _rows(
    task: Path, snapshot: DataSnapshot, split: str, missing: dict[str, str]
) -> tuple[list[Example] | None, int]:
    """The rows of a split as the version was made for, a sample where they are very many; and how many there are."""
    name = "train" if split == "train" else "tested"
    file = task / "data" / f"{split}.jsonl"
    known = snapshot.splits.get(split)
    if known is None:
        missing[name] = f"the version has no {split} rows"
        return None, 0
    if not file.is_file() or sha256_file(file) != known.sha256:
        missing[name] = f"data/{split}.jsonl is not the file that the version was made for"
        return None, known.count
    if split != "train" or known.count <= MOST_ROWS:
        return list(read_examples(file)), known.count
    kept = set(random.Random(13).sample(range(known.count), MOST_ROWS))
    return [row for number, row in enumerate(read_examples(file)) if number in kept], known.count


def _predictions(task: Path, folder: Path, split: str, missing: dict[str, str]) -> list[Prediction] | None:
    suffix = "" if split == "test" else f"_{split}"
    file = folder / f"predictions{suffix}.jsonl"
    if not file.is_file():
        missing["predictions"] = (
            f"{folder.name} was not tested on {split}: nlp-skills evaluate-version {task.name} --version {folder.name}"
            + ("" if split == "test" else f" --split {split}")
        )
        return None
    decoder = msgspec.json.Decoder(Prediction)
    try:
        return [decoder.decode(line) for line in file.read_bytes().splitlines()] or None
    except msgspec.DecodeError as error:
        missing["predictions"] = f"versions/{folder.name}/{file.name} cannot be read: {error}"
        return None


def _in_order(
    rows: list[Example] | None, predictions: list[Prediction] | None, split: str, missing: dict[str, str]
) -> list[Example] | None:
    """The rows that were asked, each beside its prediction; None where they do not belong to each other."""
    if rows is None or predictions is None:
        missing.setdefault("tested", missing.get("predictions", ""))
        return None
    by_id = {row.meta.id: row for row in rows}
    if any(row.id not in by_id for row in predictions):
        missing["tested"] = f"the predictions are of other rows than data/{split}.jsonl has"
        return None
    return [by_id[row.id] for row in predictions]


def _report(task: Path, missing: dict[str, str]) -> ValidationReport | None:
    report = last_report(task)
    if report is not None and is_of_present_data(report, task):
        return report
    missing["report"] = (
        f"the present data were not checked: nlp-skills validate-data {task.name}"
        if report is None
        else f"the data were changed since they were checked: nlp-skills validate-data {task.name}"
    )
    return None
