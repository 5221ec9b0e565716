"""The difference between two versions: computed from their records, never stored."""

from __future__ import annotations

from typing import Any, Literal

from nlp_skills.records import Record


class MetricDifference(Record):
    """A metric in both versions and the 95 % interval of `b - a`, paired row by row."""

    a: float
    b: float
    difference: float
    low: float
    high: float


class ChangedRow(Record):
    """A test row on which the two versions disagree."""

    id: str
    input: str
    expected: str
    a: str
    b: str


class Noise(Record):
    """By how much runs differ that differ in nothing but their seed."""

    floor: float
    """A smaller difference is not called real."""
    deviation: float
    """Standard deviation between seeds, pooled."""
    versions: list[str]
    """Where it was seen."""


class SliceChange(MetricDifference):
    """A kind of rows on which the versions differ beyond chance."""

    name: str
    """`language=zh-Hant`."""
    count: int
    p_value: float
    """Paired, corrected for the number of slices (Holm)."""


class Comparison(Record):
    """Is b better than a? `verdict` is "cannot tell" where the rows do not decide it."""

    task: str
    a: str
    b: str
    config_changes: dict[str, tuple[Any, Any]] = {}
    data_changed: bool = False
    metric: str | None = None
    """The one that decides."""
    metrics: dict[str, MetricDifference] = {}
    count: int = 0
    """Rows that both versions were tested on."""
    fixed: int = 0
    broken: int = 0
    p_value: float | None = None
    """McNemar's mid-p test on fixed against broken rows."""
    p_metric: float | None = None
    """Paired test of the metric that decides, corrected for `against` (Holm)."""
    against: int = 1
    """Versions that were tested against a on these rows, b among them."""
    verdict: Literal["better", "worse", "cannot tell"] = "cannot tell"
    reason: str
    noise: Noise | None = None
    """None: no two versions differ in their seed alone, so it is not known."""
    worse_slices: list[SliceChange] = []
    better_slices: list[SliceChange] = []
    forgetting: MetricDifference | None = None
    """Share of general questions that are answered rightly; None where it was not measured for both."""
    figures: dict[str, tuple[float, float]] = {}
    """What was measured for both: latency_p50_ms, latency_p95_ms, memory_mb, train_seconds, usd."""
    fixed_rows: list[ChangedRow] = []
    broken_rows: list[ChangedRow] = []
