"""The overview of a task never fails on one bad file, and always names the next step."""

import os
from pathlib import Path

import pytest
from filelock import FileLock

from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.sample import SUPPORT_MESSAGES
from nlp_skills.data.sourcing import add_source
from nlp_skills.data.validation import validate_data
from nlp_skills.task.task import TaskType, create_task
from nlp_skills.task.version import trial_words
from nlp_skills.training.job import Job, lock_file
from nlp_skills.training.new_version import create_version
from nlp_skills.training.overview import show_task
from nlp_skills.training.status import training_status


@pytest.fixture
def news(tmp_path: Path) -> Path:
    create_task(tmp_path / "tasks", "news", type=TaskType.CLASSIFICATION, goal="Find the topic.")
    return tmp_path / "tasks" / "news"


def test_a_new_task_needs_data(news: Path):
    found = show_task(news)
    assert found.next == "Add data: nlp-skills add-source news FILE"
    assert (found.rows, found.validation, found.versions) == ({}, "not validated", [])


def test_a_stopped_task_says_so_first(news: Path):
    definition = news / "task.yaml"
    definition.write_text(
        definition.read_text(encoding="utf-8").replace("active", "stopped"), encoding="utf-8"
    )
    stopped = "Stopped; to go on, write status: active into task.yaml. Then: "
    assert show_task(news).next == f"{stopped}Add data: nlp-skills add-source news FILE"


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


def test_what_a_training_measured_is_shown_until_there_are_results(news: Path):
    folder = news / "versions" / "v1"
    folder.mkdir()
    Job(id="j1", status="succeeded", started="2026-11-21T08:00:00Z", log="versions/v1/train.log").save(
        folder / "job.json"
    )
    lines = (
        '{"step": 4, "eval_loss": 0.69, "eval_rewards/accuracies": 0.5}',
        '{"step": 8, "loss": 0.4, "rewards/accuracies": 1.0}',
        '{"step": 8, "eval_loss": 0.51, "eval_rewards/accuracies": 0.75}',
    )
    (folder / "metrics.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    pairs = {"eval_rewards/accuracies": 0.75, "rewards/accuracies": 1.0}
    assert show_task(news).versions[0].measured == {"eval_loss": 0.51, **pairs}
    assert training_status(news).measured == pairs
    (folder / "lineage.yaml").write_text("results: {accuracy: 0.5}", encoding="utf-8")
    assert show_task(news).versions[0].measured == {}


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


@pytest.fixture
def checked(tmp_path: Path) -> Path:
    """A task whose data has passed the checks."""
    task = tmp_path / "tasks" / "sorted"
    create_task(tmp_path / "tasks", "sorted", type=TaskType.CLASSIFICATION, goal="Sort.")
    rows = "".join(f"text number {n},{'ab'[n % 2]}\n" for n in range(40))
    (tmp_path / "rows.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    add_source(task, str(tmp_path / "rows.csv"))
    regenerate_data(task)
    assert validate_data(task).passed
    assert show_task(task).validation == "passed"
    return task


def test_data_edited_since_the_checks_are_not_shown_as_passed(checked: Path) -> None:
    file = checked / "data" / "test.jsonl"
    rows, before = show_task(checked).rows, file.read_bytes()
    file.write_bytes(before[: len(before) // 2] + b"\n" + before.splitlines(keepends=True)[0])
    found = show_task(checked)
    assert found.validation == "edited since the checks"
    assert found.rows == rows | {"test": file.read_bytes().count(b"\n")}
    assert found.next == "Check the data: nlp-skills validate-data sorted"
    validate_data(checked)
    assert show_task(checked).validation == "found errors"


def test_an_edit_that_keeps_the_size_or_the_time_of_the_file_is_seen(checked: Path) -> None:
    file = checked / "data" / "test.jsonl"
    before, times = file.read_bytes(), file.stat()
    file.write_bytes(before.replace(b"text number", b"TEXT NUMBER"))
    assert show_task(checked).validation == "edited since the checks"
    file.write_bytes(before + b" ")
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert show_task(checked).validation == "edited since the checks"


def test_files_that_were_only_written_again_are_still_checked(checked: Path) -> None:
    for file in (checked / "data").glob("*.jsonl"):
        file.write_bytes(file.read_bytes())
        os.utime(file, ns=(0, 0))
    assert show_task(checked).validation == "passed"
    regenerate_data(checked)
    assert show_task(checked).validation == "passed"
    assert create_version(checked).version == "v1"


def test_a_split_that_is_gone_counts_as_edited(checked: Path) -> None:
    (checked / "data" / "valid.jsonl").unlink()
    found = show_task(checked)
    assert (found.validation, set(found.rows)) == ("edited since the checks", {"train", "test"})


def test_trials_of_a_search_do_not_stand_for_the_task(news: Path):
    add_source(news, str(SUPPORT_MESSAGES), copy=True)
    regenerate_data(news)
    validate_data(news)
    create_version(news)
    create_version(news, lora_r=8, changes=[trial_words(0, "5f0e1c2b"), "lora_r: 16 → 8"])
    found = show_task(news)
    assert [version.version for version in found.versions] == ["v1", "v2"]
    assert found.next == "Train v1: nlp-skills train-model news"


def test_the_aliases_of_the_registry_are_told(news: Path) -> None:
    (news / "versions" / "v1").mkdir()
    (news / "registry.json").write_text('{"aliases": {"prod": "v1"}}', encoding="utf-8")
    assert show_task(news).aliases == {"prod": "v1"}
    (news / "registry.json").write_text("{", encoding="utf-8")
    assert show_task(news).aliases == {}
