"""From a reference to what answers.

base                      the task's base model
v3                        a version of the task, and which weights it has been trained to
models/v3/merged          a folder: a whole model, or an adapter on the base model
models/v3/model.gguf      a GGUF file, in llama.cpp
ollama/NAME               a model that Ollama serves
http://host/v1#MODEL      an OpenAI-compatible address; the key is that of task.yaml's endpoint
"""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

from nlp_skills.base_model import BaseModelFiles, require_training
from nlp_skills.errors import NotFound, NotReady, NotValid, did_you_mean
from nlp_skills.evaluation.predictors.gguf import GgufPredictor
from nlp_skills.evaluation.predictors.local import LocalPredictor, load_local
from nlp_skills.evaluation.predictors.ollama import OllamaPredictor
from nlp_skills.evaluation.predictors.openai_url import UrlPredictor
from nlp_skills.evaluation.predictors.predictor import Predictor
from nlp_skills.records import read_mapping, sha256_file, sha256_tree
from nlp_skills.task.task import Task
from nlp_skills.task.version import version_folder, version_names
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.environment import free_cores
from nlp_skills.training.model_info import ModelInfo
from nlp_skills.training.version_model import resolve_model

OPENAI = "api.openai.com"


def open_predictor(task: Path, reference: str, *, config: TrainConfig | None = None) -> Predictor:
    """What answers for a task. A version's weights are read as its own config.yaml says, everything else as `config` does.

    Without `config` that is the newest version's (dtype, thinking, tools in the prompt, base model), else the task's
    base model. Raises NotFound for a reference to nothing, NotReady for a version without its weights or a key that
    is not set, NotValid for what cannot be loaded, MissingExtra.
    """
    if reference in version_names(task):
        return _version(task, reference)
    given = config or _newest_config(task)
    shown = {"thinking": given.enable_thinking, "tools_in_prompt": given.tools_in_prompt}
    if reference == "base":
        return _local(task, given, None)
    if reference.startswith("ollama/"):
        return OllamaPredictor(reference.removeprefix("ollama/"), **shown)
    if re.match(r"https?://", reference):
        url, model = _address(reference)
        return UrlPredictor(url, model, key=_key(task, url), **shown)
    path = _existing(task, reference)
    if path.suffix == ".gguf":
        return GgufPredictor(path, **shown)
    return _local(task, _trained_by(task, path) or given, path)


def _trained_by(task: Path, folder: Path) -> TrainConfig | None:
    """The settings of the version whose weights these are: an adapter belongs on its own base model, not the newest one's."""
    for version in version_names(task):
        file = version_folder(task, version) / "model_info.json"
        if file.is_file() and (task / ModelInfo.load(file).path).resolve() == folder.resolve():
            return TrainConfig.load(file.with_name("config.yaml"))
    return None


def _version(task: Path, version: str) -> Predictor:
    folder = version_folder(task, version)
    config = TrainConfig.load(folder / "config.yaml")
    if not (folder / "model_info.json").is_file():
        raise NotReady(
            f"{task.name} {version} has no trained model. Train it with: nlp-skills train-model {task.name} --version {version}"
        )
    info = ModelInfo.load(folder / "model_info.json")
    weights = trained_weights(task, version, info)
    if info.format == "gguf":
        return GgufPredictor(weights, thinking=config.enable_thinking, tools_in_prompt=config.tools_in_prompt)
    return _local(task, config, weights)


def trained_weights(task: Path, version: str, info: ModelInfo) -> Path:
    """The folder or file of the weights, if they are the ones that were trained (models/ is left out of git).

    Raises NotReady where they are gone or have been changed.
    """
    path = task / info.path
    found = sha256_tree(path) if path.is_dir() else sha256_file(path) if path.is_file() else None
    if found != info.sha256:
        raise NotReady(
            f"{task.name}: {info.path} is not what {version} trained: files are missing or were changed. Put"
            f" them back, or train its settings again: nlp-skills create-version {task.name} --parent {version}"
        )
    return path


def _local(task: Path, config: TrainConfig, folder: Path | None) -> LocalPredictor:
    require_training()
    import torch

    torch.set_num_threads(config.threads or free_cores())
    files = _base(folder) or resolve_model(task, config.base_model, config.base_revision)
    return load_local(
        files,
        folder,
        config.dtype,
        thinking=config.enable_thinking,
        tools_in_prompt=config.tools_in_prompt,
    )


def _base(folder: Path | None) -> BaseModelFiles | None:
    """Of a whole model its own folder; None where the base model is the task's."""
    if folder is None or (folder / "adapter_config.json").is_file():
        return None
    if not (folder / "config.json").is_file():
        raise NotValid(f"{folder} is no model: it has neither config.json nor adapter_config.json.")
    quantised = (read_mapping(folder / "config.json").get("quantization_config") or {}).get("quant_method")
    if quantised == "compressed-tensors" or not any(folder.glob("*.safetensors")):
        what = "holds compressed weights" if quantised else "has no safetensors"
        raise NotValid(
            f"{folder} {what}, which transformers does not load here. Serve it (vLLM, onnxruntime) and give the server's"
            " address instead: http://host:8000/v1#NAME"
        )
    return BaseModelFiles(name=folder.name, path=str(folder))


def _newest_config(task: Path) -> TrainConfig:
    for version in reversed(version_names(task)):
        file = version_folder(task, version) / "config.yaml"
        if file.is_file():
            return TrainConfig.load(file)
    return TrainConfig(base_model=Task.load(task / "task.yaml").base_model)


def _address(reference: str) -> tuple[str, str]:
    url, mark, model = reference.partition("#")
    if not mark or not model:
        raise NotValid(
            f"{url} lacks the model's name: write it behind #, for example {url.rstrip('/')}#my-model."
        )
    return url, model


def _key(task: Path, url: str) -> str | None:
    """The reference of task.yaml's endpoint where this is its address; OpenAI's own goes to OpenAI alone."""
    endpoint = Task.load(task / "task.yaml").endpoint
    if endpoint is not None and endpoint.url.rstrip("/") == url.rstrip("/") and endpoint.api_key:
        return endpoint.api_key
    return "${OPENAI_API_KEY}" if urlsplit(url).hostname == OPENAI else None


def _existing(task: Path, reference: str) -> Path:
    """The folder or file, from here or from the task."""
    for path in (Path(reference).expanduser(), task / reference):
        if path.is_dir() or (path.suffix == ".gguf" and path.is_file()):
            return path
    known = version_names(task)
    raise NotFound(
        f"There is no model {reference!r}{did_you_mean(reference, ['base', *known])}. Give base, a version of {task.name}"
        f" ({', '.join(known) or 'none yet'}), a folder, a .gguf file, ollama/NAME or http://host/v1#MODEL."
    )
