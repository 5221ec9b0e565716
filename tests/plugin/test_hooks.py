"""The hooks as the client runs them: a script, an event on standard input, a note on standard output."""

import json
import os
import shutil
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from nlp_skills.data.checks import CHECKS
from nlp_skills.data.checks.tokens import Tokens
from nlp_skills.data.report import Finding, Level, RowReference, ValidationReport
from nlp_skills.data.validation import validate_data
from nlp_skills.errors import MissingExtra
from nlp_skills.hooks.__main__ import NOTES, run_hook
from nlp_skills.hooks.note import LENGTH
from nlp_skills.hooks.validation import describe
from nlp_skills.task.task import Task, TaskType, create_task

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "hooks" / "run-hook.sh"
TOOL = "mcp__plugin_nlp-skills_lib__"

pytestmark = pytest.mark.skipif(shutil.which("sh") is None, reason="the hooks are started by a POSIX shell")


def row(text: str, label: str, number: int) -> str:
    messages = [{"role": "user", "content": text}, {"role": "assistant", "content": label}]
    return json.dumps({"messages": messages, "meta": {"id": f"r-{number}", "source": "r", "label": label}})


def write_splits(task: Path) -> None:
    labels = ("good", "bad")
    for split, start, count in (("train", 0, 40), ("valid", 100, 10), ("test", 200, 10)):
        lines = [
            row(
                f"review number {n}: the food was {'fine' if n % 2 else 'cold'} on table {n * 7}",
                labels[n % 2],
                n,
            )
            for n in range(start, start + count)
        ]
        (task / "data" / f"{split}.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with one task whose data has no fault."""
    folder = tmp_path / "project"
    create_task(
        folder / "tasks", "reviews", type=TaskType.CLASSIFICATION, goal="Good or bad?", labels=["good", "bad"]
    )
    write_splits(folder / "tasks" / "reviews")
    return folder


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A plugin folder whose interpreter is this one; it leaves a file where it was started."""
    root = tmp_path / "plugin"
    (root / ".venv" / "bin").mkdir(parents=True)
    python = root / ".venv" / "bin" / "python"
    python.write_text(f'#!/bin/sh\ntouch "{root}/python-was-started"\nexec "{sys.executable}" "$@"\n')
    python.chmod(0o755)
    return root


def event(tool: str, **given: Any) -> dict[str, Any]:
    return {
        "session_id": "s",
        "transcript_path": "/home/u/.claude/projects/p/train.jsonl.d/s.jsonl",
        "hook_event_name": "PostToolUse",
        "tool_name": tool,
        "tool_input": given,
        "tool_response": {},
    }


def run_script(
    hook: str, happened: dict[str, Any], project: Path, plugin: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    known = {key: value for key, value in os.environ.items() if key != "NLP_SKILLS_HOME"}
    return subprocess.run(
        ["sh", str(SCRIPT), hook],
        input=json.dumps(happened, separators=(",", ":"), ensure_ascii=False),
        capture_output=True,
        encoding="utf-8",
        cwd=project,
        env={**known, "CLAUDE_PROJECT_DIR": str(project), "CLAUDE_PLUGIN_ROOT": str(plugin), **environment},
        check=False,
    )


def note(result: subprocess.CompletedProcess[str]) -> str:
    assert (result.returncode, result.stderr) == (0, "")
    answer = json.loads(result.stdout)["hookSpecificOutput"]
    assert answer["hookEventName"] in ("PostToolUse", "SessionStart")
    return answer["additionalContext"]


def assert_silent(result: subprocess.CompletedProcess[str], plugin: Path, *, python: bool) -> None:
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")
    assert (plugin / "python-was-started").exists() is python


def break_row(task: Path, line: int = 3) -> Path:
    path = task / "data" / "train.jsonl"
    lines = path.read_text(encoding="utf-8").splitlines()
    lines[line - 1] = lines[line - 1][:-4]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_a_written_split_with_a_broken_line_is_reported_with_id_and_line(project: Path, plugin: Path) -> None:
    path = break_row(project / "tasks" / "reviews")
    said = note(run_script("data-validation", event("Write", file_path=str(path)), project, plugin))
    assert "FAILED" in said
    assert "DATA-JSON" in said
    assert "data/train.jsonl:3" in said
    assert len(said) <= LENGTH
    report = ValidationReport.load(project / "tasks" / "reviews" / "data" / "validation.json")
    assert report.passed is False


def test_a_shell_command_that_changed_data_is_noticed_once(project: Path, plugin: Path) -> None:
    happened = event("Bash", command="python mend.py")
    assert "tasks/reviews" in note(run_script("data-validation", happened, project, plugin))
    (plugin / "python-was-started").unlink()
    assert_silent(run_script("data-validation", happened, project, plugin), plugin, python=False)
    break_row(project / "tasks" / "reviews")
    assert "DATA-JSON" in note(run_script("data-validation", happened, project, plugin))


@pytest.mark.parametrize("tool", ["regenerate_data", "fix_data"])
def test_a_data_tool_names_its_task(tool: str, project: Path, plugin: Path) -> None:
    happened = event(f"{TOOL}{tool}", task="reviews")
    assert "tasks/reviews" in note(run_script("data-validation", happened, project, plugin))


# Clients before the pinned one have MultiEdit; the pinned one says "No such tool available", so its event is played here.
@pytest.mark.parametrize("tool", ["Write", "Edit", "MultiEdit"])
def test_each_tool_that_changes_a_file_is_one_that_the_hook_waits_for(
    tool: str, project: Path, plugin: Path
) -> None:
    [matcher] = [
        entry["matcher"]
        for entry in json.loads((ROOT / "hooks" / "hooks.json").read_text(encoding="utf-8"))["hooks"][
            "PostToolUse"
        ]
        if "data-validation" in entry["hooks"][0]["command"]
    ]
    assert tool in matcher.split("|")
    edits = [{"old_string": "good", "new_string": "bad"}]
    happened = event(tool, file_path=str(break_row(project / "tasks" / "reviews")), edits=edits)
    assert "DATA-JSON" in note(run_script("data-validation", happened, project, plugin))


def test_a_misspelt_field_of_data_source_yaml_is_named(project: Path, plugin: Path) -> None:
    path = project / "tasks" / "reviews" / "data_source.yaml"
    path.write_text("sources: []\ndedupe: true\n", encoding="utf-8")
    said = note(run_script("data-validation", event("Edit", file_path=str(path)), project, plugin))
    assert "dedupe: unknown field" in said


def test_new_sources_are_said_to_need_a_regeneration(project: Path, plugin: Path) -> None:
    path = project / "tasks" / "reviews" / "data_source.yaml"
    path.write_text("sources: []\nsplit: {seed: 7}\n", encoding="utf-8")
    said = note(run_script("data-validation", event("Write", file_path=str(path)), project, plugin))
    assert f"{TOOL}regenerate_data makes it again" in said


def test_a_task_without_data_is_left_in_peace(project: Path, plugin: Path) -> None:
    task = project / "tasks" / "reviews"
    for path in (task / "data").glob("*.jsonl"):
        path.unlink()
    happened = event("Edit", file_path=str(task / "task.yaml"))
    assert_silent(run_script("data-validation", happened, project, plugin), plugin, python=True)


@pytest.mark.parametrize(
    "happened",
    [
        event("Write", file_path="/src/app.py", content='open("tasks/reviews/data/train.jsonl")'),
        event(
            "Edit", file_path="/src/README.md", old_string='"train.jsonl"', new_string="see data_source.yaml."
        ),
        event("Write", content="x " * 200_000, file_path="/src/big.txt"),
        event("Write", file_path="/src/名前 'quoted' $(touch oops) `x`.txt", content="%s\\n\\0"),
    ],
    ids=["python", "readme", "big", "odd name"],
)
def test_an_unrelated_file_starts_no_python(happened: dict[str, Any], project: Path, plugin: Path) -> None:
    assert_silent(run_script("data-validation", happened, project, plugin), plugin, python=False)
    assert not (project / "oops").exists()


@pytest.mark.parametrize("hook", ["data-validation", "version-tracking"])
def test_outside_a_project_nothing_happens(hook: str, tmp_path: Path, plugin: Path) -> None:
    data = tmp_path / "tasks" / "reviews" / "data"
    data.mkdir(parents=True)
    path = data / "train.jsonl"
    path.write_text("{broken\n")
    for happened in (event("Write", file_path=str(path)), event("Bash", command="nlp-skills list")):
        assert_silent(run_script(hook, happened, tmp_path, plugin), plugin, python=False)
    assert sorted(p.name for p in data.iterdir()) == ["train.jsonl"]


def test_the_tasks_folder_may_lie_elsewhere(project: Path, plugin: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    path = break_row(project / "tasks" / "reviews")
    happened = event("Write", file_path=str(path))
    home = str(project / "tasks") + "/"
    assert "DATA-JSON" in note(
        run_script("data-validation", happened, elsewhere, plugin, NLP_SKILLS_HOME=home)
    )


def test_without_an_interpreter_the_hook_says_nothing(project: Path, tmp_path: Path) -> None:
    tools = tmp_path / "tools"
    tools.mkdir()
    for name in ("sh", "cat", "dirname"):
        (tools / name).symlink_to(shutil.which(name) or name)
    path = break_row(project / "tasks" / "reviews")
    result = run_script(
        "data-validation",
        event("Write", file_path=str(path)),
        project,
        tmp_path / "no-plugin",
        PATH=str(tools),
    )
    assert (result.returncode, result.stdout, result.stderr) == (0, "", "")


def test_a_broken_event_is_one_line_on_standard_error(project: Path, plugin: Path) -> None:
    result = subprocess.run(
        ["sh", str(SCRIPT), "data-validation"],
        input='{"tool_name":"mcp__plugin',
        capture_output=True,
        text=True,
        cwd=project,
        env={**os.environ, "CLAUDE_PROJECT_DIR": str(project), "CLAUDE_PLUGIN_ROOT": str(plugin)},
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "")
    assert len(result.stderr.splitlines()) == 1
    assert result.stderr.startswith("nlp-skills data-validation: JSONDecodeError")


def lay_version(task: Path, status: str, *, error: str | None = None) -> Path:
    """A version whose run says how it stands, and whose lineage was written before the run."""
    folder = task / "versions" / "v1"
    folder.mkdir(parents=True)
    split = {"sha256": "0" * 64, "count": 40, "label_counts": {}}
    snapshot = {"source_hash": "ab", "sources": {}, "splits": {"train": split}, "seed": 13}
    config = {"base_model": "smollm2-135m-instruct"}
    (folder / "data_snapshot.json").write_text(json.dumps(snapshot))
    (folder / "config.yaml").write_text(json.dumps(config))
    lineage = {
        "version": "v1",
        "created": "2026-11-21T08:00:00Z",
        "data": {"source_hash": "ab", "train_count": 40, "valid_count": 0, "test_count": 0},
        "config": config,
    }
    (folder / "lineage.yaml").write_text(json.dumps(lineage))
    job = {
        "id": "j1",
        "status": status,
        "started": "2026-11-21T08:00:00Z",
        "log": "versions/v1/train.log",
        "error": error,
        "cost": {"seconds": 312.0, "peak_memory_mb": 900.0},
    }
    (folder / "job.json").write_text(json.dumps(job, indent=2))
    return folder


def test_the_lineage_of_a_run_that_ended_is_recorded_and_said(project: Path, plugin: Path) -> None:
    from nlp_skills.task.version import Version

    folder = lay_version(project / "tasks" / "reviews", "succeeded")
    said = note(run_script("version-tracking", event("Bash", command="ls"), project, plugin))
    assert "reviews v1 has succeeded after 312 s; its lineage was recorded now" in said
    assert f"{TOOL}evaluate_version" in said
    assert Version.load(folder / "lineage.yaml").cost["seconds"] == 312.0
    (plugin / "python-was-started").unlink()
    again = run_script("version-tracking", event("Bash", command="ls"), project, plugin)
    assert_silent(again, plugin, python=False)


def test_a_run_that_failed_is_said_with_its_error_and_log(project: Path, plugin: Path) -> None:
    lay_version(project / "tasks" / "reviews", "failed", error="RUN-NAN: the loss is not a number.")
    happened = event(f"{TOOL}training_status", task="reviews")
    said = note(run_script("version-tracking", happened, project, plugin))
    assert "RUN-NAN: the loss is not a number." in said
    assert "tasks/reviews/versions/v1/train.log" in said


def test_a_run_that_goes_on_starts_no_python(project: Path, plugin: Path) -> None:
    lay_version(project / "tasks" / "reviews", "running")
    result = run_script("version-tracking", event("Bash", command="ls"), project, plugin)
    assert_silent(result, plugin, python=False)


def test_a_broken_record_of_one_run_is_said_and_does_not_hide_the_others(project: Path, plugin: Path) -> None:
    task = project / "tasks" / "reviews"
    folder = lay_version(task, "succeeded")
    shutil.copytree(folder, task / "versions" / "v2")
    (folder / "job.json").write_text("{")
    said = note(run_script("version-tracking", event("Bash", command="ls"), project, plugin))
    assert "could not record the lineage of reviews v1" in said
    assert "reviews v2 has succeeded" in said


def test_a_hook_that_takes_too_long_says_that_it_was_cut(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    never = threading.Event()
    monkeypatch.setitem(NOTES, "data-validation", lambda *_: never.wait(60) and None)
    said = run_hook("data-validation", {}, project / "tasks", None, 0.01)
    never.set()
    assert said is not None
    assert "was cut after" in said
    assert f"{TOOL}validate_data" in said


BEGIN = {"session_id": "s", "hook_event_name": "SessionStart", "source": "startup"}


def test_a_session_begins_with_one_line_on_what_comes_next(project: Path, plugin: Path) -> None:
    said = note(run_script("session-start", BEGIN, project, plugin))
    assert said == "nlp-skills: next for reviews: Add data: nlp-skills add-source reviews FILE."


def test_a_session_begins_with_the_runs_that_ended_since_the_last_one(project: Path, plugin: Path) -> None:
    task = project / "tasks" / "reviews"
    lay_version(task, "succeeded")
    assert "has succeeded" not in note(run_script("session-start", BEGIN, project, plugin))
    seen = project / ".nlp-skills" / "session-start"
    os.utime(seen, (1, 1))
    assert "reviews v1 has succeeded" in note(run_script("session-start", BEGIN, project, plugin))
    assert "has succeeded" not in note(run_script("session-start", BEGIN, project, plugin))


def test_a_session_begins_with_the_tasks_whose_data_are_broken(project: Path, plugin: Path) -> None:
    task = project / "tasks" / "reviews"
    break_row(task)
    validate_data(task, tokens=False)
    said = note(run_script("session-start", BEGIN, project, plugin))
    assert said.startswith("nlp-skills: the checks found errors in the data of reviews; next for reviews: ")


def test_a_session_begins_with_the_next_open_step_of_the_plan(project: Path, plugin: Path) -> None:
    steps = "# Plan\n\n- [x] Rows of the hotel, checked\n- [ ] STOP: is 0.8 the target?\n- [ ] v1\n"
    (project / "tasks" / "reviews" / "plan.md").write_text(steps, encoding="utf-8")
    said = note(run_script("session-start", BEGIN, project, plugin))
    assert said == "nlp-skills: next for reviews: Step 2 of 3 in plan.md: STOP: is 0.8 the target?"


def test_a_session_begins_with_no_word_on_a_stopped_task_where_another_goes_on(
    project: Path, plugin: Path
) -> None:
    task = project / "tasks" / "reviews"
    break_row(task)
    validate_data(task, tokens=False)
    create_task(task.parent, "letters", type=TaskType.CLASSIFICATION, goal="Sort the letters")
    definition = task / "task.yaml"
    definition.write_text(
        definition.read_text(encoding="utf-8").replace("active", "stopped"), encoding="utf-8"
    )
    said = note(run_script("session-start", BEGIN, project, plugin))
    assert said == "nlp-skills: next for letters: Add data: nlp-skills add-source letters FILE."


def test_a_session_outside_a_project_starts_no_python(tmp_path: Path, plugin: Path) -> None:
    assert_silent(run_script("session-start", BEGIN, tmp_path, plugin), plugin, python=False)


def test_a_session_in_a_project_without_tasks_is_told_nothing(tmp_path: Path, plugin: Path) -> None:
    (tmp_path / ".nlp-skills").mkdir()
    assert_silent(run_script("session-start", BEGIN, tmp_path, plugin), plugin, python=True)


def report_of(findings: list[Finding], checks: dict[str, str], *, passed: bool) -> ValidationReport:
    files = {"data/train.jsonl": 40, "data/valid.jsonl": 10}
    return ValidationReport(
        data_sha256="0" * 64, files=files, checks=checks, findings=findings, passed=passed
    )


def test_errors_come_first_and_the_note_never_grows_too_long() -> None:
    rows = [RowReference(file="data/train.jsonl", line=n, text="secret text") for n in range(1, 6)]
    levels: list[Level] = ["info", "warning", "error", "warning", "error", "warning", "error"]
    findings = [
        Finding(check=f"DATA-{n}", level=level, message="m" * 400, count=5, rows=rows, fix="f" * 400)
        for n, level in enumerate(levels)
    ]
    said = describe(Path("tasks/reviews"), report_of(findings, {"DATA-DUP": "found"}, passed=False))
    assert len(said) <= LENGTH
    listed = [line for line in said.splitlines() if line.startswith("- ")]
    assert listed[0].startswith("- error DATA-2 ×5: mmm")
    assert listed[-1].startswith("- and ")
    assert said.splitlines()[-1].startswith("Next: ")
    # What stands in the rows may be anybody's words: it does not belong into the assistant's context.
    assert "secret text" not in said


def test_each_check_is_shown_before_one_of_them_is_shown_again() -> None:
    checks = ["DATA-LABEL", "DATA-LABEL", "SPLIT-LEAK", "DATA-DUP", "DATA-LABEL"]
    findings = [
        Finding(
            check=check,
            level="warning" if check == "DATA-DUP" else "error",
            message=str(n),
            count=1,
            rows=[],
            fix="f",
        )
        for n, check in enumerate(checks)
    ]
    said = describe(Path("tasks/reviews"), report_of(findings, {"DATA-DUP": "found"}, passed=False))
    messages = [line.split(": ")[1].split()[0] for line in said.splitlines() if line.startswith("- ")]
    assert messages == ["0", "2", "1", "4", "3"]


def test_a_check_that_could_not_run_is_no_pass_and_its_cure_is_said(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rensa", None)
    task = project / "tasks" / "reviews"
    task_without_tokens(task)
    report = validate_data(task, tokens=False)
    assert report.passed
    said = describe(task, report).splitlines()
    assert said[0].endswith(
        "(train.jsonl 40, valid.jsonl 10, test.jsonl 10 rows): no error found, but 2 checks did not run."
    )
    cure = str(MissingExtra("Finding near-duplicates", "data")).partition(" (or")[0]
    assert said[1].startswith(f"Not run: SPLIT-LEAK, DATA-NEARDUP: {cure}")


def test_what_does_not_apply_is_neither_said_nor_in_the_way_of_a_pass(project: Path) -> None:
    task = project / "tasks" / "reviews"
    task_without_tokens(task)
    report = validate_data(task, tokens=False)
    assert report.checks["DATA-LANG"].startswith("does not apply: task.yaml names no language")
    said = describe(task, report)
    assert said.splitlines()[0].endswith("rows): passed.")
    assert "Not run" not in said
    assert "DATA-LANG" not in said


def test_the_checks_of_tokens_are_said_to_be_left_out_with_the_tool_that_runs_them(project: Path) -> None:
    task = project / "tasks" / "reviews"
    report = validate_data(task, tokens=False)
    said = describe(task, report).splitlines()
    assert said[0].endswith(f"no error found, but {len(Tokens.checks)} checks did not run.")
    left_out = f"checks of tokens were left out; they run with {TOOL}validate_data."
    assert said[1] == f"Not run: {', '.join(c for c in CHECKS if c in Tokens.checks)}: {left_out}"


def task_without_tokens(task: Path) -> None:
    """Asks for no check of tokens, so that the others alone decide the verdict."""
    definition = Task.load(task / "task.yaml")
    definition.model_copy(update={"quality": dict.fromkeys(Tokens.checks, "off")}).save(task / "task.yaml")


def test_an_error_is_said_with_ways_that_lose_no_edit(project: Path, plugin: Path) -> None:
    path = break_row(project / "tasks" / "reviews")
    said = note(run_script("data-validation", event("Write", file_path=str(path)), project, plugin))
    assert said.splitlines()[-1] == (
        f"Next: mend the source, then {TOOL}regenerate_data (it replaces edited files; they are kept in"
        f" data/snapshots/); or {TOOL}fix_data; or edit the file, then {TOOL}validate_data."
    )


def processes_of(session: int) -> set[int]:
    """The living processes of a session, from the fields of /proc/<pid>/stat that follow the name."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            state, _, _, of, *_ = stat.read_text().rpartition(")")[2].split()
        except (FileNotFoundError, ProcessLookupError):
            continue
        if int(of) == session and state not in "ZX":
            found.add(int(stat.parent.name))
    return found


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="processes are counted in /proc")
def test_a_hook_that_is_cut_leaves_no_process_behind(project: Path) -> None:
    pytest.importorskip("loky")
    task = project / "tasks" / "reviews"
    with (task / "data" / "train.jsonl").open("w", encoding="utf-8") as stream:
        for n in range(150_000):
            text = " ".join(
                f"{word}{n * 31 % 977}" for word in ("table", "waiter", "soup", "garden", "price")
            )
            stream.write(row(f"review {n}: {text}", ("good", "bad")[n % 2], n) + "\n")
    happened = json.dumps(event("Write", file_path=str(task / "data" / "train.jsonl")))
    # A busy machine may need longer until the workers are there: then once more, with more time.
    for seconds in (3, 6, 12, 24):
        said, seen = run_hook_for(seconds, happened, project)
        assert f"data-validation was cut after {seconds} s and has no verdict" in said
        if len(seen) > 2:
            break
    assert len(seen) > 2, "no worker was ever started"


