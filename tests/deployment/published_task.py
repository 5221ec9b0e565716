"""A trained and evaluated task as its records say it, with weights of random bytes: for what is published of it."""

import json
import random
from pathlib import Path
from typing import Any

from nlp_skills.records import sha256_file, sha256_tree, to_json, to_yaml
from nlp_skills.task.task import TaskType, create_task
from nlp_skills.task.version import record_lineage
from nlp_skills.training.model_info import ModelInfo

SIZE = 450_000
"""Bytes of the weights: three parts through LFS."""


def weights(seed: int, size: int = SIZE) -> bytes:
    """A whole safetensors file of one tensor."""
    header = json.dumps({"lora": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    return len(header).to_bytes(8, "little") + header + random.Random(seed).randbytes(size)


def make_published_task(
    home: Path, base_model: str = "HuggingFaceTB/SmolLM2-135M-Instruct", **config: Any
) -> Path:
    """`home/news` with v1: data of a Hub data set and a file, an adapter, results."""
    create_task(
        home,
        "news",
        type=TaskType.CLASSIFICATION,
        goal="Sort news by section",
        language="zh-Hant",
        labels=["sport", "trade"],
        target=0.8,
        base_model=base_model,
    )
    task = home / "news"
    add_version(task, "v1", base_model, seed=1, **config)
    return task


def add_version(task: Path, version: str, base_model: str, seed: int, **config: Any) -> Path:
    """The version's folder."""
    model, folder = task / "models" / version / "adapter", task / "versions" / version
    model.mkdir(parents=True)
    folder.mkdir()
    (model / "adapter_model.safetensors").write_bytes(weights(seed))
    settings = {"base_model_name_or_path": f"{task.parent}/cache/{base_model}", "r": 8}
    (model / "adapter_config.json").write_bytes(to_json(settings))
    (model / "tokenizer.json").write_text("{}", encoding="utf-8")
    (model / "README.md").write_text(f"# from {task}\n", encoding="utf-8")
    settings = {"base_model": base_model, "method": "sft", "peft": "lora", **config}
    (folder / "config.yaml").write_bytes(to_yaml(settings))
    (folder / "data_snapshot.json").write_bytes(to_json(SNAPSHOT))
    (folder / "results.json").write_bytes(to_json(RESULTS))
    lineage = {
        "version": version,
        "created": "2026-11-21T08:00:00Z",
        "data": {"source_hash": "", "train_count": 0, "valid_count": 0, "test_count": 0},
        "config": {},
    }
    (folder / "lineage.yaml").write_bytes(to_yaml(lineage))
    record_lineage(task, version=version)
    ModelInfo(
        path=f"models/{version}/adapter",
        format="adapter",
        sha256=sha256_tree(model),
        base_model=base_model,
        chat_template_sha256="0" * 64,
        trainable_parameters=1,
        total_parameters=2,
    ).save(folder / "model_info.json")
    return folder


def add_gguf(task: Path, version: str, quantization: str) -> Path:
    """A GGUF file as export_model leaves it, of random bytes."""
    file = task / "models" / version / f"{quantization}.gguf"
    file.write_bytes(b"GGUF" + random.Random(quantization).randbytes(SIZE))
    trained = ModelInfo.load(task / "versions" / version / "model_info.json")
    trained.with_changes(
        path=f"models/{version}/{quantization}.gguf",
        format="gguf",
        sha256=sha256_file(file),
        quantization=quantization,
        made_from_sha256=trained.sha256,
    ).save(file.with_suffix(".json"))
    return file


def resign(task: Path, version: str = "v1", **changes: Any) -> None:
    """The record of a model whose files are as they are now."""
    file = task / "versions" / version / "model_info.json"
    info = ModelInfo.load(file)
    info.with_changes(sha256=sha256_tree(task / info.path), **changes).save(file)


SNAPSHOT = {
    "source_hash": "5e" * 32,
    "seed": 13,
    "sources": {
        "banking": {
            "type": "hub",
            "rows": 900,
            "sha256": "0a" * 32,
            "fetched": "2026-11-20T08:00:00Z",
            "request": {"dataset": "PolyAI/banking77", "split": "train", "revision": "b1"},
        },
        "inbox": {
            "type": "file",
            "rows": 100,
            "sha256": "0b" * 32,
            "fetched": "2026-11-20T08:00:00Z",
            "request": {"path": "inbox/news.csv"},
        },
    },
    "splits": {
        "train": {"sha256": "1a" * 32, "count": 700},
        "valid": {"sha256": "1b" * 32, "count": 150},
        "test": {"sha256": "1c" * 32, "count": 150},
    },
}
RESULTS = {
    "split": "test",
    "data_sha256": "1c" * 32,
    "metric": "macro_f1",
    "metrics": {
        "macro_f1": {"value": 0.90123, "low": 0.85, "high": 0.94},
        "accuracy": {"value": 0.9, "low": 0.84, "high": 0.94},
    },
    "count": 150,
    "baseline": {
        "majority": {
            "metrics": {"macro_f1": {"value": 0.3, "low": 0.25, "high": 0.34}},
            "count": 150,
            "gain": {"value": 0.6, "low": 0.53, "high": 0.66},
            "p_value": 0.0,
        }
    },
}
