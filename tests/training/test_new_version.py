"""Making a version: only from data that its checks have not refused."""

from pathlib import Path

import pytest

from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.sourcing import add_source
from nlp_skills.data.validation import validate_data
from nlp_skills.errors import NotFound, NotReady, NotValid
from nlp_skills.task.task import Task, TaskType, create_task
from nlp_skills.task.version import version_names
from nlp_skills.training.new_version import create_version
from nlp_skills.training.overview import show_task


@pytest.fixture
def task(tmp_path: Path) -> Path:
    """A task with data that was not checked yet."""
    data = tmp_path / "reviews.csv"
    data.write_text(
        "text,label\n" + "".join(f"text {n},{'ab'[n % 2]}\n" for n in range(40)), encoding="utf-8"
    )
    create_task(tmp_path / "tasks", "reviews", type=TaskType.CLASSIFICATION, goal="Good or bad?")
    folder = tmp_path / "tasks" / "reviews"
    add_source(folder, str(data))
    regenerate_data(folder)
    return folder


def test_data_with_errors_makes_no_version_until_it_is_mended(task: Path) -> None:
    file = task / "task.yaml"
    definition = Task.load(file)
    definition.with_changes(labels=["a"]).save(file)
    assert not validate_data(task).passed
    with pytest.raises(NotReady, match=r"DATA-LABEL: The label 'b'.*nlp-skills validate-data reviews$"):
        create_version(task)
    assert version_names(task) == []
    assert show_task(task).next == (
        "See what is wrong: nlp-skills validate-data reviews. Mend it with nlp-skills fix-data reviews, or at its"
        " source and then: nlp-skills regenerate-data reviews"
    )
    definition.save(file)
    assert validate_data(task).passed
    assert create_version(task).version == "v1"


def test_a_misspelt_base_model_makes_no_version(task: Path) -> None:
    with pytest.raises(NotFound, match="The base model 'smolm2' is no folder, GGUF file or Hub id"):
        create_version(task, base_model="smolm2")
    assert not list((task / "versions").iterdir())
    assert create_version(task, base_model="owner/name").config["base_model"] == "owner/name"


def test_data_that_was_not_checked_makes_a_version(task: Path) -> None:
    assert create_version(task).version == "v1"


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        (TaskType.PREFERENCE, "preference pairs cannot be trained with sft"),
        (TaskType.TOOL_USE, "tool calls cannot be judged yet"),
    ],
)
def test_what_this_release_cannot_train_or_judge_makes_no_version(
    tmp_path: Path, kind: TaskType, reason: str
) -> None:
    create_task(tmp_path, "calls", type=kind, goal="Call the right tool.")
    with pytest.raises(NotValid, match=reason):
        create_version(tmp_path / "calls")
    assert not list((tmp_path / "calls" / "versions").iterdir())
