"""`versions/vN/behaviour.json`: how often a version's answers change that should not."""

from __future__ import annotations

from typing import Literal

from nlp_skills.evaluation.results import Interval
from nlp_skills.records import Record


class Flip(Record):
    """A row on which a test failed."""

    id: str
    input: str
    changed: str
    """The input after the change; of a minimum functionality test the same."""
    before: str
    """The answer to the input; of a minimum functionality test what was expected."""
    after: str
    moved: float | None = None
    """Of a directional test: how far the label's probability moved."""


class TestOutcome(Record):
    """One test."""

    __test__ = False  # pytest would take it for one of its own

    name: str
    kind: Literal["invariance", "directional", "minimum"]
    count: int
    """Rows that the change altered; with none of them there is nothing to say."""
    failed: int
    rate: Interval | None = None
    """failed / count, with its 95 % interval."""
    broken: int = 0
    """Of the failed ones those whose first answer was right and whose second is wrong."""
    flips: list[Flip] = []
    """The first of them."""


class BehaviourResult(Record):
    """All behaviour tests of a version."""

    task: str
    version: str
    model: str
    """What answered, in words."""
    split: str
    rows: int
    seed: int
    tests_sha256: str
    """Of configs/behaviour.yaml's content."""
    tests: list[TestOutcome]
    tests_written: bool = False
    """There was no configs/behaviour.yaml, so that the usual tests were written there."""
    created: str
    file: str = ""
