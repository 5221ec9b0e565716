"""The eleven situations of the coach, each played in the real client from the pain to an outcome, in two languages.

Every conversation begins in a fresh folder with real data, calls the real tools, and is broken off; a second session goes
on from the files. What a conversation is: conversation.py. What lies in the folder at its beginning: conversation_start.py.
"""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import psutil
import pytest
from conversation import faults_of, languages_of, read_conversation, scenario_of
from conversation_start import banking, lay
from filelock import FileLock
from real_client import ROOT, play
from task_files import read_everything
from trained_tickets import kept_folder, train_tickets

from nlp_skills.base_model import BaseModelFiles
from nlp_skills.records import unfinished
from nlp_skills.task.task import task_names
from nlp_skills.training.job import Job
from nlp_skills.training.overview import show_task

CONVERSATIONS = sorted((Path(__file__).parent / "conversations").glob("*.yaml"))
PLAYED = [(file, language) for file in CONVERSATIONS for language in languages_of(file)]
SITUATIONS = ROOT / "skills" / "llm-coach" / "references" / "situations.md"
MOVED_ON = re.compile(r"^## \d{4}-\d{2}-\d{2}[:：] ?(?!task created)", re.MULTILINE)
"""The heading of a journal's entry that somebody has written."""


@pytest.fixture(scope="session")
def trained(smollm2: BaseModelFiles, shared_data: Path) -> Path:
    """A project whose task `tickets` has a trained and measured v1; made once, by the operations. Read only."""
    table = banking(shared_data)
    folder = kept_folder(smollm2, table)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_suffix(".lock")):
        if not folder.is_dir():
            project = unfinished(folder)
            project.mkdir()
            train_tickets(project, table)
            project.rename(folder)
    return folder


def tasks(project: Path) -> list[Path]:
    return [project / "tasks" / name for name in task_names(project / "tasks")]


def greeting(report: dict[str, Any]) -> str:
    """What the hook at the session's start told the coach."""
    told = [
        hook["stdout"]
        for hook in report["hooks"]
        if hook["name"].startswith("SessionStart") and hook["stdout"]
    ]
    return " ".join(json.loads(text)["hookSpecificOutput"]["additionalContext"] for text in told)


def await_runs(project: Path) -> None:
    """Until the runs have ended that outlive the session: the user comes back when they are done."""
    for file in project.glob("tasks/*/versions/*/job.json"):
        pid = Job.load(file).pid
        if pid is not None and psutil.pid_exists(pid):
            psutil.Process(pid).wait()


def test_every_situation_is_played_in_two_languages_and_all_four_are_spoken() -> None:
    rows = re.findall(r'^\| "([^"]+)"', SITUATIONS.read_text(encoding="utf-8"), re.MULTILINE)
    told = [read_conversation(file, languages_of(file)[0]).situation for file in CONVERSATIONS]
    assert sorted(told) == sorted(rows)
    assert all(len(languages_of(file)) >= 2 for file in CONVERSATIONS)
    assert {language for _, language in PLAYED} == {"en", "zh-TW", "zh-CN", "ja"}


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("file", "language"), PLAYED, ids=[f"{f.stem}-{language}" for f, language in PLAYED])
def test_a_conversation_comes_to_an_outcome_and_goes_on_in_another_session(
    file: Path,
    language: str,
    client: str,
    harness: Path,
    shared_data: Path,
    tmp_path: Path,
    request: pytest.FixtureRequest,
) -> None:
    conversation = read_conversation(file, language)
    project = tmp_path / "kept" / "project"
    if conversation.start == "trained":
        shutil.copytree(request.getfixturevalue("trained"), project)
    lay(conversation, project, shared_data)
    for number, session in enumerate(conversation.sessions):
        steps = [show_task(task).next for task in tasks(project)] if number else []
        report = play(scenario_of(session), client, harness, tmp_path)
        assert faults_of(session, report) == []
        assert all(step.rstrip(".") in greeting(report) for step in steps), (steps, greeting(report))
        await_runs(project)
    assert tasks(project)
    for task in tasks(project):
        assert {"task.yaml", "data_source.yaml"} <= set(read_everything(task))
        assert MOVED_ON.search((task / "docs" / "journal.md").read_text(encoding="utf-8"))
