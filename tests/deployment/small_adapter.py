"""A task whose v1 is a random adapter on a random small model: for what an operation does, not for what it finds."""

from pathlib import Path
from typing import Any

from nlp_skills.base_model import chat_template_sha256
from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.sources.source import DataSources
from nlp_skills.data.sourcing import add_source
from nlp_skills.records import sha256_file, sha256_tree, to_json, write_lines
from nlp_skills.task.task import TaskType, create_task
from nlp_skills.training.model_info import ModelInfo
from nlp_skills.training.new_version import create_version
from small_model import save_small_model, small_tokenizer


def save_adapter(base: Path, folder: Path, tokenizer: Any = None) -> Path:
    """LoRA of rank 2 that really changes what the base model says, with a tokenizer beside it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(3)
    load: Any = AutoModelForCausalLM.from_pretrained
    settings = LoraConfig(r=2, target_modules=["q_proj", "up_proj"], init_lora_weights=False)
    get_peft_model(load(base), settings).save_pretrained(str(folder))
    (tokenizer or small_tokenizer()).save_pretrained(folder)
    return folder


def make_adapted_task(home: Path) -> Path:
    """The task `small` with v1; its rows are numbers and their parity."""
    base = save_small_model(home / "base")
    rows = ({"text": f"Number {n}.", "label": ("even", "odd")[n % 2]} for n in range(30))
    write_lines(home / "rows.jsonl", (b"".join(to_json(row).splitlines()) for row in rows))
    create_task(home / "tasks", "small", type=TaskType.CLASSIFICATION, goal="Odd?", base_model=str(base))
    task = home / "tasks" / "small"
    sources = DataSources.load(task / "data_source.yaml")
    sources.with_changes(split={"train": 12, "valid": 6, "test": 12}).save(task / "data_source.yaml")
    add_source(task, str(home / "rows.jsonl"))
    regenerate_data(task)
    create_version(task, settings={"threads": 1, "dtype": "float32"})
    adapter = save_adapter(base, task / "models" / "v1" / "adapter")
    ModelInfo(
        path="models/v1/adapter",
        format="adapter",
        sha256=sha256_tree(adapter),
        base_model=str(base),
        base_sha256=sha256_file(base / "model.safetensors"),
        chat_template_sha256=chat_template_sha256(small_tokenizer()),
        trainable_parameters=1,
        total_parameters=2,
    ).save(task / "versions" / "v1" / "model_info.json")
    return task
