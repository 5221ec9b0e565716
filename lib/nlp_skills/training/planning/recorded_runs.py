"""What runs of this machine really took beside what was predicted, and the correction that follows.

    factor = exp( n / (n + 1) × median of log(measured / estimated) )      over the n newest runs

Of the same machine and family of base models, preferably of the same method and adapter. The median lets
one odd run (a busy machine) pass; n / (n + 1) keeps a single run from being believed more than half.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from nlp_skills.errors import NlpSkillsError, counted
from nlp_skills.records import Record, read_mapping
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import Job, Prediction

NEWEST = 20
"""Runs that count: a machine changes."""
LOOKED_AT = 500
"""job.json files that are opened, the newest first."""
OF_THE_SAME_KIND = 3
"""So many runs of the same method and adapter, and the others no longer count."""


@dataclass(frozen=True)
class RecordedRun:
    """A run that ended well, with what was said of it before."""

    method: str
    peft: str
    predicted: Prediction
    seconds: float
    peak_mb: float
    """On the GPU, where the run had one."""
    started: str

    def ratio(self, of: str) -> float | None:
        """Measured / estimated, the estimate without its correction; `of`: seconds or memory."""
        said = self._said(of)
        if not said:
            return None
        factor = self.predicted.seconds_factor if of == "seconds" else self.predicted.memory_factor
        return self._was(of) * factor / said

    def error(self, of: str) -> float | None:
        """How far off what was said then was, as a share of what was measured."""
        said = self._said(of)
        return abs(said / self._was(of) - 1) if said and self._was(of) else None

    def _was(self, of: str) -> float:
        return self.seconds if of == "seconds" else self.peak_mb

    def _said(self, of: str) -> float | None:
        if of == "seconds":
            return self.predicted.seconds
        return self.predicted.peak_gpu_memory_mb or self.predicted.peak_memory_mb


class Correction(Record):
    """What an estimate is multiplied by, and how good the ones before it were."""

    runs: int = 0
    seconds: float = 1.0
    memory: float = 1.0
    seconds_error: float | None = None
    """Median over the runs, as a share: 0.2 is 20 %."""
    memory_error: float | None = None

    def words(self) -> str:
        """`estimates on this machine were off by 8 % of the memory and 21 % of the time over 4 runs`."""
        if not self.runs:
            return "no run on this machine has been compared with its estimate yet"
        off = [
            f"{error:.0%} of the {what}".replace("%", " %")
            for what, error in (("memory", self.memory_error), ("time", self.seconds_error))
            if error is not None
        ]
        return f"estimates on this machine were off by {' and '.join(off)} over {counted(self.runs, 'run')}"


def recorded_runs(home: Path, machine: str, family: str) -> list[RecordedRun]:
    """The runs of all tasks below the tasks folder on that machine with that family, the newest first.

    Left out are runs that went on after a stop or changed their settings to fit: their cost is another run's.
    """
    files = sorted(home.glob("*/versions/*/job.json"), key=lambda file: -file.stat().st_mtime)[:LOOKED_AT]
    found = [run for file in files if (run := _read(file, machine, family)) is not None]
    return sorted(found, key=lambda run: run.started, reverse=True)[:NEWEST]


def _read(file: Path, machine: str, family: str) -> RecordedRun | None:
    try:
        job = Job.load(file)
        config: Any = read_mapping(file.parent / "config.yaml")
    except NlpSkillsError:
        return None
    said, cost = job.predicted, job.cost
    if job.status != "succeeded" or said is None or cost is None or job.resumed or job.adjusted:
        return None
    if (said.machine, said.family) != (machine, family) or not isinstance(config, dict):
        return None
    peak = cost.peak_gpu_memory_mb if said.peak_gpu_memory_mb else cost.peak_memory_mb
    return RecordedRun(
        method=str(config.get("method", "sft")),
        peft=str(config.get("peft", "lora")),
        predicted=said,
        seconds=cost.seconds,
        peak_mb=peak or 0.0,
        started=job.started,
    )


def correction(runs: Sequence[RecordedRun], config: TrainConfig) -> Correction:
    """The factors for a run of these settings; 1 without any run to learn from."""
    alike = [run for run in runs if (run.method, run.peft) == (config.method, config.peft)]
    chosen = alike if len(alike) >= OF_THE_SAME_KIND else list(runs)
    if not chosen:
        return Correction()
    return Correction(
        runs=len(chosen),
        seconds=_factor([run.ratio("seconds") for run in chosen]),
        memory=_factor([run.ratio("memory") for run in chosen]),
        seconds_error=_median([run.error("seconds") for run in chosen]),
        memory_error=_median([run.error("memory") for run in chosen]),
    )


def _factor(ratios: Sequence[float | None]) -> float:
    logs = [math.log(ratio) for ratio in ratios if ratio]
    return round(math.exp(median(logs) * len(logs) / (len(logs) + 1)), 4) if logs else 1.0


def _median(errors: Sequence[float | None]) -> float | None:
    known = [error for error in errors if error is not None]
    return round(median(known), 4) if known else None
