"""version-tracking: a training run ended, so its lineage is recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nlp_skills.errors import NlpSkillsError
from nlp_skills.hooks.note import ENDED, LENGTH, TOOL, cut, last_look, modified


def tracking_note(event: dict[str, Any], home: Path, seen: Path | None) -> str | None:
    """Record the lineage of runs that ended since the last look, and say which."""
    from nlp_skills.task.task import task_names
    from nlp_skills.task.version import version_names

    before = last_look(seen)
    # A tool of ours has just said itself how the run stands; a shell command has not.
    announce = event.get("tool_name") == "Bash" and before > 0
    tasks = [home / name for name in task_names(home)]
    runs = [(task, version) for task in tasks for version in version_names(task)]
    lines = [_track(task, version, before, announce) for task, version in runs]
    return cut("\n".join(line for line in lines if line), LENGTH) or None


def _track(task: Path, version: str, before: int, announce: bool) -> str | None:
    from nlp_skills.task.version import Version, record_lineage
    from nlp_skills.training.job import Job

    folder = task / "versions" / version
    run_changed = modified(folder / "job.json")
    if not run_changed or max(run_changed, modified(folder / "results.json")) <= before:
        return None
    try:
        job = Job.load(folder / "job.json")
        if job.status not in ENDED:
            return None
        lineage = Version.load(folder / "lineage.yaml")
        recorded = record_lineage(task, version=version) != lineage
    except NlpSkillsError as error:
        return f"nlp-skills could not record the lineage of {task.name} {version}: {error}"
    if recorded or (announce and run_changed > before):
        return _describe_run(task, version, job, recorded)
    return None


def _describe_run(task: Path, version: str, job: Any, recorded: bool) -> str:
    took = f" after {job.cost.seconds:.0f} s" if job.cost else ""
    lineage = (task / "versions" / version / "lineage.yaml").as_posix()
    done = f"its lineage was recorded now in {lineage}" if recorded else f"its lineage is in {lineage}"
    if job.status == "succeeded":
        evaluated = (task / "versions" / version / "results.json").is_file()
        then = "" if evaluated else f" Next: {TOOL}evaluate_version."
    else:
        then = f" {cut(job.error or 'No error was recorded.', 200)} Its log: {(task / job.log).as_posix()}"
    return f"nlp-skills: the run {task.name} {version} has {job.status}{took}; {done}.{then}"
