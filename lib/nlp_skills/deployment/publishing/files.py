"""What of a task goes to the Hub: safetensors or GGUF with what is needed to load it, and the records that explain it.

A pickle runs code when it is loaded, so none is published; neither is a path of this machine, nor a secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from nlp_skills.data.credentials import find_secrets
from nlp_skills.deployment.publishing.origin import Origin
from nlp_skills.deployment.publishing.repository import State
from nlp_skills.errors import NotValid
from nlp_skills.records import read_mapping, to_json
from nlp_skills.training.model_info import ModelInfo

RECORDS = ("config.yaml", "lineage.yaml", "results.json")
"""Of the version's folder; predictions hold rows of the data and stay here."""

WEIGHTS = (".safetensors", ".gguf")
_ALLOWED = (*WEIGHTS, ".json", ".jinja", ".txt", ".model", ".tiktoken")
_EDITED = (".json", ".yaml")
"""Text that may name a place on this machine. tokenizer.json and the weights' index never do, and are large."""
_LARGE = 1_000_000
"""Bytes from which a text is not looked through."""


def hub_files(
    task: Path, version: str, path: Path, info: ModelInfo, origin: Origin, token: str | None
) -> dict[str, Path | bytes]:
    """Name in the repository → the file, or its bytes where they differ from the file's.

    A GGUF file is named as llama.cpp and Ollama look for it (`NAME-Q8_0.gguf`). Raises NotValid for a file that is
    not safe to load, and for a secret in a text.
    """
    if info.format == "gguf":
        found = {f"{task.name}-{(info.quantization or path.stem).upper()}.gguf": path}
    else:
        # PEFT's own card names places on this machine; ours takes its place.
        found = {
            file.relative_to(path).as_posix(): file
            for file in sorted(path.rglob("*"))
            if file.is_file() and file.name != "README.md"
        }
    for name, file in found.items():
        _require_safe(name, file)
    records = [task / "versions" / version / name for name in RECORDS]
    found |= {file.relative_to(task).as_posix(): file for file in records if file.is_file()}
    return {name: _published(file, origin, token) for name, file in found.items()}


def superseded(files: Mapping[str, object], state: State) -> list[str]:
    """Weights in the repository that would be loaded beside or instead of the new ones; its history keeps them.

    GGUF files of other quantisations stay: one repository holds several.
    """
    if any(name.endswith(".gguf") for name in files):
        return []
    beside = (".safetensors", ".safetensors.index.json", "adapter_config.json")
    return [name for name in state.files if "/" not in name and name.endswith(beside) and name not in files]


def size_of(content: Path | bytes) -> int:
    """Bytes."""
    return len(content) if isinstance(content, bytes) else content.stat().st_size


def _require_safe(name: str, file: Path) -> None:
    if file.suffix not in _ALLOWED:
        raise NotValid(
            f"{file} is not published: only safetensors and GGUF weights and the texts beside them are"
            f" ({', '.join(_ALLOWED)}). Other weights are pickles, which run code when they are loaded: save them with"
            " save_pretrained, or take the file out of the model's folder."
        )
    if file.suffix in WEIGHTS:
        with file.open("rb") as opened:
            start = opened.read(9)
        # safetensors: the header's length in eight bytes, then its JSON.
        whole = start.startswith(b"GGUF") if file.suffix == ".gguf" else start[8:] == b"{"
        if not whole:
            raise NotValid(f"{file} is not published: it is no {file.suffix[1:]} file, whatever {name} says.")


def _published(file: Path, origin: Origin, token: str | None) -> Path | bytes:
    """The file, or its text without places on this machine. Raises NotValid for a secret."""
    if file.suffix not in _EDITED or file.stat().st_size > _LARGE:
        return file
    content = file.read_bytes()
    edited = content
    if file.name == "adapter_config.json":
        settings = read_mapping(file)
        edited = to_json({**settings, "base_model_name_or_path": origin.name})
    edited = published_text(edited, str(file), origin, token)
    return file if edited == content else edited


def published_text(content: bytes, where: str, origin: Origin, token: str | None) -> bytes:
    """A text without the known places on this machine. Raises NotValid for a secret."""
    for place in origin.places:
        content = content.replace(place.encode(), origin.name.encode())
    text = content.decode("utf-8", errors="replace")
    kinds = [found.kind for found in find_secrets(text)]
    if token and token in text:
        kinds.insert(0, "the token that it is uploaded with")
    if kinds:
        raise NotValid(f"{where} is not published: it holds a secret ({kinds[0]}). Take it out.")
    return content
