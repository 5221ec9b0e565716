"""A version's job as it is at this moment, and which version is meant where none is named."""

from __future__ import annotations

from pathlib import Path

from nlp_skills.errors import NlpSkillsError, NotValid
from nlp_skills.task.version import version_folder, version_names
from nlp_skills.training.job import Job, is_running, read_job

ACTIVE = ("queued", "running")
KILLED = "The process ended without a word (killed, or out of memory)."


def as_it_is(folder: Path, job: Job) -> Job:
    """The job, read anew; "failed" where it says that it runs and no process of this machine holds its lock: it was killed."""
    if job.target != "local" or job.status not in ACTIVE or job.pid is None:
        return job
    if is_running(folder):
        return job
    ended = read_job(folder) or job  # it may have got to its end between the two looks
    if ended.status in ACTIVE:
        return ended.with_changes(status="failed", error=KILLED)
    return ended


def followed_version(task: Path, version: str | None) -> Path:
    """The folder of the version whose run is asked about: the named one, else the one that runs or waits.

    Where none does, the newest, or one before it that was trained. Raises NotValid where several run.
    """
    if version is not None:
        return version_folder(task, version)
    jobs = {folder: job for folder in _folders(task) if (job := seen_job(folder))}
    active = [folder for folder, job in jobs.items() if job.status in ACTIVE]
    if len(active) > 1:
        named = ", ".join(folder.name for folder in active)
        raise NotValid(f"{task.name}: {named} are being trained. Say which: --version {active[-1].name}")
    newest = version_folder(task, None)
    return active[0] if active else newest if newest in jobs or not jobs else [*jobs][-1]


def _folders(task: Path) -> list[Path]:
    return [task / "versions" / name for name in version_names(task)]


def seen_job(folder: Path) -> Job | None:
    """A version's job as it is; None where it has none, or a file that is broken: one bad file stops no look at all."""
    try:
        job = read_job(folder)
    except NlpSkillsError:
        return None
    return as_it_is(folder, job) if job else None
