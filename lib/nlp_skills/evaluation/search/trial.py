"""One trial of a search: a version of the task whose run is started, followed, and ended early where it is behind."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

from nlp_skills.data.present import describe_data, hash_files
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.errors import NotValid, RunFailed
from nlp_skills.evaluation.evaluate import evaluate_version
from nlp_skills.evaluation.search.record import SearchDefinition
from nlp_skills.task.version import Version, describe_changes, trial_words, version_names
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.defaults import with_defaults
from nlp_skills.training.job import is_running, read_job
from nlp_skills.training.new_version import create_version
from nlp_skills.training.present_job import KILLED
from nlp_skills.training.run.metrics_log import read_metrics
from nlp_skills.training.targets.local import start_run, stop_run

MOST_KILLS = 2
"""A run that is killed more often is not started again: it will be memory that is missing."""


class Look(NamedTuple):
    """One evaluation of a run that goes on."""

    hundredths: int
    """Of an epoch: trials with another batch size have seen as many rows."""
    loss: float


def trial_version(task: Path, definition: SearchDefinition, number: int, settings: dict[str, Any]) -> str:
    """The version of a trial, made if it is not there: the parent itself where it is trained and nothing differs.

    Raises NotValid for settings that cannot be trained, RunFailed where the data have changed.
    """
    words = trial_words(number, definition.key)
    for name in reversed(version_names(task)):
        if Version.load(task / "versions" / name / "lineage.yaml").changes[:1] == [words]:
            return name
    snapshot = describe_data(task / "data", hash_files(task / "data"))
    if snapshot is None or snapshot.source_hash != definition.source_hash:
        raise RunFailed(
            f"{task.name}: the data have changed since this search began, so its trials could not be compared."
            f" Begin a new one: nlp-skills search-settings {task.name} --confirm"
        )
    parent = TrainConfig.load(task / "versions" / definition.parent / "config.yaml")
    config = with_defaults(parent, settings, snapshot.splits["train"].count)
    changes = describe_changes(parent.model_dump(mode="json"), config.model_dump(mode="json"))
    if not changes and _is_trained_on(task, definition.parent, snapshot):
        return definition.parent
    return create_version(
        task, parent=definition.parent, changes=[words, *(changes or ["nothing changed"])], settings=settings
    ).version


def _is_trained_on(task: Path, version: str, snapshot: DataSnapshot) -> bool:
    folder = task / "versions" / version
    job = read_job(folder)
    same = DataSnapshot.load(folder / "data_snapshot.json").splits == snapshot.splits
    return same and job is not None and job.status == "succeeded"


class Attempt:
    """The run of a trial's version, started or found running."""

    def __init__(self, task: Path, version: str) -> None:
        self.task = task
        self.version = version
        self.folder = task / "versions" / version
        self.process: subprocess.Popen[Any] | None = None
        self.kills = 0
        job = read_job(self.folder)
        if not is_running(self.folder) and (job is None or job.status not in ("succeeded", "failed")):
            self._start()

    def _start(self) -> None:
        self.process = start_run(self.task, self.folder)

    def looks(self) -> list[Look]:
        """The evaluations so far."""
        rows = read_metrics(self.folder / "metrics.jsonl")
        return [Look(round(100 * row["epoch"]), row["eval_loss"]) for row in rows if "eval_loss" in row]

    def ended(self) -> bool:
        """Whether the run has come to an end of its own; one that was killed is started again."""
        if is_running(self.folder) or (self.process is not None and self.process.poll() is None):
            return False
        job = read_job(self.folder)
        if job is not None and job.status in ("queued", "running"):
            self.kills += 1
            if self.kills <= MOST_KILLS:
                self._start()
                return False
        return True

    def error(self) -> str | None:
        """Why it has no model; None where it has one."""
        job = read_job(self.folder)
        if job is None or job.status in ("queued", "running"):
            return KILLED
        if job.status == "cancelled":
            return "Its run was stopped by hand."
        return job.error if job.status == "failed" else None

    def value(self, metric: str) -> float:
        """What the trial has come to. Raises NotValid where its run has not measured that."""
        if not metric.startswith("eval_"):
            measured = evaluate_version(self.task, version=self.version, split="valid").metrics
            if metric not in measured:
                raise NotValid(
                    f"{self.version} was not judged by {metric} on the validation rows. Measured: {', '.join(measured)}."
                )
            return measured[metric].value
        rows = [row for row in read_metrics(self.folder / "metrics.jsonl") if metric in row]
        job = read_job(self.folder)
        kept = job.kept_step if job else None
        if kept is not None:
            rows = [row for row in rows if row["step"] == kept] or rows
        if not rows:
            raise NotValid(f"{self.version} has measured no {metric}: see {self.folder / 'metrics.jsonl'}")
        return rows[-1][metric]


def end_early(task: Path, version: str, reason: str) -> None:
    """End a trial's run, if it is not ended yet; its records stay and say why, its weights go."""
    folder = task / "versions" / version
    job = read_job(folder)
    if job is not None and job.error == reason and not (task / "models" / version).exists():
        return
    if is_running(folder) and job is not None and job.pid is not None:
        stop_run(folder, job.pid)
    job = read_job(folder)
    if job is not None:
        job.with_changes(status="cancelled", error=reason).save(folder / "job.json")
    (folder / "model_info.json").unlink(missing_ok=True)
    shutil.rmtree(task / "models" / version, ignore_errors=True)
