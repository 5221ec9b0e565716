"""What was made of a version, by name: `adapter`, `merged`, `f16`, `q8_0` …

models/v2/adapter      versions/v2/model_info.json   what was trained
models/v2/merged/      models/v2/merged.json         merge-version
models/v2/q8_0.gguf    models/v2/q8_0.json           export-model
"""

from __future__ import annotations

from pathlib import Path

from nlp_skills.errors import NotReady
from nlp_skills.records import sha256_file, sha256_tree
from nlp_skills.task.version import version_folder
from nlp_skills.training.model_info import ModelInfo

TRAINED = "trained"
"""What the training has saved, whichever form it has."""


def models_folder(task: Path, version: str) -> Path:
    """Where a version's weights lie, and all that is made of them."""
    return task / "models" / version


def artefact(task: Path, version: str, name: str) -> tuple[Path, ModelInfo]:
    """The folder or file of that name and its record; its hash is the record's.

    `version` may be an alias; `name` is trained, adapter, merged, or the quantization of a GGUF file. Of a version that was trained without an
    adapter, `merged` is what was trained. Raises NotFound for an unknown version, NotReady with the command that makes it.
    """
    version = version_folder(task, version).name
    trained = trained_info(task, version)
    if name in (TRAINED, trained.format):
        return _verified(task, version, trained, name)
    if name == "adapter":
        raise NotReady(
            f"{task.name} {version} was trained without an adapter: its weights are whole ({trained.path})."
            " Ask for merged instead."
        )
    record = record_file(task, version, name)
    if not record.is_file():
        raise NotReady(f"{task.name} {version} has no {name} yet. Make it with: {maker(task, version, name)}")
    info = ModelInfo.load(record)
    if info.made_from_sha256 != trained.sha256:
        raise NotReady(
            f"{task.name}: {info.path} was made of other weights than those that {version} has now."
            f" Make it again: {maker(task, version, name)}"
        )
    return _verified(task, version, info, name)


def trained_info(task: Path, version: str) -> ModelInfo:
    """What was trained. Raises NotFound, or NotReady for a version without a model."""
    file = version_folder(task, version) / "model_info.json"
    if not file.is_file():
        raise NotReady(
            f"{task.name} {version} has no trained model. Train it with: nlp-skills train-model {task.name}"
            f" --version {version}"
        )
    return ModelInfo.load(file)


def record_file(task: Path, version: str, name: str) -> Path:
    """Where the record of an artefact lies."""
    return models_folder(task, version) / f"{name}.json"


def maker(task: Path, version: str, name: str) -> str:
    """The command that makes an artefact."""
    if name == "merged":
        return f"nlp-skills merge-version {task.name} --version {version}"
    return f"nlp-skills export-model {task.name} --version {version} --quantization {name}"


def content_sha256(path: Path) -> str | None:
    """Of a folder's files or of a file; None where there is neither."""
    if path.is_dir():
        return sha256_tree(path)
    return sha256_file(path) if path.is_file() else None


def _verified(task: Path, version: str, info: ModelInfo, name: str) -> tuple[Path, ModelInfo]:
    path = task / info.path
    if content_sha256(path) == info.sha256:
        return path, info
    if info.made_from_sha256 is None:
        cure = (
            "Put them back, or train its settings again: nlp-skills create-version"
            f" {task.name} --parent {version}"
        )
    else:
        cure = f"Make it again: {maker(task, version, name)}"
    raise NotReady(
        f"{task.name}: {info.path} is not what was made of {version}: files are missing or were changed. {cure}"
    )
