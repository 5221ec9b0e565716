"""Cross-validation: for sets so small that one validation side says little, every row is held out once."""

from __future__ import annotations

import hashlib
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from statistics import fmean, stdev

from nlp_skills.base_model import require_training
from nlp_skills.confirmation import call_again
from nlp_skills.data.present import hash_files
from nlp_skills.data.replacement import settle_data
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.errors import NlpSkillsError, NotReady, NotValid, counted
from nlp_skills.evaluation.evaluate import evaluate_version
from nlp_skills.records import Progress, Record, silent
from nlp_skills.task.version import version_folder
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.folds import make_folds, rows_to_fold, train_part
from nlp_skills.training.job import Job, read_job
from nlp_skills.training.planning.forecast import forecast_version, show_seconds
from nlp_skills.training.run.metrics_log import read_metrics


class FoldResult(Record):
    """`result.json` of a fold."""

    fold: int
    train_rows: int
    held_out_rows: int
    loss: float
    """On the held-out rows, of the model that the run kept."""
    metrics: dict[str, float] = {}
    """On the held-out rows, where they were asked for."""
    seconds: float


class Spread(Record):
    """A figure over the folds."""

    mean: float
    deviation: float
    """Standard deviation between folds."""
    error: float
    """deviation / sqrt(folds). Too small rather than too large: folds share training rows, and no unbiased estimate
    exists (Bengio and Grandvalet 2004, "No Unbiased Estimator of the Variance of K-Fold Cross-Validation")."""


class CrossValidation(Record):
    """What the folds say together, or what they would cost."""

    task: str
    version: str
    key: str
    folds: int
    rows: int
    state: str
    """planned, or complete."""
    results: list[FoldResult] = []
    spread: dict[str, Spread] = {}
    """loss, and each metric that was measured in every fold."""
    seconds: float | None = None
    """Predicted for the folds that are left; None where it cannot be predicted."""
    message: str


def cross_validate(
    task: Path,
    *,
    version: str | None = None,
    folds: int = 5,
    metrics: bool = False,
    seed: int = 13,
    confirm: bool = False,
    progress: Progress = silent,
) -> CrossValidation:
    """Train a version's settings once for each fold of the train and valid rows, and measure on the rows held out.

    Groups, equal inputs and (where data_source.yaml says `similar`) similar ones stay in one fold, labels keep their
    shares; the test rows are never touched. Gives mean and spread of the held-out loss, with `metrics` of the task's metrics
    too. Without `confirm` it only says what it would cost. Cut off, it goes on where it was with the same call. The
    folds' records are kept in benchmarks/, their weights are not.

    Raises NotReady without a version, NotValid for folds that cannot be made with a run's reason.
    """
    require_training()
    settle_data(task)
    source = version_folder(task, version)
    config = TrainConfig.load(source / "config.yaml")
    if config.method == "grpo":
        raise NotValid("grpo measures no validation loss, so there is nothing to compare over folds.")
    files = hash_files(task / "data")
    sides = [files.get(f"{name}.jsonl") for name in ("train", "valid")]
    named = f"{folds} {seed} {sides} ".encode() + config.to_bytes()
    key = hashlib.sha256(named).hexdigest()[:8]
    folder = task / "benchmarks" / f"folds-{key}"
    rows = len(rows_to_fold(task))
    if not 2 <= folds <= rows:
        raise NotValid(f"folds: {rows} rows can be divided into 2 to {rows} folds, not {folds}.")
    places = (folder / f"fold-{n}" for n in range(1, folds + 1))
    done = [found for place in places if (found := _kept(place, metrics=metrics))]
    found = CrossValidation(
        task=task.name, version=source.name, key=key, folds=folds, rows=rows, state="planned", message=""
    )
    if len(done) == folds:
        return _complete(found, done)
    if not confirm:
        return _plan(task, source, found, folds - len(done))
    results = [
        _measure(place, number, folds, progress, metrics=metrics)
        for number, place in enumerate(make_folds(task, folder, config, folds, seed), start=1)
    ]
    return _complete(found, results)


