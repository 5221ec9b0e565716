"""A version made again from its records: the same to the byte, or a list of what differs."""

import shutil
from pathlib import Path

import pytest
from small_task import make_small_task

from nlp_skills.data.regenerate import convert_data
from nlp_skills.data.sources.source import DataSources
from nlp_skills.errors import NotReady, RunFailed
from nlp_skills.records import sha256_tree
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.model_info import ModelInfo
from nlp_skills.training.reproduce import reproduce
from nlp_skills.training.train import train_model


@pytest.fixture(autouse=True)
def one_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NLP_SKILLS_QUEUE", str(tmp_path / "queue"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")


@pytest.mark.slow
def test_version_is_made_again_to_the_byte_and_a_changed_world_is_told(tmp_path: Path) -> None:
    task = make_small_task(tmp_path / "tasks", rows=16)
    with pytest.raises(NotReady, match="has no model to compare with"):
        reproduce(task)
    train_model(task)
    found = reproduce(task, version="v1")
    assert found.different == []
    assert found.passed
    assert found.message == (
        "v1 of support was made again from the splits kept in data/, and to compare with them: the kept raw rows,"
        " converted and divided again: nothing differs. It lies in benchmarks/reproduced-v1 of the task's folder."
    )
    assert {
        "data: train made again",
        "data: test",
        "package torch",
        "model: adapter_model.safetensors",
        "model",
    } < set(found.same)
    info = ModelInfo.load(task / "versions" / "v1" / "model_info.json")
    assert sha256_tree(task / found.folder / "models" / "v1" / "adapter") == info.sha256

    # Other settings divide the rows in another way; the kept copy of then is found, and the model is still the same.
    sources = DataSources.load(task / "data_source.yaml")
    sources.with_changes(split={"train": 16, "valid": 8, "test": 8, "seed": 5}).save(
        task / "data_source.yaml"
    )
    convert_data(task)
    again = reproduce(task)
    assert again.data_from.startswith("the splits kept in data/snapshots/")
    assert [d.what for d in again.different] == [
        "data: raw rows and the settings that divide them",
        "data: train made again",
        "data: valid made again",
        "data: test made again",
    ]
    assert "model" in again.same

    shutil.rmtree(TrainConfig.load(task / "versions" / "v1" / "config.yaml").base_model)
    with pytest.raises(RunFailed, match=r"^support v1 could not be made again: .*small-model.*") as failure:
        reproduce(task)
    assert str(failure.value).endswith(
        f"See {task / found.folder / 'versions' / 'v1' / 'train.log'}. When the cause is mended, the same command goes on:"
        " nlp-skills reproduce support --version v1"
    )


def test_rows_that_are_kept_nowhere_are_read_from_the_source_again(tmp_path: Path) -> None:
    from nlp_skills.data.snapshot import DataSnapshot
    from nlp_skills.training.reproduce_data import reproduce_data

    task = make_small_task(tmp_path / "tasks", rows=16)
    snapshot = DataSnapshot.load(task / "versions" / "v1" / "data_snapshot.json")
    for name in ("train", "valid", "test"):
        (task / "data" / f"{name}.jsonl").unlink()
    shutil.rmtree(task / "data" / "raw")
    data = tmp_path / "again" / "data"
    data.mkdir(parents=True)
    found = reproduce_data(task, snapshot, data, lambda *_: None)
    assert (found.words, found.different) == ("the sources, read again", [])
    shutil.rmtree(task / "data" / "files")
    with pytest.raises(NotReady, match="the sources do not give them"):
        reproduce_data(task, snapshot, data, lambda *_: None)
