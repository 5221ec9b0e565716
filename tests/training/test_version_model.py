"""A version of the task as base model, and rows that a method cannot learn from."""

import json
from pathlib import Path
from typing import Any

import pytest

from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.sources.source import DataSources
from nlp_skills.data.sourcing import add_source
from nlp_skills.data.validation import validate_data
from nlp_skills.errors import NotReady, NotValid
from nlp_skills.records import sha256_file
from nlp_skills.task.task import TaskType, create_task
from nlp_skills.task.version import Version, version_names
from nlp_skills.training.model_info import ModelInfo
from nlp_skills.training.new_version import create_version
from nlp_skills.training.train import train_model
from nlp_skills.training.version_model import resolve_model
from small_model import save_small_model

SETTINGS: dict[str, Any] = {"save_steps": 4, "threads": 1, "dtype": "float32"}


def make(tmp_path: Path, type: TaskType, rows: list[dict[str, Any]]) -> Path:
    """A task with these rows and a small base model."""
    base = save_small_model(tmp_path / "base")
    create_task(tmp_path / "tasks", "small", type=type, goal="Answer.", instruction="", base_model=str(base))
    task = tmp_path / "tasks" / "small"
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    sources = DataSources.load(task / "data_source.yaml")
    sources.with_changes(split={"train": 16, "valid": 4, "test": 4}).save(task / "data_source.yaml")
    add_source(task, str(file))
    regenerate_data(task)
    return task


def pairs(count: int) -> list[dict[str, Any]]:
    return [{"prompt": f"say {n}?", "chosen": "yes", "rejected": f"no {n}"} for n in range(count)]


def marks(count: int) -> list[dict[str, Any]]:
    return [{"prompt": f"say {n}?", "completion": f"yes {n}", "label": n % 2 == 0} for n in range(count)]


def test_a_version_begins_where_the_one_it_names_ended(tmp_path: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    task = make(tmp_path, TaskType.PREFERENCE, pairs(24))
    first = create_version(task, epochs=1, learning_rate=0.05, settings=SETTINGS)
    assert (first.config["method"], first.config["learning_rate"]) == ("dpo", 0.05)
    with pytest.raises(NotReady, match=r"base_model: small v1 has not been trained\. Train it first"):
        create_version(task, base_model="v1")
    train_model(task)
    create_version(task, learning_rate=0.01)
    second = create_version(task, base_model="v1", method="orpo")
    assert (second.version, second.parent, second.config["base_model"]) == ("v3", "v1", "v1")
    files = resolve_model(task, "v1")
    ids = torch.tensor([[1, 2, 3, 4]])
    load: Any = AutoModelForCausalLM.from_pretrained
    adapted: Any = PeftModel.from_pretrained(load(tmp_path / "base"), task / "models" / "v1" / "adapter")
    merged, base = load(files.path), load(tmp_path / "base")
    torch.testing.assert_close(merged(ids).logits, adapted(ids).logits, rtol=1e-4, atol=1e-4)
    assert (merged(ids).logits - base(ids).logits).abs().max() > 1e-3
    trained = train_model(task, version="v3")
    info = ModelInfo.load(task / "versions" / "v3" / "model_info.json")
    assert (info.base_model, info.base_sha256) == ("v1", sha256_file(Path(files.path) / "model.safetensors"))
    assert trained == Version.load(task / "versions" / "v3" / "lineage.yaml")
    assert resolve_model(task, "v1") == files


def test_a_preference_task_takes_dpo_for_pairs_and_kto_for_marked_answers(tmp_path: Path) -> None:
    (tmp_path / "pairs").mkdir()
    (tmp_path / "marks").mkdir()
    of_pairs = make(tmp_path / "pairs", TaskType.PREFERENCE, pairs(24))
    of_marks = make(tmp_path / "marks", TaskType.PREFERENCE, marks(24))
    assert create_version(of_pairs).config["method"] == "dpo"
    assert create_version(of_pairs, method="kto").config["method"] == "kto"
    assert create_version(of_marks).config["method"] == "kto"
    with pytest.raises(NotValid) as error:
        create_version(of_marks, method="dpo")
    assert str(error.value) == (
        "small: 16 rows of data/train.jsonl (line 1, 2, 3, 4, 5, …): no pairs of a better and a worse answer, which dpo"
        " learns from. Answers that are marked good or bad are learned with --method kto; or bring pairs."
    )
    with pytest.raises(NotValid, match="kto measures how far it has moved between the rows of a batch"):
        create_version(of_marks, per_device_train_batch_size=1)
    assert version_names(of_marks) == ["v1"]


def test_a_single_row_of_another_kind_is_refused_by_its_line(tmp_path: Path) -> None:
    task = make(tmp_path, TaskType.PREFERENCE, pairs(24))
    file = task / "data" / "valid.jsonl"
    lines = file.read_text(encoding="utf-8").splitlines()
    row = json.loads(lines[2])
    row["messages"] = row.pop("prompt") + row.pop("chosen")
    del row["rejected"]
    lines[2] = json.dumps(row)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")
    validate_data(task, tokens=False)
    with pytest.raises(NotValid, match=r"1 row of data/valid\.jsonl \(line 3\): no pairs"):
        create_version(task)
    with pytest.raises(NotValid, match=r"1 row of data/valid\.jsonl \(line 3\): neither pairs nor answers"):
        create_version(task, method="kto")


def test_grpo_is_refused_before_a_run_where_the_rows_lack_what_its_rewards_go_by(tmp_path: Path) -> None:
    rows = [
        {"messages": [{"role": "user", "content": f"{n}"}, {"role": "assistant", "content": "yes"}]}
        for n in range(24)
    ]
    task = make(tmp_path, TaskType.GENERATION, rows)
    with pytest.raises(NotValid, match="grpo needs rewards"):
        create_version(task, method="grpo")
    with pytest.raises(NotValid, match="valid_tool_call goes by the row's tools"):
        create_version(task, method="grpo", settings={"rewards": ["valid_tool_call"]})
    with pytest.raises(NotValid, match="tools_in_prompt is for tool_use tasks"):
        create_version(task, settings={"tools_in_prompt": True})
    (task / "rewards.py").write_text("def kind(answer, example):\n    return 1\n", encoding="utf-8")
    made = create_version(task, method="grpo", settings={"rewards": ["rewards.py:kind", "exact_answer"]})
    assert made.config["rewards_sha256"] == {"rewards.py": sha256_file(task / "rewards.py")}
