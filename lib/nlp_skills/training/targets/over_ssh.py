"""A run on a machine that answers to ssh: how it stands, what it says, and its results. For every target that has one."""

from __future__ import annotations

import hashlib
import shutil
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from nlp_skills.errors import RunFailed
from nlp_skills.records import now, write_atomic
from nlp_skills.task.version import record_lineage
from nlp_skills.training.job import Job
from nlp_skills.training.targets.connection import ANSWER, LONG, Connection, Unreachable, library
from nlp_skills.training.targets.parcel import unpack
from nlp_skills.training.targets.results import settle

OURS = {"id", "target", "remote", "log", "pid", "started"}
"""Of job.json; the rest is what the job there says, what was predicted for the machine there too."""


def take_over(job: Job, told: dict[str, Any]) -> Job:
    """The job here with what the job there says."""
    return job.with_changes(**{name: value for name, value in told.items() if name not in OURS})


def ask_state(task: Path, folder: Path, job: Job, connection: Connection, usd_per_hour: float | None) -> Job:
    """Bring job.json and metrics.jsonl up to date, and the results when the run has ended well. Raises Unreachable."""
    metrics = folder / "metrics.jsonl"
    known = metrics.read_bytes() if metrics.is_file() else b""
    request = {"version": folder.name, "bytes": len(known), "sha256": hashlib.sha256(known).hexdigest()}
    answer = connection.ask(job.remote["python"], "state", job.remote["folder"], request=request)
    if answer["job"] is None:
        text = "It never began: its files did not get there. Start it again."
        return job.with_changes(status="failed", ended=now(), error=text).save(folder / "job.json")
    write_atomic(metrics, known[: answer["from"]] + answer["metrics"].encode())
    found = take_over(job, answer["job"]).with_changes(waiting=answer["waiting"])
    if found.status == "succeeded":
        return bring_results(task, folder, found, connection, usd_per_hour)
    if found != job:
        found.save(folder / "job.json")
        if found.status in ("failed", "cancelled"):
            record_lineage(task, version=folder.name)
    return found


def copy_log(task: Path, folder: Path, job: Job, connection: Connection) -> None:
    """The end of the log there becomes the log here; what is here stays where nobody answers."""
    request = {"version": folder.name}
    try:
        text = connection.ask(job.remote["python"], "log", job.remote["folder"], request=request)
    except Unreachable:
        return
    if text:
        write_atomic(task / job.log, text.encode())


def bring_results(
    task: Path, folder: Path, job: Job, connection: Connection, usd_per_hour: float | None
) -> Job:
    """The results, every file checked against its SHA-256 there; only then the job has succeeded."""
    python, place = job.remote["python"], job.remote["folder"]
    request = {"version": folder.name}
    expected = connection.ask(python, "results", place, request=request, seconds=LONG)
    staging = folder / ".results.tmp"
    receive(connection, python, ("send", place, folder.name), staging)
    job = settle(task, folder, job, staging, expected, usd_per_hour)
    with suppress(
        RunFailed
    ):  # what was sent stays there until somebody clears the folder; the results are here
        connection.ask(python, "remove", place, request=request)
    return job


def receive(connection: Connection, python: str, words: tuple[str, ...], staging: Path) -> None:
    """Unpack the parcel that a command of there.py sends, in an empty folder."""
    shutil.rmtree(staging, ignore_errors=True)
    staging.mkdir(parents=True)
    connection.run(*library(python), *words, read=lambda stream: _unpack(stream, staging), seconds=None)


def _unpack(stream: IO[bytes], staging: Path) -> None:
    for line in stream:  # what a login script there printed
        if line.strip() == ANSWER.encode():
            break
    unpack(stream, staging)
