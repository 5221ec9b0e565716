"""What a page is made from: the records of a task, and of its versions up to the one that it is about."""

from __future__ import annotations

from dataclasses import dataclass, field

from nlp_skills.data.report import ValidationReport
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.data.sources.source import DataSources
from nlp_skills.evaluation.diagnosis.record import Diagnosis
from nlp_skills.evaluation.loss_chart import Curve
from nlp_skills.evaluation.promotion import Promotion
from nlp_skills.evaluation.results import EvalResult, Prediction
from nlp_skills.evaluation.tool_use.record import ToolUseResult
from nlp_skills.evaluation.verdict import is_higher_better
from nlp_skills.task.comparison import Comparison
from nlp_skills.task.task import Task
from nlp_skills.task.version import Version
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import Job
from nlp_skills.training.model_info import ModelInfo

MOST_ROWS = 10_000
"""Predictions that the page carries, the wrong ones first; a file of predictions may hold any number."""


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
    """The predictions of one version: how many there are, and those that the page carries."""

    count: int
    wrong_count: int
    rows: list[Prediction]
    """The first MOST_ROWS, the wrong ones first."""


@dataclass(frozen=True)
class Evidence:
    """Everything that a page shows. `attempts` end with the version that it is about."""

    task: Task
    attempts: list[Attempt]
    sources: DataSources | None = None
    validation: ValidationReport | None = None
    comparison: Comparison | str | None = None
    """Of the last version against its parent, or why there is none."""
    promotion: Promotion | str | None = None
    """Whether it may go to users, or why that cannot be told."""
    diagnosis: Diagnosis | None = None
    diagnosis_is_old: bool = False
    """The version was tested again since."""
    tools: list[ToolUseResult] = field(default_factory=list)
    """How well the last version and the base model call tools, the oldest first."""
    predictions: Predictions | None = None
    scripts: list[str] = field(default_factory=list)
    """The task's numbered scripts, relative to the task folder."""

    @property
    def latest(self) -> Attempt:
        """The version that the page is about."""
        return self.attempts[-1]

    @property
    def metric(self) -> str:
        """The one that decides: the task's, or what the version was judged by where that could not be measured."""
        chosen, result = self.task.chosen_metric, self.latest.result
        return chosen if result is None or chosen in result.metrics or not result.metric else result.metric

    @property
    def best(self) -> Attempt | None:
        """The version with the best value, of those tested on the file that the newest test used; None without a test."""
        tested = [a for a in self.attempts if a.result is not None and self.metric in a.result.metrics]
        file = tested[-1].result.data_sha256 if tested and tested[-1].result else ""
        sign = 1 if is_higher_better(self.metric) else -1
        values = {
            a.version: sign * a.result.metrics[self.metric].value
            for a in tested
            if a.result is not None and a.result.data_sha256 == file
        }
        return max((a for a in tested if a.version in values), key=lambda a: values[a.version], default=None)
