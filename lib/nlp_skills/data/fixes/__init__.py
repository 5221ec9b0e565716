"""Automatic fixes: rows are mended one by one, then compared with each other and dropped.

    {train,valid,test}.jsonl → lines → rows mended → rows compared → {train,valid,test}.jsonl

The files are read several times and never held; what is remembered of a row is one byte for its line
and, while rows are compared, keys of 16 bytes. A row without a defect stays as it is, to the byte.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from nlp_skills.data.checks.catalogue import CATALOGUE
from nlp_skills.data.fixes.drops import drop_conflicts, drop_duplicates, drop_leaks
from nlp_skills.data.fixes.mend import JSON, mend_rows
from nlp_skills.data.fixes.near import drop_near_duplicates
from nlp_skills.data.fixes.record import FixCount, FixedRow
from nlp_skills.data.fixes.rows import MENDERS
from nlp_skills.data.fixes.work import Work
from nlp_skills.errors import NotValid, did_you_mean
from nlp_skills.records import Progress, silent
from nlp_skills.task.task import Task

__all__ = ["FIXES", "FixCount", "FixedRow", "apply_fixes", "require_fixable"]

DROPS: dict[str, Callable[[Work], None]] = {
    "DATA-DUP": drop_duplicates,
    "DATA-CONFLICT": drop_conflicts,
    "SPLIT-LEAK": drop_leaks,
    "DATA-NEARDUP": drop_near_duplicates,
}
"""Fixes that compare rows, in the order in which they are applied."""

FIXES: tuple[str, ...] = (JSON, *MENDERS, *DROPS)
"""The checks that have a safe fix, in the order in which the fixes are applied."""


def require_fixable(checks: Sequence[str]) -> list[str]:
    """The checks in the order of FIXES. Raises NotValid for one that is unknown or has no safe fix."""
    for check in checks:
        if check not in FIXES:
            near = "" if check in CATALOGUE else did_you_mean(check.upper(), FIXES)
            raise NotValid(f"{check} has no automatic fix{near}. Fixable are: {', '.join(FIXES)}.")
    return [check for check in FIXES if check in checks]


def apply_fixes(
    folder: Path, checks: Sequence[str], task: Task, progress: Progress = silent
) -> dict[str, FixCount]:
    """Mend the split files in `folder` in place: meant for staged copies, nothing is kept of what was there.

    Gives for every check, in the order of FIXES, the rows that it changed and dropped. Raises
    NotValid for a check without a fix, MissingExtra where a fix needs a package that is not installed.
    """
    ordered = require_fixable(checks)
    work = Work.open(folder, task, progress)
    if mended := [check for check in ordered if check not in DROPS]:
        mend_rows(work, mended)
    for number, check in enumerate(ordered):
        if check in DROPS:
            progress(f"comparing rows for {check}", number, len(ordered))
            DROPS[check](work)
    work.finish()
    return work.log.result(ordered)
