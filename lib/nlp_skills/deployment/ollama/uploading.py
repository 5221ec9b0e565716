"""Files onto Ollama's machine: each goes once, under its SHA-256."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import httpx2

from nlp_skills.data.sources.generation.ollama_server import ollama_headers, ollama_url
from nlp_skills.errors import RunFailed
from nlp_skills.records import Progress, sha256_file

if TYPE_CHECKING:
    from ollama import Client

WEIGHTS = ("*.safetensors", "*.json", "chat_template.jinja", "tokenizer.model")
"""What Ollama's own program takes of a model's folder (parser/parser.go, filesForModel)."""


def weight_files(path: Path) -> dict[str, Path]:
    """The files of a model by the names that Ollama is told: a GGUF file, or what it needs of a folder."""
    if path.is_file():
        return {path.name: path}
    found = sorted({file for pattern in WEIGHTS for file in path.glob(pattern)})
    return {file.name: file for file in found}


def upload(client: Client, files: Mapping[str, Path], progress: Progress) -> dict[str, str]:
    """Name → digest of files that are then on Ollama's machine; what is there already is not sent again.

    Raises RunFailed for a file that changed on the way.
    """
    sent: dict[str, str] = {}
    for number, (name, path) in enumerate(files.items()):
        progress(f"sending {name} to Ollama", number, len(files))
        digest = f"sha256:{sha256_file(path)}"
        if not _is_there(digest) and client.create_blob(path) != digest:
            raise RunFailed(f"{path} was changed while it was sent to Ollama. Run the same command again.")
        sent[name] = digest
    return sent


def _is_there(digest: str) -> bool:
    """Its client has no call for the question; without an answer the file is sent."""
    try:
        url = f"{ollama_url()}/api/blobs/{digest}"
        return httpx2.head(url, headers=ollama_headers(), timeout=30.0).status_code == 200
    except httpx2.TransportError:
        return False
