"""Making a version: only from data that its checks have not refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from nlp_skills.base_model import BaseModelFiles
from nlp_skills.data.history import list_snapshots
from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.data.sources.source import DataSources
from nlp_skills.data.sourcing import add_source
from nlp_skills.data.validation import validate_data
from nlp_skills.errors import NotFound, NotReady, NotValid
from nlp_skills.evaluation.evaluate import evaluate_version
from nlp_skills.records import sha256_file
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


def test_rows_with_tools_that_the_template_does_not_show_make_a_version_that_writes_them_or_of_another_model(
    tmp_path: Path, smollm2: BaseModelFiles
) -> None:
    function = {"name": "look_up", "description": "d", "parameters": {"type": "object", "properties": {}}}
    call = {"type": "function", "function": {"name": "look_up", "arguments": {}}}
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Question {n} about {'abcdefgh'[n % 8] * (n + 3)}?"},
                {"role": "assistant", "tool_calls": [call]},
            ],
            "tools": [{"type": "function", "function": function}],
        }
        for n in range(40)
    ]
    (tmp_path / "calls.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    create_task(tmp_path / "tasks", "calls", type=TaskType.TOOL_USE, goal="Call the tool.")
    task = tmp_path / "tasks" / "calls"
    add_source(task, str(tmp_path / "calls.jsonl"))
    regenerate_data(task)
    assert not validate_data(task).passed
    assert show_task(task).next == "See what is wrong, and how to mend it: nlp-skills validate-data calls"
    with pytest.raises(NotReady, match="chat template shows no tools to the model, so the training refuses"):
        create_version(task)
    assert create_version(task, settings={"tools_in_prompt": True}).version == "v1"
    other = create_version(task, base_model="owner/name", settings={"tools_in_prompt": False})
    assert other.version == "v2"
    shutil.rmtree(task / "versions" / "v2")
    assert validate_data(task).passed  # as the newest version writes the rows


def test_data_that_was_not_checked_makes_a_version(task: Path) -> None:
    assert create_version(task).version == "v1"


def _edit(task: Path) -> None:
    """A row of train once more in test, as a person would copy it."""
    row = (task / "data" / "train.jsonl").read_bytes().splitlines(keepends=True)[0]
    with (task / "data" / "test.jsonl").open("ab") as stream:
        stream.write(row)


@pytest.mark.parametrize("checked_before", [True, False])
def test_edited_data_makes_no_version_until_it_has_passed_the_checks(
    task: Path, checked_before: bool
) -> None:
    if checked_before:
        assert validate_data(task).passed
    _edit(task)
    with pytest.raises(
        NotReady,
        match=r"edited by hand, and nobody has checked them since. Check them with: nlp-skills validate-data reviews$",
    ):
        create_version(task)
    assert version_names(task) == []
    assert not validate_data(task).passed
    with pytest.raises(NotReady, match="SPLIT-LEAK"):
        create_version(task)


def test_a_version_of_edited_data_names_the_edited_files(task: Path) -> None:
    first = create_version(task)
    file = task / "data" / "train.jsonl"
    rows = file.read_bytes().splitlines(keepends=True)
    file.write_bytes(b"".join(rows[:-2]))
    assert validate_data(task).passed
    second = create_version(task)
    snapshot = DataSnapshot.load(task / "versions" / "v2" / "data_snapshot.json")
    assert snapshot.edited
    assert (snapshot.splits["train"].count, snapshot.splits["train"].sha256) == (
        len(rows) - 2,
        sha256_file(file),
    )
    assert second.changes == ["data: train 2 rows fewer"]
    assert second.data.source_hash == snapshot.source_hash != first.data.source_hash
    present = list_snapshots(task).snapshots[0]
    assert (present.name, present.edited, present.versions) == ("present", True, ["v2"])
    assert first.data.source_hash == DataSnapshot.load(task / "data" / "data_snapshot.json").source_hash


def test_a_report_on_an_edit_that_was_taken_back_says_nothing_of_the_data(task: Path) -> None:
    before = (task / "data" / "test.jsonl").read_bytes()
    _edit(task)
    assert not validate_data(task).passed
    (task / "data" / "test.jsonl").write_bytes(before)
    assert show_task(task).validation == "edited since the checks"
    assert create_version(task).version == "v1"


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"method": "dpo"}, "dpo learns from better and worse answers, and a classification task has one"),
        ({"method": "cpt"}, "cpt learns plain text, which is what a generation task takes"),
        ({"settings": {"early_stopping_patience": 3}}, "a patience of 3 evaluations never ends a run of 3"),
        ({"settings": {"packing": True}}, "packing: there is no CUDA GPU here"),
        ({"settings": {"replay_file": "../x.jsonl"}}, "replay_file: ../x.jsonl is outside the task folder"),
    ],
)
def test_settings_that_do_not_fit_the_task_or_the_machine_make_no_version(
    task: Path, settings: dict[str, Any], reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(NotValid, match=reason):
        create_version(task, **settings)
    assert version_names(task) == []


def test_without_validation_rows_nothing_goes_by_the_validation_loss(task: Path) -> None:
    sources = DataSources.load(task / "data_source.yaml")
    sources.with_changes(split={"train": 0.8, "valid": 0, "test": 0.2}).save(task / "data_source.yaml")
    regenerate_data(task)
    with pytest.raises(NotValid, match=r"there are no validation rows\. Set split\.valid"):
        create_version(task, settings={"keep": "best"})


def test_a_target_module_that_the_base_model_lacks_is_refused_by_its_name(
    task: Path, smollm2: BaseModelFiles
) -> None:
    with pytest.raises(NotValid, match=r"has no linear module 'q_porj' \(did you mean \"q_proj\"\?\)"):
        create_version(task, settings={"target_modules": ["v_proj", "q_porj"]})
    assert create_version(task, settings={"target_modules": ["v_proj", "q_proj"]}).version == "v1"


def test_the_file_that_is_replayed_is_recorded_with_its_hash(task: Path) -> None:
    general = task / "data" / "general.jsonl"
    general.write_bytes((task / "data" / "train.jsonl").read_bytes())
    first = create_version(task, settings={"replay_file": "data/general.jsonl"})
    assert first.config["replay_sha256"] == sha256_file(general)
    general.write_bytes((task / "data" / "valid.jsonl").read_bytes())
    second = create_version(task)
    assert second.config["replay_sha256"] == sha256_file(general)
    assert [change.split(":")[0] for change in second.changes] == ["replay_sha256"]


def test_tool_calls_can_be_trained_and_preferences_take_a_method_of_their_own(tmp_path: Path) -> None:
    data = tmp_path / "calls.jsonl"
    call = {"type": "function", "function": {"name": "f", "arguments": {}}}
    tool = {"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {}}}}
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Call {n}"},
                {"role": "assistant", "tool_calls": [call]},
            ],
            "tools": [tool],
        }
        for n in range(20)
    ]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    create_task(tmp_path, "tools", type=TaskType.TOOL_USE, goal="Call the right tool.")
    add_source(tmp_path / "tools", str(data))
    regenerate_data(tmp_path / "tools")
    assert create_version(tmp_path / "tools").config["method"] == "sft"
    with pytest.raises(NotReady, match="tools v1 has no trained model"):
        evaluate_version(tmp_path / "tools")
    create_task(tmp_path, "pairs", type=TaskType.PREFERENCE, goal="Prefer the better.")
    pairs = tmp_path / "pairs.jsonl"
    pair = '{{"prompt": "Say {0}", "chosen": "{0}", "rejected": "no"}}\n'
    pairs.write_text("".join(pair.format(f"word {n}") for n in range(60)), encoding="utf-8")
    add_source(tmp_path / "pairs", str(pairs))
    regenerate_data(tmp_path / "pairs")
    with pytest.raises(NotValid, match="preference pairs cannot be trained with sft"):
        create_version(tmp_path / "pairs", method="sft")
