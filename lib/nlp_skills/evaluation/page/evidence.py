"""What the page is made from: the records of a task, and of its versions up to the one that it is about."""

from __future__ import annotations

from dataclasses import dataclass, field

from nlp_skills.data.report import ValidationReport
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.data.sources.source import DataSources
from nlp_skills.evaluation.charts import Curve
from nlp_skills.evaluation.results import EvalResult, Prediction
from nlp_skills.task.comparison import Comparison
from nlp_skills.task.task import Task
from nlp_skills.task.version import Version
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import Job
from nlp_skills.training.model_info import ModelInfo

MOST_WRONG = 10_000
"""Wrong predictions that the page carries; a file of predictions may hold any number."""


@dataclass(frozen=True)
class Attempt:
    """A version and what is known of it; what is None or empty has not happened yet."""

    version: str
    parent: str | None = None
    config: TrainConfig | None = None
    snapshot: DataSnapshot | None = None
    lineage: Version | None = None
    job: Job | None = None
    curve: Curve = field(default_factory=Curve)
    result: EvalResult | None = None
    model: ModelInfo | None = None


@dataclass(frozen=True)
class Predictions:
    """The predictions of one version: how many there are, and those that are wrong."""

    count: int
    wrong_count: int
    wrong: list[Prediction]
    """The first MOST_WRONG of them."""


@dataclass(frozen=True)
class Evidence:
    """Everything that the page shows. `attempts` end with the version that it is about."""

    task: Task
    attempts: list[Attempt]
    sources: DataSources | None = None
    validation: ValidationReport | None = None
    comparison: Comparison | str | None = None
    """Of the last version against its parent, or why there is none."""
    predictions: Predictions | None = None
    scripts: list[str] = field(default_factory=list)
    """The task's numbered scripts, relative to the task folder."""

    @property
    def latest(self) -> Attempt:
        """The version that the page is about."""
        return self.attempts[-1]
