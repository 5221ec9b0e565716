"""`benchmarks/learning-curve-<key>/curve.json`: a task's metric with a part of the rows, with more, and with all."""

from __future__ import annotations

import hashlib
from pathlib import Path

from nlp_skills.data.present import hash_files
from nlp_skills.evaluation.diagnosis.doubling import Forecast
from nlp_skills.evaluation.results import Interval
from nlp_skills.records import Record
from nlp_skills.training.config import TrainConfig

PARTS = (25, 50, 100)
"""Per cent of the training rows: doublings, which is what the fit needs."""
SEED = 13


class CurvePoint(Record):
    """A part of the rows and what they bring."""

    per_cent: int
    rows: int
    score: Interval
    """The task's metric on the validation rows."""
    seconds: float


class LearningCurve(Record):
    """`curve.json`: the points and what they say, or what they would cost."""

    task: str
    version: str
    key: str
    """Of the settings and the rows: a curve of other rows is another one."""
    metric: str
    state: str
    """planned, or complete."""
    points: list[CurvePoint] = []
    forecast: Forecast | None = None
    seconds: float | None = None
    """Predicted for the parts that are left; None where it cannot be predicted."""
    message: str


def curve_key(task: Path, config: TrainConfig) -> str:
    """The name of a curve: these settings on these rows."""
    files = hash_files(task / "data")
    sides = [files.get(f"{name}.jsonl") for name in ("train", "valid")]
    return hashlib.sha256(f"{PARTS} {SEED} {sides} ".encode() + config.to_bytes()).hexdigest()[:8]
