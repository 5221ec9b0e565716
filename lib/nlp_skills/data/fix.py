"""Mending a task's data where that is safe: shown first, then applied, and applied again by every regeneration.

data/{train,valid,test}.jsonl ──copy──▶ data/fixed/ ──apply_fixes──▶ data/fixed/ and fixes.json
                              ──copy──▶ data/.next/ ──apply_fixes──▶ put in place, `fixes:` in data_source.yaml
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Sequence
from itertools import groupby
from pathlib import Path

from nlp_skills.data.archive import is_same_data
from nlp_skills.data.assemble import hash_sources
from nlp_skills.data.checked import is_of_present_data, last_report
from nlp_skills.data.difference import compare_rows, read_named, same_lines
from nlp_skills.data.fixes import FIXES, FixCount, apply_fixes, require_fixable
from nlp_skills.data.fixes.work import pieces
from nlp_skills.data.present import describe_data, describe_files, hash_edited, hash_files
from nlp_skills.data.replacement import put_in_place, settle_data, staging_folder
from nlp_skills.data.report import Finding, ValidationReport
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.data.sources.source import SPLITS, DataSources
from nlp_skills.errors import NotReady
from nlp_skills.records import Progress, Record, silent
from nlp_skills.task.task import Task, TaskType

FIXED = Path("data") / "fixed"
"""Where a fix that is not applied is to be looked at."""


class FixReport(Record):
    """`data/fixed/fixes.json`: what the fixes did, or would do."""

    applied: bool
    """False: the data are as they were, the mended files lie in data/fixed/."""
    fixes: dict[str, FixCount]
    """By check that did something, in the order in which they were applied."""
    rows: dict[str, tuple[int, int]]
    """By file: rows before and after."""
    idle: dict[str, str] = {}
    """Check → why nothing was done for it: those that were named, otherwise those that found something."""
    apply_with: str = ""
    """The command that makes the mended rows the data; empty where they are, or nothing was mended."""

    @property
    def touched(self) -> int:
        """Rows that were changed or dropped; one that two checks changed counts twice."""
        return sum(count.changed + count.dropped for count in self.fixes.values())


def fix_data(
    task: Path, *, checks: list[str] | None = None, apply: bool = False, progress: Progress = silent
) -> FixReport:
    """Mend the task's data: rows are repaired, masked or dropped, where that is safe without asking.

    Without `apply` the mended files are written to data/fixed/ beside fixes.json, and nothing else is touched.
    With it they become the data, those before are kept in data/snapshots/, and the checks are written to
    `fixes:` in data_source.yaml, so that a regeneration applies them too. `checks` are check ids; None: all that
    have a fix and are not off in task.yaml (`quality`), of which those that found something are written down;
    DATA-CONFLICT has to be named where answers are free text. Several may stand in one text: `DATA-DUP,DATA-PII`.

    Raises NotReady when there is no data yet, NotValid for a check that has no fix, MissingExtra where a fix needs
    a package that is not installed.
    """
    definition = Task.load(task / "task.yaml")
    settings = task / "data_source.yaml"
    sources = DataSources.load(settings) if settings.is_file() else DataSources()
    if checks is not None:
        checks = [check for given in checks for check in given.replace(",", " ").split()]
    asked = _asked_for(definition) if checks is None else checks
    # With those of earlier fixes, so that the outcome is that of the next regeneration.
    wanted = require_fixable([*sources.fixes, *asked])
    settle_data(task)
    if not any((task / "data" / f"{split}.jsonl").is_file() for split in SPLITS):
        raise NotReady(f"{task.name} has no data yet. Make it with: nlp-skills regenerate-data {task.name}")
    with staging_folder(task) as staging:
        report = _fix(task, staging, wanted, definition, progress)
        report = report.model_copy(update={"idle": idle_checks(task, checks, report)})
        if not apply:
            if report.fixes:
                named = f" --checks {','.join(checks)}" if checks else ""
                command = f"nlp-skills fix-data {task.name}{named} --apply"
                report = report.model_copy(update={"apply_with": command})
            return _show(task, staging, report)
        lasting = [*sources.fixes, *(report.fixes if checks is None else checks)]
        return _apply(task, staging, report, require_fixable(lasting), definition)


def _asked_for(definition: Task) -> list[str]:
    """What is safe without being named: not what is off in task.yaml, and no conflicts where answers are free text,
    of which several to one question may all be right."""
    judged = definition.type.has_labels or definition.type is TaskType.PREFERENCE
    return [
        check
        for check in FIXES
        if definition.quality.get(check) != "off" and (judged or check != "DATA-CONFLICT")
    ]


def idle_checks(task: Path, asked: Sequence[str] | None, report: FixReport) -> dict[str, str]:
    """Why nothing was done for a check, by what the last checks of these data said: of those that were asked for, or
    else of those that found something."""
    last = last_report(task)
    if last is None or not is_of_present_data(last, task):
        unknown = (
            f"nothing that can be mended safely; what there is says: nlp-skills validate-data {task.name}"
        )
        return {check: unknown for check in asked or () if check not in report.fixes}
    found = {finding.check: finding for finding in reversed(last.findings)}
    errors = [f.check for f in last.findings if f.level == "error" or f.check in FIXES]
    told = dict.fromkeys(errors if asked is None else asked)
    return {check: _why_idle(check, last, found.get(check)) for check in told if check not in report.fixes}


def _why_idle(check: str, last: ValidationReport, finding: Finding | None) -> str:
    if finding is None:
        state = last.checks.get(check, "")
        return "nothing was found" if state == "passed" else state or "it has not run"
    fix = finding.fix.rstrip(".")
    if check not in FIXES:
        return f"{finding.level}, which no automatic fix can mend. {fix}."
    return f"{finding.level}, and nothing of it can be mended safely by itself. {fix}."


def _fix(task: Path, staging: Path, checks: Sequence[str], definition: Task, progress: Progress) -> FixReport:
    """Mended copies of the split files in the staging folder, and what was done."""
    present = [name for split in SPLITS if (task / "data" / (name := f"{split}.jsonl")).is_file()]
    for name in present:
        shutil.copyfile(task / "data" / name, staging / name)
    before = {name: _count(staging / name) for name in present}
    applied = apply_fixes(staging, checks, definition, progress)
    fixes = {check: count for check, count in applied.items() if count.changed or count.dropped}
    rows = {f"data/{name}": (count, _count(staging / name)) for name, count in before.items()}
    return FixReport(applied=False, fixes=fixes, rows=rows)


def _count(path: Path) -> int:
    """The lines that hold something, however long they are."""
    lines = groupby(pieces(path), key=lambda piece: piece[0])
    return sum(any(not part.isspace() for _, part, _ in parts) for _, parts in lines)


def _show(task: Path, staging: Path, report: FixReport) -> FixReport:
    """Put the mended files where they can be looked at."""
    shutil.rmtree(task / FIXED, ignore_errors=True)
    (task / FIXED).mkdir(parents=True)
    for file in staging.glob("*.jsonl"):
        file.replace(task / FIXED / file.name)
    return report.save(task / FIXED / "fixes.json")


def _apply(task: Path, staging: Path, report: FixReport, checks: list[str], definition: Task) -> FixReport:
    """Make the mended files the data. The settings come first: after a kill in between, a regeneration mends as well."""
    settings, raw = task / "data_source.yaml", task / "data" / "raw"
    sources = DataSources.load(settings) if settings.is_file() else DataSources()
    sources = sources.with_changes(fixes=checks)
    for file in raw.glob("*.jsonl"):
        shutil.copyfile(file, staging / "raw" / file.name)
    snapshot = _fixed_snapshot(task, staging, report, sources, definition)
    snapshot.save(staging / "data_snapshot.json")
    if settings.is_file():
        sources.save(settings)
    put_in_place(task, staging)
    shutil.rmtree(task / FIXED, ignore_errors=True)
    return report.with_changes(applied=True).save(task / FIXED / "fixes.json")


def _fixed_snapshot(
    task: Path,
    staging: Path,
    report: FixReport,
    sources: DataSources,
    definition: Task,
) -> DataSnapshot:
    """The snapshot of the mended data: what a regeneration of the same rows with these fixes would write, or, of rows
    that were edited by hand, one of their own; the differences counted from the data before the fix."""
    files = hash_files(task / "data")
    before = describe_data(task / "data", files)
    assert before is not None, "there is a split file"
    mended = describe_files(staging, hash_files(staging), before)
    if before.source_hash != hash_edited(files):
        source_hash = hash_sources(before.sources, sources, definition)
        mended = before.model_copy(update={"source_hash": source_hash, "splits": mended.splits})
    if is_same_data(before, mended):
        return before
    fixes = Counter(before.fixes)
    fixes.update({check: count.changed + count.dropped for check, count in report.fixes.items()})
    by_line = same_lines(before, before)
    difference = compare_rows(
        read_named(task / "data", before, by_line), read_named(staging, before, by_line)
    )
    return mended.model_copy(
        update={
            "fixes": {check: fixes[check] for check in sources.fixes},
            "before": before.source_hash,
            "before_edited": before.edited,
            **vars(difference),
        }
    )
