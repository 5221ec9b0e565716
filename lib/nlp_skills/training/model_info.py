"""`model_info.json`: which files are the model, and what they were made from."""

from __future__ import annotations

from typing import Literal

from nlp_skills.records import Record


class HubReference(Record):
    """Where the model was published."""

    repo_id: str
    commit: str


class ModelInfo(Record):
    """One trained model. `path` is relative to the task folder."""

    path: str
    format: Literal["adapter", "merged", "gguf"]
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
