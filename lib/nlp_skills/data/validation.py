"""Checking a task's data: one pass over train, valid and test, one report.

data/{train,valid,test}.jsonl → checks → data/validation.json
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from nlp_skills.data.checks import CHECKS, STRUCTURE
from nlp_skills.data.checks.labels import split_of
from nlp_skills.data.checks.reading import Reader
from nlp_skills.data.checks.rows import Context
from nlp_skills.data.replacement import settle_data
from nlp_skills.data.report import ValidationReport
from nlp_skills.data.sources.source import SPLITS
from nlp_skills.errors import NotReady
from nlp_skills.records import Progress, silent
from nlp_skills.task.task import Task

MAX_LABELS = 200
"""Labels that a distribution lists; what is rarer is counted together."""


def validate_data(task: Path, *, progress: Progress = silent) -> ValidationReport:
    """Check the task's data and write data/validation.json. Raises NotReady when there is no data yet."""
    definition = Task.load(task / "task.yaml")
    settle_data(task)
    names = [f"data/{split}.jsonl" for split in SPLITS]
    files = {name: task / name for name in names if (task / name).is_file()}
    if not files:
        raise NotReady(f"{task.name} has no data yet. Make it with: nlp-skills regenerate-data {task.name}")
    report = check_files(files, definition, progress)
    return report.save(task / "data" / "validation.json")


def check_files(files: Mapping[str, Path], task: Task, progress: Progress = silent) -> ValidationReport:
    """Every check of CHECKS over these files, which are named as the report shall name them.

    Rows are read line by line; memory holds a table of 16-byte identities.
    """
    reader = Reader(files, task, progress)
    context = Context(task, files)
    families = [make(context, reader) for make in STRUCTURE]
    for batch in reader.batches():
        for family in families:
            family.see(batch)
    findings = [
        finding.model_copy(update={"fix": finding.fix.replace("{task}", task.name)})
        for family in families
        for finding in family.findings()
    ]
    not_run = {check: why for family in families for check, why in family.not_run().items()}
    found = {finding.check for finding in findings}
    checks = {
        check: "found" if check in found else f"not run: {not_run[check]}" if check in not_run else "passed"
        for check in CHECKS
    }
    return ValidationReport(
        data_sha256=_digest(reader.sha256),
        files=reader.rows,
        checks=checks,
        findings=findings,
        distributions={**_label_distributions(reader), **_length_distributions(reader)},
        passed=not any(finding.level == "error" for finding in findings),
    )


def _digest(hashes: Mapping[str, str]) -> str:
    """SHA-256 over the names and hashes of the files, as `sha256sum` prints them."""
    return hashlib.sha256("".join(f"{sha}  {name}\n" for name, sha in hashes.items()).encode()).hexdigest()


def _label_distributions(reader: Reader) -> dict[str, dict[str, int]]:
    shown = {}
    for file, labels in reader.labels.items():
        counts = Counter({label: count for label, count in labels.items() if label is not None})
        if counts:
            listed = dict(counts.most_common(MAX_LABELS))
            if len(counts) > MAX_LABELS:
                listed["(all others)"] = counts.total() - sum(listed.values())
            shown[f"labels {split_of(file)}"] = listed
    return shown


def _length_distributions(reader: Reader) -> dict[str, dict[str, int]]:
    """Input lengths in characters; buckets of 100, from 1,000 of 1,000, from 10,000 of 10,000 …"""
    shown = {}
    for file, lengths in reader.lengths.items():
        buckets: dict[str, int] = {}
        for length in sorted(lengths):
            width = 10 ** max(2, len(str(length)) - 1)
            low = length // width * width
            name = f"{low}-{low + width - 1}"
            buckets[name] = buckets.get(name, 0) + lengths[length]
        if buckets:
            shown[f"characters {split_of(file)}"] = buckets
    return shown
