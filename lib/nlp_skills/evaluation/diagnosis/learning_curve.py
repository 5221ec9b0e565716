"""`measure_learning_curve`: would more rows help? The same settings on 25, 50 and 100 % of them.

    benchmarks/learning-curve-<key>/  25/ 50/ 100/  curve.json

Each part is a task folder of its own (training/folds.py): its rows, its version v1, its run; the larger parts hold
the smaller ones. All are measured on the validation rows. The task's versions and its test rows are not touched.
"""

from __future__ import annotations

import random
import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec

from nlp_skills.base_model import require_training
from nlp_skills.data.example import Example, read_examples
from nlp_skills.data.replacement import settle_data
from nlp_skills.errors import NlpSkillsError, NotReady, NotValid, RunFailed, counted
from nlp_skills.evaluation.diagnosis.curve import PARTS, SEED, CurvePoint, LearningCurve, curve_key
from nlp_skills.evaluation.diagnosis.doubling import forecast_doubling
from nlp_skills.evaluation.evaluate import evaluate_version
from nlp_skills.evaluation.metrics import METRICS
from nlp_skills.evaluation.results import Interval, Prediction
from nlp_skills.evaluation.significance import difference, interval
from nlp_skills.records import Progress, silent
from nlp_skills.task.task import Task
from nlp_skills.task.version import version_folder
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.folds import make_part
from nlp_skills.training.job import Job, read_job
from nlp_skills.training.planning.forecast import forecast_version, show_seconds
from nlp_skills.training.train import train_model

FEWEST = 5
"""Rows of the smallest part."""


def measure_learning_curve(
    task: Path,
    *,
    version: str | None = None,
    confirm: bool = False,
    progress: Progress = silent,
) -> LearningCurve:
    """Train a version's settings on 25, 50 and 100 % of the training rows and say whether more rows would help.

    Measured on the validation rows, each part holding the one before; versions and test rows are not touched. Without
    `confirm` it only says what it would cost. Cut off, it goes on where it was with the same call. Kept in benchmarks/;
    diagnose reads it.

    Raises NotReady without validation rows or a version, NotValid for too few rows, RunFailed with a run's reason.
    """
    require_training()
    settle_data(task)
    source = version_folder(task, version)
    config = TrainConfig.load(source / "config.yaml")
    definition = Task.load(task / "task.yaml")
    train, valid = (list(read_examples(task / "data" / f"{name}.jsonl")) for name in ("train", "valid"))
    if not valid:
        raise NotReady(
            f"{task.name} has no validation rows to measure on. Set split.valid in data_source.yaml, then run:"
            f" nlp-skills regenerate-data {task.name}"
        )
    if len(train) * PARTS[0] // 100 < FEWEST:
        raise NotValid(
            f"{counted(len(train), 'training row')} are too few to be divided: {PARTS[0]} % of them are under {FEWEST}."
        )
    key = curve_key(task, config)
    folder = task / "benchmarks" / f"learning-curve-{key}"
    if (folder / "curve.json").is_file():
        return LearningCurve.load(folder / "curve.json")
    found = LearningCurve(
        task=task.name,
        version=source.name,
        key=key,
        metric=definition.chosen_metric,
        state="planned",
        message="",
    )
    if not confirm:
        return _plan(task, source, found, folder)
    points, answers = [], []
    for per_cent, rows in zip(PARTS, take_parts(train), strict=True):
        place = make_part(
            task,
            folder / str(per_cent),
            config,
            {"train": rows, "valid": valid},
            SEED,
            f"{per_cent} % of the rows, for a learning curve",
        )
        point, answered = _measure(place, definition, per_cent, len(rows), progress)
        points.append(point)
        answers.append(answered)
    return _complete(found, points, answers).save(folder / "curve.json")


