"""The difference between two versions: computed from their records, never stored."""

from __future__ import annotations

from typing import Any, Literal

from nlp_skills.records import Record


class MetricDifference(Record):
    """A metric in both versions and the 95 % interval of `b - a` (paired bootstrap over rows)."""

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


class Comparison(Record):
    """Is b better than a? `verdict` is "cannot tell" where the rows do not decide it."""

    task: str
    a: str
    b: str
    config_changes: dict[str, tuple[Any, Any]] = {}
    data_changed: bool = False
    metrics: dict[str, MetricDifference] = {}
    count: int = 0
    """Rows that both versions were tested on."""
    fixed: int = 0
    broken: int = 0
    p_value: float | None = None
    """Exact McNemar test on fixed against broken rows (McNemar 1947)."""
    verdict: Literal["better", "worse", "cannot tell"] = "cannot tell"
    reason: str
    fixed_rows: list[ChangedRow] = []
    broken_rows: list[ChangedRow] = []
