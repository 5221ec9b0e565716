"""This machine: a run is a process of its own, which outlives the one that started it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any

from nlp_skills.base_model import require_training
from nlp_skills.records import now
from nlp_skills.training.job import Job, is_running, read_job, record_cancelled

STOPPING_SECONDS = 30
"""How long a run may take to stop by itself; checkpoints are whole whenever it is killed."""
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)


def start_run(task: Path, folder: Path) -> subprocess.Popen[Any]:
    """Start the run's process, its own session, its output in train.log. Raises MissingExtra."""
    require_training()
    job = read_job(folder)
    if job is None:
        job = Job(
            id=uuid.uuid4().hex[:12],
            status="queued",
            started=now(),
            log=(folder / "train.log").relative_to(task).as_posix(),
        )
    else:
        job = job.with_changes(status="queued", pid=None, devices=[], ended=None, error=None, exit_code=None)
    job.save(folder / "job.json")
    command = [sys.executable, "-P", "-m", "nlp_skills.training.run", str(task.resolve()), folder.name]
    detached: dict[str, Any] = (
        {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
        if sys.platform == "win32"
        else {"start_new_session": True}
    )
    with (folder / "train.log").open("ab") as log:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **detached)
    try:
        while process.poll() is None and (read_job(folder) or job).pid is None:
            time.sleep(0.05)
    except BaseException:
        end_run(process, folder)
        raise
    if process.poll() and (read_job(folder) or job).status == "queued":
        error = "The process ended before it began."
        job.with_changes(status="failed", ended=now(), exit_code=process.returncode, error=error).save(
            folder / "job.json"
        )
    return process


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
