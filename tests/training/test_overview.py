"""The overview of a task never fails on one bad file, and always names the next step."""

from pathlib import Path

import pytest
from filelock import FileLock

from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.sourcing import add_source
from nlp_skills.task.task import TaskType, create_task
from nlp_skills.training.job import Job, lock_file
from nlp_skills.training.overview import show_task


@pytest.fixture
def news(tmp_path: Path) -> Path:
    create_task(tmp_path / "tasks", "news", type=TaskType.CLASSIFICATION, goal="Find the topic.")
    return tmp_path / "tasks" / "news"


def test_a_new_task_needs_data(news: Path):
    found = show_task(news)
    assert found.next == "Add data: nlp-skills add-source news FILE"
    assert (found.rows, found.validation, found.versions) == ({}, "not validated", [])


@pytest.mark.parametrize("content", ["", "[]", "null", "3", "{", '{"splits": 3}', '{"splits": {"train": 1}}'])
@pytest.mark.parametrize("file", ["data/data_snapshot.json", "data/validation.json", "data_source.yaml"])
def test_a_broken_file_does_not_hide_the_task(news: Path, file: str, content: str):
    (news / file).write_text(content, encoding="utf-8")
    assert show_task(news).task.name == "news"


@pytest.mark.parametrize(
    "content", ["results: [1]", "results: {accuracy: high}", "changes: many", "parent: [v1]", "- 1", "a: ["]
)
def test_a_broken_lineage_does_not_hide_the_other_versions(news: Path, content: str):
    for version, text in (
        ("v1", content),
        ("v2", "parent: v1\nchanges: [more epochs]\nresults: {accuracy: 0.5}"),
    ):
        (news / "versions" / version).mkdir()
        (news / "versions" / version / "lineage.yaml").write_text(text, encoding="utf-8")
    first, second = show_task(news).versions
    assert first.version == "v1" and first.training == "not trained"
    assert (second.parent, second.changes, second.results) == ("v1", ["more epochs"], {"accuracy": 0.5})


def test_a_run_that_was_killed_is_shown_as_failed(news: Path):
    folder = news / "versions" / "v1"
    folder.mkdir()
    Job(id="j1", status="running", pid=1, started="2026-11-21T08:00:00Z", log="versions/v1/train.log").save(
        folder / "job.json"
    )
    assert show_task(news).versions[0].training == "failed"
    with FileLock(lock_file(folder)):
        assert show_task(news).versions[0].training == "running"


def test_a_source_that_was_not_read_yet_is_read_next(tmp_path: Path) -> None:
    task = tmp_path / "tasks" / "two"
    create_task(tmp_path / "tasks", "two", type=TaskType.CLASSIFICATION, goal="Sort.")
    rows = "".join(f"text {n},{'ab'[n % 2]}\n" for n in range(40))
    for name in ("one", "more"):
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
        add_source(task, str(tmp_path / f"{name}.csv"))
        assert show_task(task).next == "Read the data: nlp-skills regenerate-data two"
        regenerate_data(task)
        assert show_task(task).next == "Check the data: nlp-skills validate-data two"
