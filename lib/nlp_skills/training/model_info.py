"""A model: which files it is, what they were made from, and what was checked of them."""

from __future__ import annotations

from typing import Literal

from nlp_skills.records import Record


class HubReference(Record):
    """Where the model was published."""

    repo_id: str
    commit: str


class ModelCheck(Record):
    """What was measured of a model that was made of another, and whether it may be used."""

    id: str
    """EXP-MERGE, EXP-VOCAB … of the catalogue of pitfalls."""
    passed: bool | None
    """None: it could not be measured, which is never a yes."""
    measured: dict[str, float | int | str] = {}
    message: str


class ModelInfo(Record):
    """One model: the trained one (model_info.json), or what was made of it (models/v1/merged.json, q8_0.json …).

    `path` is relative to the task folder.
    """

    path: str
    format: Literal["adapter", "merged", "gguf", "compressed", "onnx"]
    """compressed: safetensors of 4 bits (GPTQ), which vLLM reads."""
    sha256: str
    base_model: str
    base_revision: str | None = None
    base_sha256: str | None = None
    """Of the base model's weights file, where it is a file on this machine."""
    chat_template_sha256: str
    trainable_parameters: int
    total_parameters: int
    hub: HubReference | None = None
    ollama: str | None = None
    quantization: str | None = None
    """Of a GGUF file f16, q8_0, q4_k_m …; else gptq, onnx."""
    size_bytes: int | None = None
    made_from_sha256: str | None = None
    """Of the trained weights (`sha256` of the version's model_info.json) that this was made of."""
    created: str | None = None
    checks: list[ModelCheck] = []
