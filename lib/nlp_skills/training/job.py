"""`job.json`: where a run is, whether it still runs, and how it ended."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from nlp_skills.errors import NotReady
from nlp_skills.records import Record, now
from nlp_skills.training.queue import Waiting

JobStatus = Literal["queued", "running", "succeeded", "failed", "cancelled"]


class Environment(Record):
    """What the run ran on."""

    python: str
    platform: str
    packages: dict[str, str]
    gpu: str | None = None
    threads: int
    git_commit: str | None = None
    """Of the repository that holds the task folder, when there is one."""


class Cost(Record):
    """What the run took, resumed parts included."""

    seconds: float
    usd: float = 0.0
    peak_memory_mb: float
    """Peak resident memory of the training process; GPU memory counts separately."""
    peak_gpu_memory_mb: float | None = None


class Prediction(Record):
    """What the plan said before the run began."""

    seconds: float | None = None
    peak_memory_mb: float | None = None
    peak_gpu_memory_mb: float | None = None
    machine: str | None = None
    """Processor, threads and GPU; later predictions are corrected from runs of the same (training/recorded_runs.py)."""
    family: str | None = None
    """Of the base model: llama, qwen3 …"""
    seconds_factor: float = 1.0
    """What the estimate was multiplied by, because earlier runs took longer or shorter than theirs."""
    memory_factor: float = 1.0


class Job(Record):
    """One run of one version, on one target."""

    id: str
    target: str = "local"
    """A row of TARGETS (training/targets)."""
    remote: dict[str, str] = {}
    """Where it runs, when that is not this machine: host, folder, the id that it has there."""
    status: JobStatus
    pid: int | None = None
    devices: list[str] = []
    """What it has of the machine: GPUs by number, or "cpu"; none while it waits for its turn."""
    waiting: Waiting | None = None
    """Its place in the queue of the machine elsewhere, as it was last told."""
    started: str
    ended: str | None = None
    log: str
    """Relative to the task folder."""
    exit_code: int | None = None
    error: str | None = None
    repeats: bool = False
    """The error would come again, however the run goes on: it takes another version."""
    total_steps: int | None = None
    kept_step: int | None = None
    """The step whose checkpoint became the model, with keep: best; None: the last."""
    resumed: int = 0
    """How many times the run went on from a checkpoint."""
    adjusted: dict[str, Any] = {}
    """Fields of config.yaml that the run changed by itself so that it fitted, with the values it took."""
    adjustments: list[str] = []
    """The same in words, with the reason."""
    warnings: list[str] = []
    """What was seen while it ran: `id: sentence`."""
    predicted: Prediction | None = None
    environment: Environment | None = None
    cost: Cost | None = None


def read_job(folder: Path) -> Job | None:
    """The version's job, when it has one."""
    file = folder / "job.json"
    return Job.load(file) if file.is_file() else None


def update_job(folder: Path, **changes: Any) -> Job:
    """Change fields of job.json; the others stay as somebody else may have written them meanwhile."""
    return Job.load(folder / "job.json").with_changes(**changes).save(folder / "job.json")


def record_cancelled(folder: Path) -> None:
    """Say so in job.json, unless the run got to its own end before it was stopped."""
    job = read_job(folder)
    if job is not None and job.status in ("queued", "running"):
        job.with_changes(status="cancelled", ended=now()).save(folder / "job.json")


def lock_file(version: Path) -> Path:
    """Held by the run while it lives: a process that was killed holds nothing."""
    return version / ".run.lock"


class Busy(NotReady):
    """Another process has the version at this moment."""


@contextmanager
def holding(version: Path, seconds: float = 5) -> Iterator[None]:
    """Hold the version's lock while something of it is sent, started or brought. Raises Busy where another process has it."""
    from filelock import FileLock, Timeout

    lock = FileLock(lock_file(version), timeout=seconds)
    try:
        lock.acquire()
    except Timeout:
        name = f"{version.parent.parent.name} --version {version.name}"
        raise Busy(
            f"Another process trains {version.name} of {version.parent.parent.name}, or sends or brings its files, at this"
            f" moment. See how far it is: nlp-skills training-status {name}. To end it: nlp-skills stop-training {name}"
        ) from None
    try:
        yield
    finally:
        lock.release()


def is_running(version: Path) -> bool:
    """Whether a process is training this version at this moment."""
    from filelock import FileLock, Timeout

    if not lock_file(version).exists():
        return False
    try:
        # Not at once: another process may hold it for the moment that this same question takes.
        with FileLock(lock_file(version), timeout=0.05, poll_interval=0.01):
            return False
    except Timeout:
        return True
