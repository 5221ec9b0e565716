"""A version of a task as a model in Ollama.

    models/v2/q8_0.gguf  ──blob──▶ Ollama ──create──▶ entity-sentiment:v2
    its own chat template ──▶ TEMPLATE, stop tokens    (models/v2/Modelfile says the same to `ollama create -f`)

This puts a model there; whether it answers as it was trained to is for the parity gate (deploy-version).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Literal

from nlp_skills.deployment.artefact import artefact, models_folder
from nlp_skills.deployment.go_template.modelfile import Modelfile
from nlp_skills.deployment.ollama.adapter_file import base_gguf, write_adapter
from nlp_skills.deployment.ollama.connection import connected
from nlp_skills.deployment.ollama.models import OllamaModel, find_model, listed, told_settings
from nlp_skills.deployment.ollama.names import full_name, version_name
from nlp_skills.deployment.ollama.uploading import upload, weight_files
from nlp_skills.deployment.ollama.version_modelfile import version_modelfile
from nlp_skills.errors import AlreadyExists, NotValid, RunFailed
from nlp_skills.records import Progress, Record, silent, write_atomic
from nlp_skills.task.version import version_folder
from nlp_skills.training.version_model import base_of

if TYPE_CHECKING:
    from ollama import Client

USUAL = "q8_0"

WIDE = ("merged", "f32", "f16", "bf16")
"""What Ollama quantizes by itself, to four types (fs/ggml/type.go, ParseFileType)."""

CREATED = "success"


class OllamaCreation(Record):
    """A version in Ollama."""

    task: str
    version: str
    artefact: str
    model: OllamaModel
    renders_with: Literal["template", "chat_template"]
    """What Ollama makes prompts with: the Modelfile's TEMPLATE, or the chat template inside the weights."""
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
    quantization of a GGUF file. A name that is given and taken is left alone without `replace`. Raises NotReady, NotFound,
    NotValid for a chat template that a Go template cannot equal, AlreadyExists, RunFailed.
    """
    version = version_folder(task, version).name
    path, _ = artefact(task, version, what)
    if quantize is not None and what not in WIDE:
        raise NotValid(f"--quantize takes weights in 16 or 32 bits: --what {', '.join(WIDE)}, not {what}.")
    label = what if quantize is None else quantize.lower()
    target = full_name(name) if name else version_name(task.name, version, label, USUAL)
    made = version_modelfile(task, version, path, system=system)
    with connected(f"Creating {target}") as client:
        if name is not None and not replace:
            _require_free(client, target)
        with weights(task, version, path, progress) as (files, adapters):
            sent, added = (upload(client, some, progress) for some in (files, adapters))
        _create(client, target, made, sent, added, quantize, progress)
        shown = client.show(target)
        _require_told(shown.parameters or "", made, target)
        model = find_model(client, target)
    return OllamaCreation(
        task=task.name,
        version=version,
        artefact=what,
        model=model,
        renders_with="template" if shown.template == made.template else "chat_template",
        stops=made.stops,
        limits=made.limits,
        modelfile=None if adapters else _kept(task, version, made),
        note=f"Ask it with: nlp-skills ollama-generate {target} PROMPT; measure it with: nlp-skills evaluate-version"
        f" {task.name} --version {version} --model ollama/{target}",
    )


def _kept(task: Path, version: str, made: Modelfile) -> str:
    place = models_folder(task, version) / "Modelfile"
    write_atomic(place, made.text.encode())
    return place.relative_to(task).as_posix()


Files = dict[str, Path]


@contextmanager
def weights(task: Path, version: str, path: Path, progress: Progress) -> Iterator[tuple[Files, Files]]:
    """The files of the model and those of its adapter, by the names that Ollama is told.

    An adapter goes beside its base model in 16 bits; its GGUF file lasts as long as the block.
    """
    if not (path / "adapter_config.json").is_file():
        yield weight_files(path), {}
        return
    base = base_of(task, version)
    with TemporaryDirectory() as folder:
        file = Path(folder) / "adapter.gguf"
        write_adapter(base, path, file, progress)
        yield {"base.gguf": base_gguf(base, progress)}, {file.name: file}


def _require_free(client: Client, name: str) -> None:
    if name.lower() in {model.name.lower() for model in listed(client)}:
        raise AlreadyExists(
            f"Ollama has a model {name} already. Take another --name, leave it out for TASK:VERSION, or say that it is to"
            " be replaced: --replace"
        )


def _create(
    client: Client,
    name: str,
    made: Modelfile,
    files: dict[str, str],
    adapters: dict[str, str],
    quantize: str | None,
    progress: Progress,
) -> None:
    last = ""
    steps = client.create(
        name,
        files=files,
        adapters=adapters or None,
        template=made.template,
        system=made.system,
        parameters={**made.parameters, "stop": made.stops} if made.stops else made.parameters,
        quantize=quantize,
        stream=True,
    )
    for step in steps:
        last = step.status or ""
        progress(f"{name}: {last}", step.completed or 0, step.total)
    if last != CREATED:
        raise RunFailed(
            f"Creating {name} ended without Ollama saying that it is done (last word: {last or 'none'!r}). What was there"
            " under that name is unchanged. See Ollama's own log, and run the same command again."
        )


def _require_told(parameters: str, made: Modelfile, name: str) -> None:
    """A stop token that is not there lets the model write on for ever (P01)."""
    told = told_settings(parameters).get("stop", [])
    missing = [stop for stop in made.stops if stop not in told]
    if missing:
        raise RunFailed(
            f"Ollama made {name} without the stop tokens {', '.join(missing)}. See Ollama's own log."
        )
