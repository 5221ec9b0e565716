"""The models that Ollama has: listed, shown, copied, removed."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from nlp_skills.data.sources.generation.ollama_server import ollama_url
from nlp_skills.deployment.ollama.connection import connected
from nlp_skills.deployment.ollama.names import full_name
from nlp_skills.errors import AlreadyExists, NotFound, did_you_mean
from nlp_skills.records import Record

if TYPE_CHECKING:
    from ollama import Client
    from ollama._types import ModelDetails

SHOWN_TEMPLATE = 400
"""Characters of a template that an assistant is given."""


class OllamaModel(Record):
    """A model as Ollama lists it."""

    name: str
    size_bytes: int
    manifest: str
    """Its SHA-256: two names with one manifest are one model."""
    family: str | None = None
    parameters: str | None = None
    """As Ollama writes it: 134.52M."""
    quantization: str | None = None
    modified: str | None = None
    loaded: bool = False


class OllamaModels(Record):
    """All of them, newest first."""

    host: str
    models: list[OllamaModel]


class OllamaDetails(Record):
    """One model: what it can do, and how it is asked."""

    model: OllamaModel
    capabilities: list[str]
    """completion, tools, thinking, vision …"""
    context_length: int | None = None
    """Tokens that it was made for."""
    template: str | None = None
    """The Go TEMPLATE, or the chat template of its weights where Ollama uses that."""
    system: str | None = None
    settings: dict[str, list[str]]
    """The PARAMETER lines, as Ollama writes them: stop, temperature …"""
    license: str | None = None
    """Its first line."""

    def brief(self) -> OllamaDetails:
        """The template's beginning is enough for an assistant."""
        if self.template is None or len(self.template) <= SHOWN_TEMPLATE:
            return self
        return self.model_copy(update={"template": f"{self.template[:SHOWN_TEMPLATE]}…"})


def ollama_list_models() -> OllamaModels:
    """The models that Ollama has on its machine, and which of them are loaded. Raises NotReady without an Ollama."""
    with connected("Listing models") as client:
        return OllamaModels(host=ollama_url(), models=listed(client))


def listed(client: Client) -> list[OllamaModel]:
    """As Ollama lists them, newest first."""
    loaded = {entry.model for entry in client.ps().models}
    return [
        OllamaModel(
            name=entry.model or "",
            size_bytes=int(entry.size or 0),
            manifest=entry.digest or "",
            modified=entry.modified_at.isoformat() if entry.modified_at else None,
            loaded=entry.model in loaded,
            **_details(entry.details),
        )
        for entry in client.list().models
    ]


def _details(details: ModelDetails | None) -> dict[str, Any]:
    if details is None:
        return {}
    return {
        "family": details.family or None,
        "parameters": details.parameter_size or None,
        "quantization": details.quantization_level or None,
    }


def find_model(client: Client, name: str) -> OllamaModel:
    """The model of that name; case does not count, as in Ollama. Raises NotFound with the nearest name."""
    wanted = full_name(name)
    models = listed(client)
    for model in models:
        if model.name.lower() == wanted.lower():
            return model
    raise NotFound(
        f"Ollama has no model {name}{did_you_mean(wanted, [model.name for model in models])}. See what it has with:"
        f" nlp-skills ollama-list-models; fetch one from its library with: nlp-skills ollama-pull {name}"
    )


def ollama_show(model: str) -> OllamaDetails:
    """One model's details: capabilities, context, template, system prompt, parameters, license. Raises NotFound."""
    with connected(f"Showing {model}", model) as client:
        found = find_model(client, model)
        shown = client.show(found.name)
    lengths = [
        value for key, value in (shown.modelinfo or {}).items() if key.endswith(".context_length") and value
    ]
    return OllamaDetails(
        model=found,
        capabilities=sorted(shown.capabilities or []),
        context_length=int(lengths[0]) if lengths else None,
        template=shown.template or None,
        system=_system(shown.modelfile or ""),
        settings=told_settings(shown.parameters or ""),
        license=(shown.license or "").strip().partition("\n")[0] or None,
    )


def _system(modelfile: str) -> str | None:
    """The client has no field for it; of the Modelfile that Ollama writes (parser/parser.go, quote) the SYSTEM line."""
    found = re.search(r'^SYSTEM (?:"""(.*?)"""|"([^"]*)"|([^\n]*))$', modelfile, re.MULTILINE | re.DOTALL)
    return next((text for text in found.groups() if text), None) if found else None


def told_settings(parameters: str) -> dict[str, list[str]]:
    """The PARAMETERs as Ollama shows them: lines of `name      value`, one for each of several, texts quoted as in Go."""
    found: dict[str, list[str]] = {}
    for line in parameters.splitlines():
        name, _, value = line.partition(" ")
        if name:
            found.setdefault(name, []).append(_unquoted(value.strip()))
    return found


def _unquoted(value: str) -> str:
    """Go's quotes are JSON's but for rare characters, which stay as they are."""
    try:
        text = json.loads(value)
    except ValueError:
        return value.strip('"')
    return text if isinstance(text, str) else value


def ollama_copy(model: str, to: str, *, replace: bool = False) -> OllamaModel:
    """Give a model a second name; its files are shared. Raises NotFound, or AlreadyExists without `replace`."""
    with connected(f"Copying {model}", model) as client:
        source, target = find_model(client, model), full_name(to)
        there = {entry.name.lower(): entry for entry in listed(client)}.get(target.lower())
        if there is not None and there.manifest != source.manifest and not replace:
            raise AlreadyExists(
                f"Ollama has a model {target} already, which is another one. Take another name, or say that it is to be"
                f" replaced: nlp-skills ollama-copy {model} {to} --replace"
            )
        client.copy(source.name, target)
        return find_model(client, target)
