"""Whether the last checks looked at the data that lie there now.

data/{train,valid,test}.jsonl ──SHA-256──▶ data/validation.json speaks of them, or not
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Literal

from nlp_skills.data.present import count_lines
from nlp_skills.data.report import ValidationReport
from nlp_skills.data.sources.source import SPLITS
from nlp_skills.errors import NotFound, NotValid
from nlp_skills.records import sha256_file

State = Literal["not validated", "edited since the checks", "passed", "found errors"]


def split_files(task: Path) -> dict[str, Path]:
    """The split files that are there, by their names in the task's folder."""
    names = (f"data/{split}.jsonl" for split in SPLITS)
    return {name: task / name for name in names if (task / name).is_file()}


def digest(hashes: Mapping[str, str]) -> str:
    """SHA-256 over the names and hashes of the split files, as `sha256sum` prints them."""
    return hashlib.sha256("".join(f"{sha}  {name}\n" for name, sha in hashes.items()).encode()).hexdigest()


def last_report(task: Path) -> ValidationReport | None:
    """What the last checks said; None where there were none or what they wrote cannot be read."""
    with suppress(NotFound, NotValid):
        return ValidationReport.load(task / "data" / "validation.json")
    return None


def is_of_present_data(report: ValidationReport, task: Path) -> bool:
    """Whether the report speaks of the split files as they are, to the byte."""
    return report.data_sha256 == digest({name: sha256_file(path) for name, path in split_files(task).items()})


def count_rows(task: Path) -> dict[str, int]:
    """By split the rows that lie there: those that the last checks have counted, or else lines that are not blank."""
    report = last_report(task)
    if report is not None and is_of_present_data(report, task):
        return {Path(name).stem: count for name, count in report.files.items()}
    return {path.stem: count_lines(path) for path in split_files(task).values()}


def checked_state(task: Path) -> State:
    """What is known of the data that lie there now."""
    report = last_report(task)
    if report is None:
        return "not validated"
    if not is_of_present_data(report, task):
        return "edited since the checks"
    return "passed" if report.passed else "found errors"