def take_parts(rows: Sequence[Example], seed: int = SEED) -> list[list[Example]]:
    """The rows of each part, in the file's order; each holds the one before, and answers keep their shares."""
    by_answer: dict[str, list[int]] = defaultdict(list)
    for number, row in enumerate(rows):
        by_answer[row.meta.label or ""].append(number)
    draw = random.Random(seed)
    # By the place within its own label: the first quarter of each label is in the first part.
    rank: dict[int, float] = {}
    for numbers in by_answer.values():
        order = draw.sample(numbers, len(numbers))
        rank |= {number: (place + 0.5) / len(order) for place, number in enumerate(order)}
    order = sorted(rank, key=lambda number: (rank[number], number))
    return [[rows[n] for n in sorted(order[: len(rows) * per_cent // 100])] for per_cent in PARTS]


def _plan(task: Path, source: Path, found: LearningCurve, folder: Path) -> LearningCurve:
    left = [p for p in PARTS if not (folder / str(p) / "result.json").is_file()]
    try:
        whole = forecast_version(task, source.name).seconds
    except NlpSkillsError:
        whole = None
    seconds = None if whole is None else round(whole * sum(left) / 100, 1)
    takes = (
        f"{show_seconds(seconds)} in all"
        if seconds is not None
        else "how long that takes cannot be predicted"
    )
    parts = ", ".join(map(str, left))
    return found.with_changes(
        seconds=seconds,
        message=f"Would train {source.name}'s settings on {parts} % of the training rows: {takes}, and a test of each on the"
        " validation rows. Call again with confirm=true.",
    )


def _measure(
    place: Path, task: Task, per_cent: int, rows: int, progress: Progress
) -> tuple[CurvePoint, list[Prediction]]:
    """The part's point and its answers: from its files, or after its run."""
    folder, file = place / "versions" / "v1", place / "result.json"

    def told(message: str, done: float, total: float | None) -> None:
        progress(f"{per_cent} % of the rows: {message}", done, total)

    if not file.is_file():
        job = read_job(folder)
        if job is None or job.status != "succeeded":
            _train(place, per_cent, told)
        evaluate_version(place, version="v1", split="valid", progress=told)
    lines = (folder / "predictions_valid.jsonl").read_bytes().splitlines()
    answers = [msgspec.json.decode(line, type=Prediction) for line in lines]
    if not file.is_file():
        cost = Job.load(folder / "job.json").cost
        CurvePoint(
            per_cent=per_cent,
            rows=rows,
            score=interval(task.chosen_metric, answers),
            seconds=cost.seconds if cost else 0.0,
        ).save(file)
        shutil.rmtree(place / "models", ignore_errors=True)
    return CurvePoint.load(file), answers


def _train(place: Path, per_cent: int, progress: Progress) -> None:
    try:
        train_model(place, version="v1", progress=progress)
    except RunFailed:
        job = read_job(place / "versions" / "v1")
        reason = job.error if job is not None else None
        raise RunFailed(
            f"{per_cent} % of the rows were not trained: {reason or 'the process ended without a word.'} See"
            f" {place / 'versions' / 'v1' / 'train.log'}. Go on with the same command."
        ) from None


def _complete(
    found: LearningCurve, points: list[CurvePoint], answers: list[list[Prediction]]
) -> LearningCurve:
    better = METRICS[found.metric].higher_is_better
    change = difference(found.metric, answers[-2], answers[-1])
    gain = change if better else Interval(value=-change.value, low=-change.high, high=-change.low)
    said = forecast_doubling([p.score.value for p in points], gain, higher_is_better=better)
    told = ", ".join(f"{p.score.value:.3f} with {p.rows:,}" for p in points)
    at = f" Twice the rows are expected to bring {said.at_double:.3f}." if said.at_double is not None else ""
    return found.with_changes(
        state="complete",
        points=[p.model_dump(mode="json") for p in points],
        forecast=said.model_dump(mode="json"),
        message=f"{found.metric} on the validation rows: {told} rows. {said.verdict[:1].upper()}{said.verdict[1:]}. {said.reason}{at}"
        " One run a part: that another seed gives another figure is not in the interval.",
    )
