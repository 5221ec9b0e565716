"""What the coding assistant's hooks do after a tool has run: one event in, one short note out.

    hooks/after-tool.sh   → is there anything to do? (milliseconds, no Python)
    data-validation       task data changed     → validate_data  → verdict and findings
    version-tracking      a training run ended  → record_lineage → what was recorded

The event is JSON on standard input; the note is `hookSpecificOutput.additionalContext` on standard
output, which the model reads right after the tool's result. Whatever goes wrong in here is one line
on standard error and exit status 0: a hook never stands in the user's way.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_skills.errors import NlpSkillsError, NotFound, NotReady, counted

if TYPE_CHECKING:
    from nlp_skills.data.report import Finding, ValidationReport

SECONDS = 20.0
"""How long one hook may take before it says that it was cut."""
LENGTH = 1200
"""The most characters that a note may have: it stays in the conversation."""
REASONS = 2
"""How many reasons why checks did not run a note tells."""
TOOL = "mcp__plugin_nlp-skills_lib__"
ENDED = ("succeeded", "failed", "cancelled")
SPLIT_FILES = ("train.jsonl", "valid.jsonl", "test.jsonl")


def validation_note(event: dict[str, Any], home: Path, seen: Path | None) -> str | None:
    """Validate the tasks whose data the event has touched; None when there is nothing to say."""
    notes = [validate(task, event) for task in touched_tasks(event, home, seen)]
    return "\n\n".join(note for note in notes if note) or None


def touched_tasks(event: dict[str, Any], home: Path, seen: Path | None) -> list[Path]:
    """The task folders whose data this event has changed, or may have changed.

    A file tool names its file and an MCP tool its task. A shell command says neither, so every
    task is looked at whose data is newer than its last validation and than the last look.
    """
    given = event.get("tool_input") or {}
    if "file_path" in given:
        path = Path(given["file_path"]).resolve()
        owners = [folder for folder in path.parents if folder.parent == home.resolve()]
        return [home / folder.name for folder in owners if (folder / "task.yaml").is_file()]
    from nlp_skills.task.task import find_task, task_names

    if "task" in given:
        return [find_task(home, given["task"])]
    last_look = _look(seen)
    tasks = (home / name for name in task_names(home))
    return [task for task in tasks if _changed(task) > max(last_look, _modified(_report_path(task)))]


def validate(task: Path, event: dict[str, Any]) -> str | None:
    """Run the checks over one task and say what they found."""
    from nlp_skills.data.sources.source import DataSources
    from nlp_skills.task.task import Task

    try:
        Task.load(task / "task.yaml")
        with suppress(NotFound):
            DataSources.load(task / "data_source.yaml")
        if not any((task / "data" / name).is_file() for name in SPLIT_FILES):
            return None
        from nlp_skills.data.validation import validate_data

        # Without the tokens: the first look at a base model's tokenizer can take longer than a hook may.
        note = describe(task, validate_data(task, tokens=False))
    except NlpSkillsError as error:
        return _cut(f"nlp-skills could not validate {task.as_posix()}: {error}", LENGTH)
    if _names_sources(event):
        note += f"\nThis is the data as it was made before; {TOOL}regenerate_data makes it again."
    return note


def describe(task: Path, report: ValidationReport) -> str:
    """The verdict, the findings with ids and lines, and what to do next, in LENGTH characters."""
    errors = [finding for finding in report.findings if finding.level == "error"]
    rows = ", ".join(f"{Path(name).name} {count}" for name, count in report.files.items())
    if errors:
        verdict = f"FAILED ({', '.join(dict.fromkeys(finding.check for finding in errors))})"
    elif report.not_run:
        verdict = f"no error found, but {counted(len(report.not_run), 'check')} did not run"
    else:
        verdict = "passed"
    lines = [f"nlp-skills validated the data of {task.as_posix()} ({rows} rows): {verdict}."]
    lines += _describe_not_run(report)
    lines += _describe_deep(report)
    if errors:
        end = (
            f"Next: mend the source, then {TOOL}regenerate_data (it replaces edited files; they are kept in"
            f" data/snapshots/); or {TOOL}fix_data; or edit the file, then {TOOL}validate_data."
        )
    else:
        end = f"All of it: {_report_path(task).as_posix()}"
    findings = _worst_of_each_first(report.findings)
    room = LENGTH - len("\n".join([*lines, end])) - 220
    for position, finding in enumerate(findings):
        line = _describe_finding(finding)
        if len(line) + 1 > room:
            lines.append(f"- and {len(findings) - position} more in {_report_path(task).as_posix()}")
            break
        lines.append(line)
        room -= len(line) + 1
    return _cut("\n".join([*lines, end]), LENGTH)


def _worst_of_each_first(findings: Sequence[Finding]) -> list[Finding]:
    """Errors before warnings; within them every check's first finding comes before any check's second."""
    order = {"error": 0, "warning": 1, "info": 2}
    seen: Counter[str] = Counter()
    ranks = []
    for finding in findings:
        ranks.append((order[finding.level], seen[finding.check]))
        seen[finding.check] += 1
    return [finding for _, finding in sorted(zip(ranks, findings, strict=True), key=lambda pair: pair[0])]


def _describe_not_run(report: ValidationReport) -> list[str]:
    """One line for each reason, with the checks that it kept from running; what does not apply is no news."""
    from nlp_skills.data.validation import LEFT_OUT

    reasons: dict[str, list[str]] = {}
    for check, reason in report.not_run.items():
        told = f"{reason}; they run with {TOOL}validate_data." if reason == LEFT_OUT else reason
        reasons.setdefault(told, []).append(check)
    lines = [f"Not run: {', '.join(checks)}: {_cut(reason, 240)}" for reason, checks in reasons.items()]
    shown = lines[:REASONS]
    return shown + [f"Not run for {len(lines) - REASONS} more reasons."] * (len(lines) > REASONS)


def _describe_deep(report: ValidationReport) -> list[str]:
    """From when the findings are that a look at every row has made, where they were kept."""
    from nlp_skills.data.report import at_minute

    if not report.told_deep:
        return []
    when, checks = at_minute(min(report.told_deep.values())), _cut(", ".join(report.told_deep), 160)
    return [f"Of a look at every row ({when}), kept because the data are the same: {checks}."]


def _describe_finding(finding: Finding) -> str:
    where = ", ".join(f"{row.file}:{row.line}" for row in finding.rows)
    place = f" ({_cut(where, 90)})" if where else ""
    message, fix = _cut(finding.message, 160), _cut(finding.fix, 140)
    return f"- {finding.level} {finding.check} ×{finding.count}: {message}{place} Fix: {fix}"


def tracking_note(event: dict[str, Any], home: Path, seen: Path | None) -> str | None:
    """Record the lineage of runs that ended since the last look, and say which."""
    from nlp_skills.task.task import task_names
    from nlp_skills.task.version import version_names

    last_look = _look(seen)
    # A tool of ours has just said itself how the run stands; a shell command has not.
    announce = event.get("tool_name") == "Bash" and last_look > 0
    tasks = [home / name for name in task_names(home)]
    runs = [(task, version) for task in tasks for version in version_names(task)]
    lines = [_track(task, version, last_look, announce) for task, version in runs]
    return _cut("\n".join(line for line in lines if line), LENGTH) or None


def _track(task: Path, version: str, last_look: int, announce: bool) -> str | None:
    from nlp_skills.task.version import Version, record_lineage
    from nlp_skills.training.job import Job

    folder = task / "versions" / version
    run_changed = _modified(folder / "job.json")
    if not run_changed or max(run_changed, _modified(folder / "results.json")) <= last_look:
        return None
    try:
        job = Job.load(folder / "job.json")
        if job.status not in ENDED:
            return None
        before = Version.load(folder / "lineage.yaml")
        recorded = record_lineage(task, version=version) != before
    except NlpSkillsError as error:
        return f"nlp-skills could not record the lineage of {task.name} {version}: {error}"
    if recorded or (announce and run_changed > last_look):
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
        then = f" {_cut(job.error or 'No error was recorded.', 200)} Its log: {(task / job.log).as_posix()}"
    return f"nlp-skills: the run {task.name} {version} has {job.status}{took}; {done}.{then}"


NOTES: dict[str, Callable[[dict[str, Any], Path, Path | None], str | None]] = {
    "data-validation": validation_note,
    "version-tracking": tracking_note,
}


def run_hook(hook: str, event: dict[str, Any], home: Path, seen: Path | None, seconds: float) -> str | None:
    """The hook's note; when it takes longer than `seconds`, a note that says so."""
    outcome: list[str | None] = []
    failure: list[BaseException] = []

    def work() -> None:
        try:
            outcome.append(NOTES[hook](event, home, seen))
        except (NotFound, NotReady):
            outcome.append(None)
        except BaseException as error:
            failure.append(error)

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    worker.join(seconds)
    if failure:
        raise failure[0]
    if not outcome:
        return (
            f"nlp-skills: {hook} was cut after {seconds:.0f} s and has no verdict. "
            f"The whole check runs with {TOOL}validate_data."
            if hook == "data-validation"
            else f"nlp-skills: {hook} was cut after {seconds:.0f} s; {TOOL}record_lineage does it."
        )
    return outcome[0]