def run_hook_for(seconds: int, happened: str, project: Path) -> tuple[str, set[int]]:
    """The real process with so many seconds: what it said, and all processes of its session, which have ended."""
    (project / "event.json").write_text(happened, encoding="utf-8")
    with (project / "event.json").open("rb") as given, (project / "said").open("wb") as told:
        hook = subprocess.Popen(
            [sys.executable, "-P", "-m", "nlp_skills.hooks", "data-validation", "seen", str(seconds)],
            stdin=given,
            stdout=told,
            cwd=project,
            start_new_session=True,
        )
    seen: set[int] = set()
    while hook.poll() is None:
        seen |= processes_of(hook.pid)
        with suppress(subprocess.TimeoutExpired):
            hook.wait(0.05)
    pause = threading.Event()
    for _ in range(100):
        if processes_of(hook.pid):
            pause.wait(0.05)
    assert processes_of(hook.pid) == set()
    assert hook.returncode == 0
    return (project / "said").read_text(encoding="utf-8"), seen


def test_data_without_a_fault_is_said_in_two_lines() -> None:
    said = describe(Path("tasks/reviews"), report_of([], {"DATA-DUP": "passed"}, passed=True))
    assert said.splitlines() == [
        "nlp-skills validated the data of tasks/reviews (train.jsonl 40, valid.jsonl 10 rows): passed.",
        "All of it: tasks/reviews/data/validation.json",
    ]
