"""`benchmarks/lm_eval/<key>.json`: what a model reaches in suites of lm-evaluation-harness."""

from __future__ import annotations

from nlp_skills.evaluation.results import Interval, Sanity
from nlp_skills.records import Record


class SuiteScore(Record):
    """One metric of one suite, as the harness names them."""

    suite: str
    metric: str
    filter: str = "none"
    """What the harness does to an answer before it is marked."""
    value: float
    stderr: float | None = None
    count: int
    """Rows, those of its parts together where the suite is a group."""
    version: str
    """Of the suite's definition."""
    few_shot: int | None = None
    higher_is_better: bool | None = None


class SuiteChange(Record):
    """One metric of one suite for two models on the same rows."""

    suite: str
    metric: str
    filter: str = "none"
    count: int
    before: float
    after: float
    change: Interval
    """`after - before`, paired row by row."""
    p_value: float
    """That the change is chance, corrected for the number of metrics (Holm)."""


class BenchmarkResult(Record):
    """Suites of lm-evaluation-harness, asked of one model."""

    model: str
    """What answered, in words."""
    reference: str
    """What `model` was given as: base, v2, a file, a URL …"""
    identity: str
    """What tells the model from any other, weights included where they are known."""
    harness: str
    """lm-evaluation-harness's version."""
    suites: list[str]
    scores: list[SuiteScore]
    sanity: Sanity
    against: str | None = None
    """The model that `changes` are measured from."""
    changes: list[SuiteChange] = []
    settings: dict[str, str | int | float | bool | None]
    created: str
    file: str = ""
    """This record, within the task; every row is in the .jsonl file of the same name."""


class Sample(Record):
    """One row of a suite, a line of the .jsonl file."""

    suite: str
    doc: int
    prompt: str
    """Of what was asked: the first 16 hexadecimal digits of the harness's hash."""
    filter: str
    target: str
    said: str
    metrics: dict[str, float]
