"""Runs: all of them in a table, one's state, and the end of its log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from nlp_skills.errors import counted
from nlp_skills.tables.grid import short, table

if TYPE_CHECKING:
    from nlp_skills.training.job_table import JobLine, JobList
    from nlp_skills.training.train_log import TrainingLog

STYLES = {"running": "bold green", "queued": "cyan", "failed": "bold red", "cancelled": "yellow"}


def job_list(found: JobList) -> RenderableType:
    """What runs, what waits, what ended."""
    broken = [Text(f"{name}: {reason}", style="red") for name, reason in found.unreadable.items()]
    if not found.jobs and not broken:
        return Text("No training run yet. Start one with: nlp-skills start-training TASK")
    rows = table(
        "task", "version", "status", "target", "step", "loss", "started (UTC)", "", right=("step", "loss")
    )
    for job in found.jobs:
        loss = "" if job.loss is None else f"{job.loss:.3f}"
        steps = f"{job.step}/{job.total_steps}" if job.total_steps else str(job.step or "")
        started = job.started[:16].replace("T", " ")
        status = Text(job.status, style=STYLES.get(job.status, ""))
        rows.add_row(job.task, job.version, status, job.target, steps, loss, started, _note(job))
    more = [Text(f"and {counted(found.more, 'run')} that ended before")] if found.more else []
    return Group(rows, *more, *broken)


def _note(job: JobLine) -> str:
    if job.place is not None:
        return f"place {job.place} in the queue"
    return short(job.error)


def training_log(found: TrainingLog) -> RenderableType:
    """The lines as they are."""
    return Text("\n".join(found.lines) or f"{found.log} is empty so far.")
