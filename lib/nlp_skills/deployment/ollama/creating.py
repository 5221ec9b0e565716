"""A version of a task as a model in Ollama.

    models/v2/q8_0.gguf  ──blob──▶ Ollama ──create──▶ entity-sentiment:v2
    its own chat template ──▶ TEMPLATE, stop tokens    (models/v2/Modelfile says the same to `ollama create -f`)

This puts a model there; whether it answers as it was trained to is for the parity gate (deploy-version).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from nlp_skills.deployment.artefact import artefact, models_folder
from nlp_skills.deployment.go_template.modelfile import Modelfile
from nlp_skills.deployment.ollama.candidate import candidate, is_adapter, name_candidate
from nlp_skills.deployment.ollama.connection import connected
from nlp_skills.deployment.ollama.models import OllamaModel, find_model, listed
from nlp_skills.deployment.ollama.names import full_name, version_name
from nlp_skills.errors import AlreadyExists, NotValid
from nlp_skills.records import Progress, Record, silent, write_atomic
from nlp_skills.task.version import version_folder

USUAL = "q8_0"

WIDE = ("merged", "f32", "f16", "bf16")
"""What Ollama quantizes by itself, to four types (fs/ggml/type.go, ParseFileType)."""


class OllamaCreation(Record):
    """A version in Ollama."""

    task: str
    version: str
    artefact: str
    model: OllamaModel
    renders_with: Literal["template", "chat_template"]
    """What Ollama makes prompts with: the Modelfile's TEMPLATE, or the chat template inside the weights …"""
    renderer: str | None = None
    """… unless it has a renderer of its own for this architecture, which takes the place of both."""
    stops: list[str]
    limits: list[str]
    """What the TEMPLATE cannot say as the chat template does."""
    modelfile: str | None
    """Relative to the task folder; None for an adapter, whose GGUF files are not kept."""
    note: str


def ollama_create(
    task: Path,
    *,
    version: str | None = None,
    what: str = USUAL,
    name: str | None = None,
    quantize: Literal["q4_K_M", "q4_K_S", "q8_0", "f16"] | None = None,
    system: str | None = None,
    replace: bool = False,
    progress: Progress = silent,
) -> OllamaCreation:
    """Put a version into Ollama with a Modelfile made from its own chat template; it is called TASK:VERSION.

    `what` is adapter (beside its base model, which versions share), merged (safetensors, converted by Ollama) or the
    quantization of a GGUF file. It has its name once it has answered; a name that is given and taken is left alone
    without `replace`. Raises NotReady, NotFound,
    NotValid for a chat template that a Go template cannot equal, AlreadyExists, RunFailed.
    """
    version = version_folder(task, version).name
    path, _ = artefact(task, version, what)
    if quantize is not None and what not in WIDE:
        raise NotValid(f"--quantize takes weights in 16 or 32 bits: --what {', '.join(WIDE)}, not {what}.")
    label = what if quantize is None else quantize.lower()
    target = full_name(name) if name else version_name(task.name, version, label, USUAL)
    if name is not None and not replace:
        _require_free(target)
    with candidate(task, version, path, target, quantize=quantize, system=system, progress=progress) as found:
        _require_answer(found.name, target)
        name_candidate(found, [target])
    with connected(f"Looking at {target}") as client:
        model = find_model(client, target)
    return OllamaCreation(
        task=task.name,
        version=version,
        artefact=what,
        model=model,
        renders_with="template" if found.renders_with_template else "chat_template",
        renderer=found.renderer,
        stops=found.made.stops,
        limits=found.made.limits,
        modelfile=None if is_adapter(path) else _kept(task, version, found.made),
        note=f"Ask it with: nlp-skills ollama-generate {target} PROMPT; measure it with: nlp-skills evaluate-version"
        f" {task.name} --version {version} --model ollama/{target}",
    )


def _kept(task: Path, version: str, made: Modelfile) -> str:
    place = models_folder(task, version) / "Modelfile"
    write_atomic(place, made.text.encode())
    return place.relative_to(task).as_posix()


def _require_free(name: str) -> None:
    with connected(f"Creating {name}") as client:
        taken = name.lower() in {model.name.lower() for model in listed(client)}
    if taken:
        raise AlreadyExists(
            f"Ollama has a model {name} already. Take another --name, leave it out for TASK:VERSION, or say that it is to"
            " be replaced: --replace"
        )


def _require_answer(name: str, target: str) -> None:
    """One token, whichever: a model that cannot be loaded does not take the place of one that can."""
    with connected(f"Trying the new {target}, before it takes that name", name) as client:
        client.chat(name, [{"role": "user", "content": "Hello"}], options={"num_predict": 1})
