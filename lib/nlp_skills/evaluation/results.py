"""`results.json` and `predictions.jsonl`: how good a model is, how sure we are, and on which rows."""

from __future__ import annotations

import msgspec

from nlp_skills.records import Record


class Interval(Record):
    """A value with its 95 % confidence interval (percentile bootstrap over rows)."""

    value: float
    low: float
    high: float


class LabelScore(Record):
    """One label's precision, recall and F1."""

    precision: float
    recall: float
    f1: float
    support: int


class Latency(Record):
    """Milliseconds for one row, measured while evaluating (batched rows share their batch's time)."""

    p50: float
    p95: float
    p99: float


class Score(Record):
    """How one predictor did on the split: a baseline or the tuned model."""

    metrics: dict[str, Interval]
    per_label: dict[str, LabelScore] = {}
    confusion: dict[str, dict[str, int]] = {}
    """expected → predicted → rows; zero cells are left out."""
    count: int
    latency: Latency | None = None
    model: str | None = None
    """What made the predictions, in words."""
    gain: Interval | None = None
    """Of a baseline: how much better the tuned model is on the task's metric (paired bootstrap over rows)."""


class EvalResult(Score):
    """`results.json`: the tuned model beside what needs no fine-tuning."""

    split: str
    data_sha256: str
    """Of the split's file."""
    baseline: dict[str, Score] = {}
    """`majority`, `tfidf`, `prompted_base`."""
    generation: dict[str, str | int | float | bool] = {}
    """How answers were chosen: label scoring, or greedy decoding and its limits."""


class Prediction(msgspec.Struct, omit_defaults=True):
    """One line of predictions.jsonl."""

    id: str
    expected: str
    predicted: str
    correct: bool
    scores: dict[str, float] | None = None
    """Label → probability, where labels were scored."""
    input: str = ""
