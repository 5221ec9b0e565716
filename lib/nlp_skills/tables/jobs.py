"""Runs: all of them in a table, one's state, and the end of its log."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from nlp_skills.errors import counted, lasting
from nlp_skills.tables.grid import filled, short

if TYPE_CHECKING:
    from nlp_skills.training.job_table import JobLine, JobList
    from nlp_skills.training.status import TrainingStatus
    from nlp_skills.training.train_log import TrainingLog

STYLES = {"running": "bold green", "queued": "cyan", "failed": "bold red", "cancelled": "yellow"}


def job_list(found: JobList) -> RenderableType:
    """What runs, what waits, what ended."""
    broken = [Text(f"{name}: {reason}", style="red") for name, reason in found.unreadable.items()]
    if not found.jobs and not broken:
        return Text("No training run yet. Start one with: nlp-skills start-training TASK")
    elsewhere = any(job.target != "local" for job in found.jobs)
    rows = filled(
        (
            {
                "task": job.task,
                "version": job.version,
                "status": Text(job.status, style=STYLES.get(job.status, "")),
                "target": job.target if elsewhere else "",
                "step": f"{job.step}/{job.total_steps}" if job.total_steps else str(job.step or ""),
                "loss": "" if job.loss is None else f"{job.loss:.3f}",
                "started (UTC)": job.started[:16].replace("T", " "),
            }
            for job in found.jobs
        ),
        right=("step", "loss"),
        whole=("version", "step", "started (UTC)"),
        less=("started (UTC)", "target", "loss"),
    )
    more = [Text(f"and {counted(found.more, 'run')} that ended before")] if found.more else []
    whys = [Text(f"{job.version} of {job.task}: {why}") for job in found.jobs if (why := _why(job))]
    return Group(rows, *more, *([Text(), *whys] if whys else []), *broken)


def _why(job: JobLine) -> str:
    """What it waits for, or how it failed."""
    return _turn(job.behind, job.place) if job.place is not None else short(job.error, 160)


def _turn(behind: list[str], place: int) -> str:
    return f"waits for {', '.join(behind)}, place {place} in the queue"


def status(found: TrainingStatus) -> RenderableType:
    """Where the run stands in a few lines, what was seen on the way, and the next command."""
    where = "" if found.target == "local" else f" on {found.target}"
    lines = [
        Text.assemble(
            f"{found.version} of {found.task}{where}: ", (found.status, STYLES.get(found.status, "bold"))
        )
    ]
    turn = _turn(found.waiting.behind, found.waiting.place) if found.waiting else ""
    lines += [Text(said) for said in (turn, _progress(found), _figures(found), _times(found)) if said]
    lines += [Text(f"Made smaller: {change}", style="yellow") for change in found.adjustments]
    lines += [Text(warning, style="yellow") for warning in found.warnings]
    if found.error:
        lines.append(Text(found.error, style="red"))
    return Group(*lines, Text(), Text(found.next))


def _progress(found: TrainingStatus) -> str:
    if not found.step:
        return ""
    of = f" of {found.total_steps}" if found.total_steps else ""
    return f"step {found.step}{of}" + ("" if found.epoch is None else f", epoch {found.epoch:.3g}")


def _figures(found: TrainingStatus) -> str:
    figures = {"loss": found.loss, "validation loss": found.eval_loss, **found.measured}
    return ", ".join(f"{name} {value:.3f}" for name, value in figures.items() if value is not None)


def _times(found: TrainingStatus) -> str:
    told = []
    if found.seconds:
        told.append(f"{lasting(found.seconds)} {'in all' if found.status == 'succeeded' else 'so far'}")
    if found.seconds_left is not None:
        told.append(f"about {lasting(found.seconds_left)} left")
    return ", ".join(told)


def training_log(found: TrainingLog) -> RenderableType:
    """The lines as they are."""
    return Text("\n".join(found.lines) or f"{found.log} is empty so far.")
