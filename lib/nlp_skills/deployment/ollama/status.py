"""What Ollama has loaded, where it lies, and what is left of this machine."""

from __future__ import annotations

import os
from importlib.metadata import version as installed_version

import httpx2

from nlp_skills.data.sources.generation.ollama_server import ollama_headers, ollama_url
from nlp_skills.deployment.ollama.connection import (
    connected,
    is_this_machine,
    no_ollama,
    not_reached,
    refusal,
)
from nlp_skills.records import Record
from nlp_skills.training.environment import free_cores
from nlp_skills.training.planning.gpus import visible_gpus
from nlp_skills.training.planning.hardware import memory_gb


class LoadedModel(Record):
    """A model in memory."""

    name: str
    size_bytes: int
    """With the cache of its window."""
    gpu_bytes: int
    gpu_share: float
    """Of the model: 1 is all of it, 0 means that the processor answers."""
    context_length: int | None = None
    until: str | None = None
    """When it is unloaded if nobody asks it."""


class GpuMemory(Record):
    """A GPU of this machine; GiB."""

    name: str
    memory_gb: float
    free_gb: float


class Machine(Record):
    """This machine; GiB."""

    cores: int
    load_average: float | None
    """Processes that ran or waited in the last minute, on average; None where the system does not tell."""
    memory_gb: float
    free_gb: float
    gpus: list[GpuMemory]


class OllamaStatus(Record):
    """The server, what it has loaded, and the machine where it is this one."""

    host: str
    version: str
    client: str
    loaded: list[LoadedModel]
    machine: Machine | None
    note: str


def ollama_status() -> OllamaStatus:
    """What Ollama has loaded, on GPU or processor, and the memory left on this machine. Raises NotReady without an Ollama."""
    url = ollama_url()
    with connected("Asking for the loaded models") as client:
        loaded = [
            LoadedModel(
                name=entry.model or entry.name or "",
                size_bytes=int(entry.size or 0),
                gpu_bytes=int(entry.size_vram or 0),
                gpu_share=round((entry.size_vram or 0) / entry.size, 3) if entry.size else 0.0,
                context_length=entry.context_length,
                until=entry.expires_at.isoformat() if entry.expires_at else None,
            )
            for entry in client.ps().models
        ]
    here = is_this_machine(url)
    return OllamaStatus(
        host=url,
        version=ollama_version(url),
        client=installed_version("ollama"),
        loaded=loaded,
        machine=this_machine() if here else None,
        note=_note(loaded)
        if here
        else f"Ollama runs on another machine: of that one only its models are known. {_note(loaded)}",
    )


def ollama_version(url: str | None = None) -> str:
    """The server's own version, which its client has no call for. Raises NotReady."""
    url = url or ollama_url()
    try:
        reply = httpx2.get(f"{url}/api/version", headers=ollama_headers(), timeout=30.0)
        if reply.status_code in (401, 403):
            raise refusal("Asking for the version", reply.text, reply.status_code, None)
        said = reply.json()
    except httpx2.TransportError:
        raise not_reached(url) from None
    except ValueError as error:
        raise no_ollama(url, str(error)) from None
    if reply.is_error or not isinstance(said, dict) or "version" not in said:
        raise no_ollama(url, f"status {reply.status_code} at /api/version")
    return str(said["version"])


def this_machine() -> Machine:
    """Cores, load and memory of where this runs."""
    total, free = memory_gb()
    return Machine(
        cores=free_cores(),
        load_average=round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None,
        memory_gb=round(total, 1),
        free_gb=round(free, 1),
        gpus=[
            GpuMemory(name=gpu.name, memory_gb=round(gpu.memory_gb, 1), free_gb=round(gpu.free_gb, 1))
            for gpu in visible_gpus()
        ],
    )


def _note(loaded: list[LoadedModel]) -> str:
    if not loaded:
        return "No model is loaded; the first question loads one, which takes a while."
    slow = [model.name for model in loaded if model.gpu_share < 1]
    if not slow:
        return "All loaded models are on the GPU."
    return f"{', '.join(slow)}: answered by the processor, wholly or in part."
