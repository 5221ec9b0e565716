"""This machine: a run is a process of its own, which outlives the one that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from nlp_skills.base_model import require_training
from nlp_skills.errors import NotValid
from nlp_skills.records import now
from nlp_skills.training.job import Job, is_running, read_job, record_cancelled
from nlp_skills.training.train_log import last_lines

STOPPING_SECONDS = 30
"""How long a run may take to stop by itself; checkpoints are whole whenever it is killed."""
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


def start(task: Path, folder: Path, target: None = None) -> None:  # noqa: ARG001 (this machine needs no description)
    """Start the run and leave it to itself."""
    process = start_run(task, folder)
    # Somebody has to wait for it, or a server that lives long would collect zombies.
    threading.Thread(target=process.wait, daemon=True).start()


def usd_per_hour(target: None = None) -> float | None:  # noqa: ARG001
    """Nobody is paid for this machine by the hour."""
    return None


def refresh(task: Path, folder: Path, job: Job) -> Job:  # noqa: ARG001 (the run itself keeps its files up to date)
    """The job as it is."""
    return job


def fetch_log(task: Path, folder: Path, job: Job) -> None:
    """The log is here."""


def stop(task: Path, folder: Path, job: Job) -> None:
    """Stop the run. Raises NotValid when nothing runs."""
    if job.pid is None or not is_running(folder):
        raise NotValid(f"{task.name} {folder.name} is not being trained at the moment.")
    stop_run(folder, job.pid)


def new_job(task: Path, folder: Path) -> Job:
    """The job of a run that is about to be started: the version's own, if it has one, as if it had not ended."""
    job = read_job(folder)
    if job is None:
        log = (folder / "train.log").relative_to(task).as_posix()
        return Job(id=uuid.uuid4().hex[:12], status="queued", started=now(), log=log)
    return job.with_changes(status="queued", pid=None, devices=[], ended=None, error=None, exit_code=None)


def start_run(task: Path, folder: Path) -> subprocess.Popen[Any]:
    """Start the run's process, its own session, its output in train.log. Raises MissingExtra."""
    require_training()
    job = new_job(task, folder)
    if job.target != "local":  # what was predicted there is another machine's
        job = job.with_changes(target="local", remote={}, predicted=None)
    job.save(folder / "job.json")
    words = ("nlp_skills.training.run.run", str(task.resolve()), folder.name)
    process = start_detached(*words, log=folder / "train.log")
    try:
        while process.poll() is None and (read_job(folder) or job).pid is None:
            time.sleep(0.05)
    except BaseException:
        end_run(process, folder)
        raise
    if process.poll() and (read_job(folder) or job).status == "queued":
        told = "; ".join(line.strip() for line in last_lines(folder / "train.log", 2))
        error = (
            f"The process ended with exit status {process.returncode} before it began: {told or 'it said nothing'}. Read"
            f" {job.log}: nlp-skills training-log {task.name} --version {folder.name}"
        )
        job.with_changes(status="failed", ended=now(), exit_code=process.returncode, error=error).save(
            folder / "job.json"
        )
    return process


def start_detached(module: str, *arguments: str, log: Path) -> subprocess.Popen[Any]:
    """Start a module of the library as a process of its own session, which outlives this one; what it says goes into `log`."""
    detached: dict[str, Any] = (
        {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        if sys.platform == "win32"
        else {"start_new_session": True}
    )
    command = [sys.executable, "-P", "-m", module, *arguments]
    with log.open("ab") as stream:
        return subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stream, stderr=stream, **detached)


def stop_run(folder: Path, pid: int) -> None:
    """Stop the run with this process id, whoever started it, and wait until it has ended."""
    with suppress(ProcessLookupError):  # it has ended just now
        os.kill(pid, signal.SIGTERM)
    waiting = time.monotonic()
    while is_running(folder):
        time.sleep(0.05)
        if time.monotonic() - waiting > STOPPING_SECONDS:
            with suppress(ProcessLookupError):
                os.kill(pid, KILL)
    record_cancelled(folder)


def end_run(process: subprocess.Popen[Any], folder: Path) -> None:
    """End a run that this process has started and does not want any more."""
    process.terminate()
    process.wait()
    record_cancelled(folder)
