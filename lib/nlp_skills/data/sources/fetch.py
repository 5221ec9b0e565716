"""What a source is given to fetch its rows with, and where it writes down what it did."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

from nlp_skills.records import Progress, silent

Row: TypeAlias = tuple[int, dict[str, Any]]
Rows: TypeAlias = Iterator[Row]
"""The rows of a source, each with its 1-based line or record number there."""

ORIGIN = "_origin"
"""The field of a row that says where it comes from (url, file, model, cost …); it goes to `meta.origin`."""


@dataclass
class Fetch:
    """One reading of one source."""

    task: Path
    """The task folder. data/cache/<source name>/ in it outlives a reading that is cut off."""
    progress: Progress = silent
    tell: Callable[[str], None] = lambda _: None
    """Hears what a person should know before it happens, as a sentence: that a budget may not be enough."""
    preview: bool = False
    """Only the first rows are wanted: no more is fetched, and nothing is paid for or stored."""
    labels: list[str] = field(default_factory=list)
    """Those of the task; where task.yaml names none, those of the rows that were read before this source."""
    examples: Path | None = None
    """Training rows made of the sources that were read before this one, where data/train.jsonl has none of theirs."""
    confirm: bool = False
    """Somebody has agreed to pay: the `confirm` of regenerate_data. Without it a source that would spend money
    raises NotReady with what it would cost."""
    notes: dict[str, str | int | float | bool | None] = field(default_factory=dict)
    """What was asked for and what came of it, for the snapshot: query, parameters, pages, cost. Never a secret."""
    since: str | int | float | None = None
    """The last value of the `since` column: given, where rows were read before; afterwards the new one."""
    before: Path | None = None
    """The raw rows of the reading before; the rows that are yielded take their place whole."""

    def cache(self, source: str) -> Path:
        """The source's folder for what it need not fetch or pay for again."""
        return self.task / "data" / "cache" / source
