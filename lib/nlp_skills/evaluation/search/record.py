"""What a search is and how far it has come: files in benchmarks/search-<key>/ of the task.

    search.yaml   what is searched; never changed. <key> is the beginning of its SHA-256
    trials.db     Optuna's own storage
    search.json   the trials so far, for people, assistants and the page; made from trials.db
    search.html   the page          search.log   what the process said

The trials themselves are versions of the task.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, Literal, Self

from filelock import FileLock, Timeout

from nlp_skills.confirmation import call_again
from nlp_skills.errors import counted
from nlp_skills.evaluation.figures import show_value
from nlp_skills.evaluation.search.measures import lower_is_better
from nlp_skills.records import Record
from nlp_skills.training.planning.forecast import show_seconds
from nlp_skills.training.search_space import Space

TrialState = Literal["running", "complete", "pruned", "failed"]
SHOWN = 5
"""Trials that the result of a tool lists, the best first."""


class SearchDefinition(Record):
    """`search.yaml`: equal definitions are one search, which goes on where it was."""

    space: Space
    parent: str
    """The version whose other settings all trials have."""
    metric: str
    """A figure of the validation (measures.py), or a metric of the task."""
    prune: bool
    """End a trial early that is behind (ASHA)."""
    seed: int
    source_hash: str
    """Of the data that the trials are trained on."""

    @property
    def key(self) -> str:
        """Names the search's folder."""
        return self.digest()[:8]

    @property
    def by_loss(self) -> bool:
        """Whether the validation loss decides."""
        return self.metric == "eval_loss"

    @property
    def lower_is_better(self) -> bool:
        """Of the metric's values."""
        return lower_is_better(self.metric)

    def folder(self, task: Path) -> Path:
        """Where its files lie."""
        return task / "benchmarks" / f"search-{self.key}"

    def better(self, a: float, b: float) -> bool:
        """Whether value a is better than b."""
        return a < b if self.lower_is_better else a > b


class Trial(Record):
    """One trial."""

    number: int
    version: str | None = None
    state: TrialState
    settings: dict[str, Any]
    value: float | None = None
    """Of the metric; of a pruned trial where it was when it was ended."""
    epochs: float | None = None
    """How far a pruned trial came."""
    note: str | None = None


class SearchReport(Record):
    """`search.json`: how far a search is, or what it would do before it is confirmed."""

    task: str
    key: str
    state: Literal["planned", "running", "stopped", "failed", "complete"]
    metric: str
    parent: str
    trials_wanted: int
    jobs: int
    pid: int | None = None
    trials: list[Trial] = []
    best: str | None = None
    """The version with the best value."""
    best_value: float | None = None
    importance: dict[str, float] = {}
    """Field → its share of what made values differ (fANOVA: Hutter et al. 2014); empty with too few trials."""
    seconds: float | None = None
    """Predicted for all trials together, before any is ended early; None where it cannot be predicted."""
    usd: float | None = None
    error: str | None = None
    page: str | None = None
    """Relative to the task folder."""
    message: str = ""

    def brief(self) -> Self:
        """The best few trials, and how many more there are."""
        if len(self.trials) <= SHOWN:
            return self
        sign = 1 if lower_is_better(self.metric) else -1
        order = sorted(
            self.trials,
            key=lambda t: (t.state != "complete", math.inf if t.value is None else sign * t.value, t.number),
        )
        told = f"{self.message} {len(self.trials) - SHOWN} more are in the file search.json."
        return self.model_copy(update={"trials": order[:SHOWN], "message": told})

    def count(self, state: TrialState) -> int:
        """Trials in a state."""
        return sum(trial.state == state for trial in self.trials)

    def told(self) -> str:
        """Where it stands and what comes next, in words."""
        ended = sum(trial.state != "running" for trial in self.trials)
        parts = [
            f"{ended} of {counted(self.trials_wanted, 'trial')} of search {self.key} {'has' if self.trials_wanted == 1 else 'have'} ended"
        ]
        parts += [f"{self.count(s)} {s}" for s in ("pruned", "failed") if self.count(s)]
        told = ", ".join(parts) + "."
        if self.best is not None and self.best_value is not None:
            told += f" The best is {self.best}: {self.metric} {show_value(self.best_value, '.4f')} on the validation rows."
        if self.state == "complete" and self.best is not None:
            told += f" The test rows were not looked at. Test it: nlp-skills evaluate-version {self.task} --version {self.best}"
        elif self.state in ("stopped", "failed"):
            told += f" {call_again('to go on')}"
        return told


def cost_words(seconds: float | None, usd: float | None, trials: int, jobs: int, *, prune: bool) -> str:
    """`about 3.2 h, 1.50 USD`, and for what."""
    if seconds is None:
        return f"{counted(trials, 'training')}; how long one takes cannot be predicted here"
    price = f" and {usd:.2f} USD" if usd else ""
    sooner = ", less where trials are ended early" if prune else ""
    return f"{counted(trials, 'training')}, {show_seconds(seconds / jobs)}{price} in all{sooner}"


def lock_of(folder: Path) -> FileLock:
    """Held by the process of the search while it lives."""
    return FileLock(folder / ".lock")


def is_searching(folder: Path) -> bool:
    """Whether a process works on this search at this moment."""
    if not (folder / ".lock").exists():
        return False
    try:
        with lock_of(folder).acquire(timeout=0.05, poll_interval=0.01):
            return False
    except Timeout:
        return True


def read_report(folder: Path) -> SearchReport | None:
    """The search so far; one that says it runs while no process does was cut off."""
    file = folder / "search.json"
    if not file.is_file():
        return None
    found = SearchReport.load(file)
    if found.state == "running" and not is_searching(folder):
        found = SearchReport.load(file)  # it may have come to its end between the two looks
        if found.state == "running":
            found = found.with_changes(state="stopped")
    return found.with_changes(message=found.told())