def main(arguments: list[str] | None = None) -> int:
    """`python -m nlp_skills.hooks <hook> [<file that marks the last look> [<seconds>]]`, the event on standard input."""
    hook, *rest = sys.argv[1:] if arguments is None else arguments
    try:
        from nlp_skills.task.task import tasks_folder

        event = json.loads(sys.stdin.buffer.read().decode("utf-8"))
        seen = Path(rest[0]) if rest else None
        seconds = float(rest[1]) if len(rest) > 1 else SECONDS
        note = run_hook(hook, event, tasks_folder(), seen, seconds)
    except Exception as error:
        print(f"nlp-skills {hook}: {type(error).__name__}: {error}".splitlines()[0], file=sys.stderr)
        return 0
    if note:
        answer = {"hookEventName": event.get("hook_event_name", "PostToolUse"), "additionalContext": note}
        print(json.dumps({"hookSpecificOutput": answer}))
    return 0


def _report_path(task: Path) -> Path:
    return task / "data" / "validation.json"


def _look(seen: Path | None) -> int:
    """When everything was last looked at, and that it is being looked at now."""
    last_look = _modified(seen) if seen else 0
    if seen and seen.parent.is_dir():
        seen.touch()
    return last_look


def _changed(task: Path) -> int:
    """When the data or its sources last changed; 0 when there is no data yet."""
    if not (task / "data" / "train.jsonl").is_file():
        return 0
    files: Iterable[Path] = (*(task / "data" / name for name in SPLIT_FILES), task / "data_source.yaml")
    return max(map(_modified, files))


def _modified(path: Path) -> int:
    """Nanoseconds; 0 when there is no such file."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _names_sources(event: dict[str, Any]) -> bool:
    given = str((event.get("tool_input") or {}).get("file_path", ""))
    return given.endswith("data_source.yaml") or event.get("tool_name") == f"{TOOL}add_source"


def _cut(text: str, length: int) -> str:
    line = text if len(text) <= length else text[: length - 1] + "…"
    return line.strip()


if __name__ == "__main__":
    status = main()
    sys.stdout.flush()
    from nlp_skills.data.partitions import stop_workers

    # A check that was cut still runs in its thread and in processes on all cores; leaving waits for neither.
    stop_workers()
    os._exit(status)
