"""`train.log`: what a run has said, its last lines, without secrets."""

from __future__ import annotations

import os
from pathlib import Path

from nlp_skills.data.credentials import find_secrets
from nlp_skills.data.secret import hide
from nlp_skills.data.secret_names import is_secret_name
from nlp_skills.data.sensitive import mask
from nlp_skills.errors import NotReady
from nlp_skills.records import Record
from nlp_skills.training.job import read_job
from nlp_skills.training.present_job import followed_version
from nlp_skills.training.targets import load_target

LINES = 40
LONGEST_LINE = 1000
"""Characters of a line that are shown; a traceback with a tensor in it has more."""
_BLOCK = 1 << 16


class TrainingLog(Record):
    """The end of a run's log."""

    task: str
    version: str
    log: str
    """The file, relative to the task folder."""
    lines: list[str]


def training_log(task: Path, *, version: str | None = None, lines: int = LINES) -> TrainingLog:
    """The last lines of a run's train.log, wherever it runs; secrets are shown by their names or masked.

    Raises NotReady for a version that has not been trained.
    """
    folder = followed_version(task, version)
    job = read_job(folder)
    if job is None:
        raise NotReady(
            f"{task.name} {folder.name} has not been trained. Start with: nlp-skills train-model {task.name}"
        )
    load_target(job.target).fetch_log(task, folder, job)
    shown = [without_secrets(line)[:LONGEST_LINE] for line in last_lines(task / job.log, lines)]
    return TrainingLog(task=task.name, version=folder.name, log=job.log, lines=shown)


_FOLDERS = ("PWD", "OLDPWD")
"""A shell's names for folders, not for passwords."""


def last_lines(file: Path, count: int) -> list[str]:
    """The last lines of a text file, read from its end; of a line that redraws itself (a bar) its last state."""
    if count < 1 or not file.is_file():
        return []
    data, end = b"", file.stat().st_size
    with file.open("rb") as stream:
        while end and data.count(b"\n") <= count:
            start = max(0, end - _BLOCK)
            stream.seek(start)
            data, end = stream.read(end - start) + data, start
    text = data.decode("utf-8", errors="replace").replace("\r\n", "\n")
    found = text.rstrip("\n").split("\n")[-count:] if text else []
    return [line.rsplit("\r", 1)[-1] for line in found]


def without_secrets(text: str) -> str:
    """The text with the values of secret environment variables by their names, and everything that looks like a key masked."""
    text = mask(text, find_secrets(text))  # first, as they stand there: another secret may be a part of one
    for name, value in os.environ.items():
        if len(value) > 7 and name not in _FOLDERS and is_secret_name(name):
            text = text.replace(value, f"${{{name}}}")
    return hide(text)
