"""`benchmarks/tool_use/<key>.json`: how well a model calls tools, beside the targets."""

from __future__ import annotations

from typing import Literal

from nlp_skills.evaluation.results import Interval, Latency
from nlp_skills.records import Record

Calling = Literal["native", "prompted"]
"""Whether tools are given by the chat template (or the API), or listed in the system prompt."""


class Target(Record):
    """A wanted value and where it stands."""

    name: str
    """In words."""
    wanted: str
    """As people write it: `> 90 %`, `< 500 ms`."""
    value: float | None = None
    state: Literal["met", "missed", "cannot tell", "measuring"]
    """`measuring`: nothing that was measured tells; `cannot tell`: the 95 % interval holds the target."""


class CategoryScore(Record):
    """One category of BFCL, or the user's own rows."""

    category: str
    count: int
    metrics: dict[str, Interval]
    faults: dict[str, int] = {}
    """What was wrong, by name, the most frequent first."""


class Failure(Record):
    """A row that went wrong, shortened."""

    id: str
    asked: str
    expected: str
    said: str
    fault: str
    message: str = ""


class ToolUseResult(Record):
    """How well a model calls tools."""

    model: str
    """What answered, in words."""
    reference: str = ""
    """What `model` was given as: base, v2, a file, a URL …"""
    source: str
    """What was asked: BFCL and its version, or the split of the task."""
    calling: Calling
    tools: str | None = None
    """Where tool definitions were read, when not from the rows."""
    count: int
    metrics: dict[str, Interval]
    """Over all rows."""
    categories: list[CategoryScore]
    targets: list[Target]
    latency: Latency | None = None
    """Milliseconds of one answer; rows of one batch share its time."""
    tokens_per_second: float | None = None
    """Of the answers, over the whole run."""
    answers_per_minute: float | None = None
    cut: int = 0
    """Answers that ran into their limit of tokens."""
    limit: int | None = None
    """Rows of each category at most, drawn with `seed`."""
    seed: int
    generation: dict[str, str | int | float | bool]
    failures: list[Failure] = []
    """The first of them; all rows are in the .jsonl file of the same name."""
    created: str
    file: str = ""
    """This record, within the task."""
