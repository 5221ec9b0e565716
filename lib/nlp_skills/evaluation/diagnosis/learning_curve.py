"""`measure_learning_curve`: would more rows help? The same settings on 25, 50 and 100 % of them.

    benchmarks/learning-curve-<key>/  25/ 50/ 100/  curve.json

Each part is a task folder of its own (training/folds.py): its rows, its version v1, its run; the larger parts hold
the smaller ones. All are measured on the validation rows. The task's versions and its test rows are not touched.
"""

from __future__ import annotations

import math
import random
import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec

from nlp_skills.base_model import require_training
from nlp_skills.confirmation import call_again
from nlp_skills.data.example import Example, read_examples
from nlp_skills.data.replacement import settle_data
from nlp_skills.errors import NlpSkillsError, NotReady, NotValid, counted
from nlp_skills.evaluation.asking import ask
from nlp_skills.evaluation.decoding import choose_decoding
from nlp_skills.evaluation.diagnosis.curve import PARTS, SEED, CurvePoint, LearningCurve, curve_key
from nlp_skills.evaluation.diagnosis.doubling import forecast_doubling
from nlp_skills.evaluation.figures import show_value
from nlp_skills.evaluation.marking import applicable_metrics, deciding_metric
from nlp_skills.evaluation.metrics import METRICS
from nlp_skills.evaluation.predictors import open_predictor
from nlp_skills.evaluation.results import Interval, Prediction
from nlp_skills.evaluation.significance import difference, interval
from nlp_skills.records import Progress, silent, write_lines
from nlp_skills.task.task import Task
from nlp_skills.task.version import version_folder
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.folds import make_part, train_part
from nlp_skills.training.job import Job, read_job
from nlp_skills.training.planning.forecast import forecast_version, show_seconds

FEWEST = 3
"""Steps of the smallest part."""


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

    Raises NotReady without validation rows or a version, NotValid for too few rows with a run's reason.
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
    _require_enough(config, len(train))
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
        answers.append(_answers(place, definition, per_cent, (rows, valid), progress))
        cost = Job.load(place / "versions" / "v1" / "job.json").cost
        points.append((per_cent, len(rows), cost.seconds if cost else 0.0))
    return _complete(found, definition, points, answers).save(folder / "curve.json")


def _require_enough(config: TrainConfig, rows: int) -> None:
    """Raises NotValid where the smallest part would be no training: its learning rate has not risen after one step."""
    batch = (
        config.per_device_train_batch_size * config.gradient_accumulation_steps * max(1, config.num_processes)
    )
    steps = math.ceil(rows * PARTS[0] // 100 / batch) * config.epochs
    if steps < FEWEST:
        raise NotValid(
            f"{counted(rows, 'training row')} are too few for a curve: {PARTS[0]} % of them are {steps:g} steps of training, and"
            f" {FEWEST} are the least. Take a version with more epochs or a smaller per_device_train_batch_size, or bring rows."
        )


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
    left = [p for p in PARTS if not (folder / str(p) / "predictions.jsonl").is_file()]
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
        f" validation rows. {call_again()}",
    )


def _answers(
    place: Path,
    task: Task,
    per_cent: int,
    sides: tuple[list[Example], list[Example]],
    progress: Progress,
) -> list[Prediction]:
    """What the part's model answers to the validation rows: from its file, or after its run."""
    file = place / "predictions.jsonl"

    def told(message: str, done: float, total: float | None) -> None:
        progress(f"{per_cent} % of the rows: {message}", done, total)

    if not file.is_file():
        job = read_job(place / "versions" / "v1")
        if job is None or job.status != "succeeded":
            train_part(place, f"{per_cent} % of the rows were not trained", told)
        config = TrainConfig.load(place / "versions" / "v1" / "config.yaml")
        train, valid = sides
        predictor = open_predictor(place, "v1")
        try:
            rows = ask(task, config, predictor, valid, choose_decoding(task, train, valid), told)
        finally:
            predictor.close()
        write_lines(file, map(msgspec.json.encode, rows))
        shutil.rmtree(place / "models", ignore_errors=True)
    return [msgspec.json.decode(line, type=Prediction) for line in file.read_bytes().splitlines()]


def _complete(
    found: LearningCurve,
    task: Task,
    parts: list[tuple[int, int, float]],
    answers: list[list[Prediction]],
) -> LearningCurve:
    """The curve of these answers; `parts` are per cent, rows and seconds of each."""
    metric = deciding_metric(task, applicable_metrics(task, answers[-1]))
    points = [
        CurvePoint(per_cent=per_cent, rows=rows, score=interval(metric, said), seconds=seconds)
        for (per_cent, rows, seconds), said in zip(parts, answers, strict=True)
    ]
    better = METRICS[metric].higher_is_better
    change = difference(metric, answers[-2], answers[-1])
    gain = change if better else Interval(value=-change.value, low=-change.high, high=-change.low)
    said = forecast_doubling([p.score.value for p in points], gain, higher_is_better=better)
    told = ", ".join(f"{show_value(p.score.value)} with {p.rows:,}" for p in points)
    at = f" Twice the rows are expected to bring {said.at_double:.3f}." if said.at_double is not None else ""
    return found.with_changes(
        state="complete",
        metric=metric,
        points=[p.model_dump(mode="json") for p in points],
        forecast=said.model_dump(mode="json"),
        message=f"{METRICS[metric].words} on {counted(len(answers[-1]), 'validation row')}: {told} rows."
        f" {said.verdict[:1].upper()}{said.verdict[1:]}. {said.reason}{at} One run a part: that another seed gives another"
        " figure is not in the interval.",
    )
