"""All runs of all tasks: the job.json files are the table, so it survives whatever is killed."""

from __future__ import annotations

from pathlib import Path

from nlp_skills.errors import NlpSkillsError
from nlp_skills.records import Record
from nlp_skills.task.task import task_names
from nlp_skills.training.job import Job, read_job
from nlp_skills.training.present_job import as_it_is
from nlp_skills.training.run.metrics_log import last_value, read_metrics
from nlp_skills.training.run_name import run_name, task_runs
from nlp_skills.training.status import place_in_queue

SHOWN = 50
_ORDER = {"running": 0, "queued": 1}


class JobLine(Record):
    """One run."""

    task: str
    version: str
    """vN; of a fold, a part of a learning curve or a reproduction its folder in benchmarks/."""
    status: str
    target: str
    place: int | None = None
    """In the queue: 1 is the next."""
    behind: list[str] = []
    """The runs that hold the devices it waits for."""
    step: int = 0
    total_steps: int | None = None
    loss: float | None = None
    started: str
    ended: str | None = None
    error: str | None = None


class JobList(Record):
    """Runs: those that run, those that wait in their order, then those that ended, newest first."""

    jobs: list[JobLine]
    more: int = 0
    """Ended runs that are not shown."""
    unreadable: dict[str, str] = {}
    """`task/vN` → why its job.json could not be read."""


def list_jobs(home: Path, *, limit: int = SHOWN) -> JobList:
    """What runs, what waits and what ended, over all tasks.

    A run elsewhere is listed as it was when it was last asked about with `training_status`. `limit` is how
    many ended runs are shown at most.
    """
    lines: list[JobLine] = []
    unreadable: dict[str, str] = {}
    for name in task_names(home):
        for folder, version in task_runs(home / name):
            try:
                job = read_job(folder / "versions" / version)
                if job is not None:
                    lines.append(_line(folder, version, job))
            except NlpSkillsError as error:
                unreadable["/".join(run_name(folder, version))] = str(error)
    active = sorted((line for line in lines if line.status in _ORDER), key=_active)
    ended = sorted((line for line in lines if line.status not in _ORDER), key=_ended, reverse=True)
    return JobList(jobs=active + ended[:limit], more=max(0, len(ended) - limit), unreadable=unreadable)


def _line(task: Path, version: str, job: Job) -> JobLine:
    folder = task / "versions" / version
    job = as_it_is(folder, job)
    rows = read_metrics(folder / "metrics.jsonl") if job.status in _ORDER else []
    turn = place_in_queue(task, version, job)
    name, run = run_name(task, version)
    return JobLine(
        task=name,
        version=run,
        status=job.status,
        target=job.remote.get("target", job.target),
        place=turn.place if turn else None,
        behind=turn.behind if turn else [],
        step=int(last_value(rows, "step") or (job.total_steps if job.status == "succeeded" else 0) or 0),
        total_steps=job.total_steps,
        loss=last_value(rows, "loss"),
        started=job.started,
        ended=job.ended,
        error=job.error,
    )


def _active(line: JobLine) -> tuple[int, int, str]:
    return _ORDER[line.status], line.place or 0, line.started


def _ended(line: JobLine) -> str:
    return line.ended or line.started
