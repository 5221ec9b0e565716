"""data-validation: task data changed, so its checks run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_skills.errors import NlpSkillsError, NotFound, counted
from nlp_skills.hooks.note import LENGTH, TOOL, cut, last_look, modified

if TYPE_CHECKING:
    from nlp_skills.data.report import Finding, ValidationReport

REASONS = 2
"""How many reasons why checks did not run a note tells."""
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
    before = last_look(seen)
    tasks = (home / name for name in task_names(home))
    return [task for task in tasks if _changed(task) > max(before, modified(_report_path(task)))]


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
        return cut(f"nlp-skills could not validate {task.as_posix()}: {error}", LENGTH)
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
    return cut("\n".join([*lines, end]), LENGTH)


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
    lines = [f"Not run: {', '.join(checks)}: {cut(reason, 240)}" for reason, checks in reasons.items()]
    shown = lines[:REASONS]
    return shown + [f"Not run for {len(lines) - REASONS} more reasons."] * (len(lines) > REASONS)


def _describe_deep(report: ValidationReport) -> list[str]:
    """From when the findings are that a look at every row has made, where they were kept."""
    from nlp_skills.data.report import at_minute

    if not report.told_deep:
        return []
    when, checks = at_minute(min(report.told_deep.values())), cut(", ".join(report.told_deep), 160)
    return [f"Of a look at every row ({when}), kept because the data are the same: {checks}."]


def _describe_finding(finding: Finding) -> str:
    where = ", ".join(f"{row.file}:{row.line}" for row in finding.rows)
    place = f" ({cut(where, 90)})" if where else ""
    message, fix = cut(finding.message, 160), cut(finding.fix, 140)
    return f"- {finding.level} {finding.check} ×{finding.count}: {message}{place} Fix: {fix}"


def _report_path(task: Path) -> Path:
    return task / "data" / "validation.json"


def _changed(task: Path) -> int:
    """When the data or its sources last changed; 0 when there is no data yet."""
    if not (task / "data" / "train.jsonl").is_file():
        return 0
    files: Iterable[Path] = (*(task / "data" / name for name in SPLIT_FILES), task / "data_source.yaml")
    return max(map(modified, files))


def _names_sources(event: dict[str, Any]) -> bool:
    given = str((event.get("tool_input") or {}).get("file_path", ""))
    return given.endswith("data_source.yaml") or event.get("tool_name") == f"{TOOL}add_source"
