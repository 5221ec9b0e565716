"""What is compared: an artefact of the version by its name, a GGUF file, a folder, or a model in Ollama."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from nlp_skills.deployment.artefact import artefact, content_sha256, models_folder
from nlp_skills.deployment.ollama.connection import connected
from nlp_skills.deployment.ollama.names import full_name
from nlp_skills.errors import NotFound, NotReady
from nlp_skills.training.model_info import ModelInfo

OLLAMA = "ollama/"
_BLOB = re.compile(r"sha256[-:]([0-9a-f]{64})")


class Target(NamedTuple):
    """Where the weights lie, and what they are called."""

    label: str
    """What it is called: an artefact, a path, or a name in Ollama."""
    path: Path
    sha256: str
    quantization: str | None
    ollama: str | None = None


def find_target(task: Path, version: str, model: str) -> Target:
    """Find what is to be compared. Raises NotFound, or NotReady with the command that makes it."""
    if model.startswith(OLLAMA):
        return _in_ollama(task, version, full_name(model.removeprefix(OLLAMA)))
    for path in (Path(model).expanduser(), task / model):
        if (path.suffix == ".gguf" and path.is_file()) or (path / "config.json").is_file():
            return Target(place_of(path, task), path, content_sha256(path) or "", None)
    if model.endswith(".gguf") or "/" in model:
        raise NotFound(
            f"There is no model {model!r}. Give the name of an artefact (q8_0, f16, merged), a .gguf file, a folder or"
            f" {OLLAMA}NAME."
        )
    path, info = artefact(task, version, model)
    if (path / "adapter_config.json").is_file():
        raise NotReady(
            f"{info.path} is what was trained, and nothing was made of it. Compare what is served: q8_0, f16, merged,"
            f" or {OLLAMA}NAME."
        )
    return Target(model, path, info.sha256, info.quantization)


def place_of(path: Path, task: Path) -> str:
    """In the task's folder, where it lies there; else on this machine."""
    here, task = path.resolve(), task.resolve()
    return (here.relative_to(task) if here.is_relative_to(task) else here).as_posix()


def _in_ollama(task: Path, version: str, name: str) -> Target:
    """The artefact that Ollama serves: its weights are a blob that is named by their SHA-256."""
    with connected(f"Looking at {name}", name) as client:
        made_from = next(
            (line for line in (client.show(name).modelfile or "").splitlines() if line.startswith("FROM ")),
            "",
        )
    blob = _BLOB.search(made_from)
    files = {info.sha256: info for info in _gguf_files(task, version)}
    if blob is None or blob[1] not in files:
        served = f"weights of its own ({blob[0][:19]}…)" if blob else "weights that it does not name"
        raise NotReady(
            f"Ollama serves {name} from {served}, which are no GGUF file of {version} of {task.name}, so they cannot be"
            f" compared. Deploy it with: nlp-skills deploy-version {task.name} --version {version} --to ollama"
        )
    info = files[blob[1]]
    return Target(OLLAMA + name, task / info.path, info.sha256, info.quantization, name)


def _gguf_files(task: Path, version: str) -> list[ModelInfo]:
    records = (
        file for file in models_folder(task, version).glob("*.json") if file.with_suffix(".gguf").is_file()
    )
    return [ModelInfo.load(file) for file in sorted(records)]