def _kept(place: Path, *, metrics: bool) -> FoldResult | None:
    """A fold's result, where it was measured and says all that is asked for."""
    file = place / "result.json"
    found = FoldResult.load(file) if file.is_file() else None
    return found if found is not None and (found.metrics or not metrics) else None


def _plan(task: Path, source: Path, found: CrossValidation, left: int) -> CrossValidation:
    try:
        seconds = forecast_version(task, source.name).seconds
    except NlpSkillsError:
        seconds = None
    takes = (
        f"{show_seconds(seconds * left)} in all"
        if seconds is not None
        else "how long one takes cannot be predicted"
    )
    return found.with_changes(
        seconds=None if seconds is None else round(seconds * left, 1),
        message=f"Would train {source.name}'s settings {counted(left, 'time')}, each on all but a {ordinal(found.folds)} of {found.rows}"
        f" rows: {takes}. {call_again()}",
    )


def ordinal(number: int) -> str:
    """`half`, `third`, `fifth`, `12th`: a part of so many."""
    words = {2: "half", 3: "third", 4: "quarter", 5: "fifth", 10: "tenth"}
    return words.get(number, f"{number}th")


def _measure(place: Path, number: int, folds: int, progress: Progress, *, metrics: bool) -> FoldResult:
    """The fold's result: from its file, or after its run."""
    kept = _kept(place, metrics=metrics)
    if kept is not None:
        return kept
    folder = place / "versions" / "v1"

    def told(message: str, done: float, total: float | None) -> None:
        progress(f"fold {number} of {folds}: {message}", done, total)

    job = read_job(folder)
    weights = (place / "models" / "v1").is_dir()
    if job is not None and job.status == "succeeded" and not weights:
        (folder / "job.json").unlink()  # its weights went when it was measured without metrics
        job = None
    if job is None or job.status != "succeeded":
        train_part(place, f"Fold {number} was not trained", told)
    result = _result(place, number, told, metrics=metrics).save(place / "result.json")
    shutil.rmtree(place / "models", ignore_errors=True)
    return result


def _result(place: Path, number: int, progress: Progress, *, metrics: bool) -> FoldResult:
    folder = place / "versions" / "v1"
    job = Job.load(folder / "job.json")
    looks = [row for row in read_metrics(folder / "metrics.jsonl") if "eval_loss" in row]
    if not looks:
        raise NotReady(f"Fold {number} has measured no loss: see {folder / 'metrics.jsonl'}.")
    kept = [row for row in looks if row["step"] == job.kept_step] or looks
    splits = DataSnapshot.load(folder / "data_snapshot.json").splits
    values: dict[str, float] = {}
    if metrics:
        judged = evaluate_version(place, version="v1", split="valid", progress=progress)
        values = {name: value.value for name, value in judged.metrics.items()}
    return FoldResult(
        fold=number,
        train_rows=splits["train"].count,
        held_out_rows=splits["valid"].count,
        loss=kept[-1]["eval_loss"],
        metrics=values,
        seconds=job.cost.seconds if job.cost else 0.0,
    )


def spread(values: Sequence[float]) -> Spread:
    """Mean and spread of one figure."""
    deviation = stdev(values) if len(values) > 1 else 0.0
    return Spread(
        mean=round(fmean(values), 6),
        deviation=round(deviation, 6),
        error=round(deviation / math.sqrt(len(values)), 6),
    )


def _complete(found: CrossValidation, results: list[FoldResult]) -> CrossValidation:
    figures = {"loss": spread([result.loss for result in results])}
    for name in results[0].metrics:
        if any(name not in result.metrics for result in results):
            continue
        figures[name] = spread([result.metrics[name] for result in results])
    told = ", ".join(f"{name} {s.mean:.4f} ± {s.error:.4f}" for name, s in figures.items())
    return found.with_changes(
        state="complete",
        results=[result.model_dump(mode="json") for result in results],
        spread={name: s.model_dump(mode="json") for name, s in figures.items()},
        message=f"{found.version} over {counted(found.folds, 'fold')} of {counted(found.rows, 'row')}: {told} (mean and standard"
        " error, which is too small rather than too large, because folds share training rows). The test rows were not looked at.",
    )
