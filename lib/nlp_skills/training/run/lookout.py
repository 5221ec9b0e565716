"""What a run sees while its workers work: that nothing is written for long (RUN-STALL), and what the kernel kills.

memory-kills.json    how many processes the kernel had killed for memory at the last look

It is there only while workers work. A run that the kernel has killed with its workers leaves it behind, and the next one
begins smaller. What was killed before the last look, after another start of the machine or in another control group was
not this run, and who stops a run takes it away.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from nlp_skills.errors import NotFound, NotValid
from nlp_skills.records import read_mapping, to_json, write_atomic
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import Job, update_job
from nlp_skills.training.preflight.out_of_memory import KernelKills, kernel_kills
from nlp_skills.training.run.metrics_log import append_line, last_value, read_metrics
from nlp_skills.training.run.watch import RunWarning, silence, silent_start


class KillNote:
    """The note of one version."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.seen: KernelKills | None = None

    def tells_of_a_kill(self) -> bool:
        """Whether the kernel has killed for memory since the last look of a run that ended without a word; asked once."""
        try:
            before: Any = read_mapping(self.path)
        except (NotFound, NotValid):
            return False
        self.path.unlink(missing_ok=True)
        now = kernel_kills()
        if now is None or not isinstance(before, dict) or before.get("place") != now.place:
            return False
        return now.kills > int(before["kills"])

    def look(self) -> None:
        """Write down how many there are now, where that has changed."""
        found = kernel_kills()
        if found is not None and found != self.seen:
            write_atomic(self.path, to_json({"place": found.place, "kills": found.kills}))
        self.seen = found

    @contextmanager
    def kept(self) -> Iterator[None]:
        """The note is there meanwhile, and goes when the run is stopped (SIGTERM)."""
        self.seen = None
        self.look()
        try:
            with _before_termination(lambda: self.path.unlink(missing_ok=True)):
                yield
        finally:
            with suppress(OSError):
                self.path.unlink(missing_ok=True)


@contextmanager
def _before_termination(act: Any) -> Iterator[None]:
    """SIGTERM ends this process as ever, and `act` is called before."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, _: Any) -> None:
        act()
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Lookout:
    """Looks at a run again and again, from the moment that its workers begin."""

    def __init__(self, folder: Path, note: KillNote, config: TrainConfig) -> None:
        self.folder, self.note, self.config = folder, note, config
        self.began = time.time()
        self.told = False

    def look(self) -> None:
        """Say so, once, when the workers have written nothing for long."""
        self.note.look()
        if self.told:
            return
        metrics = self.folder / "metrics.jsonl"
        rows = read_metrics(metrics)
        warning = self._silence(metrics, rows)
        if warning:
            self.told = True
            step = int(last_value(rows, "step") or 0)
            append_line(metrics, {"step": step, "warning": warning.check, "message": warning.message})
            others = [w for w in self._job().warnings if not w.startswith(warning.check)]
            update_job(self.folder, warnings=[*others, warning.line])

    def _silence(self, metrics: Path, rows: list[dict[str, Any]]) -> RunWarning | None:
        written = metrics.stat().st_mtime if metrics.is_file() else 0.0
        if any(row.get("warning") == "RUN-STALL" for row in rows):
            return None
        # What an earlier part of the run has written says nothing of this one.
        if rows and written >= self.began and any("seconds" in row for row in rows):
            return silence(rows, time.time() - written)
        return silent_start(time.time() - self.began, self._first_step())

    def _first_step(self) -> float:
        """Predicted seconds up to the first line; 0 where nothing is predicted."""
        job = self._job()
        seconds = job.predicted.seconds if job.predicted else None
        return seconds / job.total_steps * self.config.logging_steps if seconds and job.total_steps else 0.0

    def _job(self) -> Job:
        return Job.load(self.folder / "job.json")
