"""Ollama's models, what is loaded, what is recommended, and what was answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from nlp_skills.errors import counted, sized
from nlp_skills.tables.grid import filled, table

if TYPE_CHECKING:
    from nlp_skills.deployment.ollama.coding import Code
    from nlp_skills.deployment.ollama.creating import OllamaCreation
    from nlp_skills.deployment.ollama.generating import Generation
    from nlp_skills.deployment.ollama.models import (
        OllamaDetails,
        OllamaModel,
        OllamaModels,
    )
    from nlp_skills.deployment.ollama.recommended import Recommendation
    from nlp_skills.deployment.ollama.removing import OllamaRemoval
    from nlp_skills.deployment.ollama.status import Machine, OllamaStatus


def models(found: OllamaModels) -> RenderableType:
    """One a line, the newest first."""
    if not found.models:
        return Text(f"Ollama at {found.host} has no model yet. See which fits: nlp-skills recommend-models")
    rows = [
        {
            "model": model.name,
            "size": sized(model.size_bytes),
            "parameters": model.parameters or "",
            "quantization": model.quantization or "",
            "changed (UTC)": (model.modified or "")[:16].replace("T", " "),
            "loaded": "yes" if model.loaded else "",
        }
        for model in found.models
    ]
    return filled(rows, right=("size", "parameters"), whole=("model",))


def model(found: OllamaModel) -> RenderableType:
    """One that was fetched or copied."""
    kind = ", ".join(part for part in (found.parameters, found.quantization) if part)
    return Text(
        f"{found.name} is in Ollama: {sized(found.size_bytes)}" + (f" ({kind})" if kind else "") + "."
    )


def details(found: OllamaDetails) -> RenderableType:
    """What it can do, how it is asked, and its template as it is."""
    lines = {
        "model": f"{found.model.name}, {sized(found.model.size_bytes)}",
        "made of": " ".join(
            part for part in (found.model.family, found.model.parameters, found.model.quantization) if part
        ),
        "can": ", ".join(found.capabilities),
        "context": f"{found.context_length:,} tokens" if found.context_length else "",
        "system": found.system or "",
        **{name: ", ".join(values) for name, values in found.settings.items()},
        "license": found.license or "",
    }
    told = [Text(f"{name:<12} {value}") for name, value in lines.items() if value]
    return Group(*told, *([Text(f"\ntemplate\n{found.template}")] if found.template else []))


def removal(found: OllamaRemoval) -> RenderableType:
    """In a sentence, and what becomes free."""
    freed = (
        f" {sized(found.size_bytes)} {'are' if found.removed else 'would be'} free."
        if found.size_bytes
        else ""
    )
    return Text(f"{found.note}{freed}")


def status(found: OllamaStatus) -> RenderableType:
    """The server, what it has loaded, and the machine."""
    parts: list[RenderableType] = [Text(f"Ollama {found.version} at {found.host}")]
    if found.loaded:
        rows = table(
            "model", "memory", "on GPU", "window", "until (UTC)", right=("memory", "on GPU", "window")
        )
        for one in found.loaded:
            window = f"{one.context_length:,}" if one.context_length else ""
            until = (one.until or "")[:16].replace("T", " ")
            rows.add_row(one.name, sized(one.size_bytes), f"{one.gpu_share:.0%}", window, until)
        parts.append(rows)
    if found.machine:
        parts += [Text(line) for line in _machine(found.machine)]
    return Group(*parts, Text(found.note))


def _machine(found: Machine) -> list[str]:
    load = "" if found.load_average is None else f", load {found.load_average:.1f}"
    gpus = [f"{gpu.name}: {gpu.free_gb:.1f} of {gpu.memory_gb:.1f} GiB are free" for gpu in found.gpus]
    return [
        f"This machine: {counted(found.cores, 'core')}{load}; {found.free_gb:.1f} of {found.memory_gb:.1f} GiB are free",
        *gpus,
    ]


def recommendation(found: Recommendation) -> RenderableType:
    """A model a line, with the command that fetches it."""
    rows = table(
        "role", "model", "fetches", "needs", "window", "license", right=("fetches", "needs", "window")
    )
    for one in found.models:
        rows.add_row(
            one.role,
            one.name,
            f"{one.download_gb:g} GB",
            f"{one.needs_gb:g} GB",
            f"{one.window:,}",
            one.license,
        )
    terms = [Text(f"{one.name}: {one.terms} ({one.model_card}).") for one in found.models if one.terms]
    commands = [Text(one.command) for one in found.models]
    both = (
        f"; coordinator and worker together: {found.together_gb:g} GB"
        if found.together_gb is not None
        else ""
    )
    head = f"For {found.memory_gb:g} GB ({found.memory_of}){both}"
    fetch = [Text("\nFetch them with:")] if commands else []
    return Group(
        Text(head), *([rows] if found.models else []), *terms, *map(Text, found.notes), *fetch, *commands
    )


def generation(found: Generation) -> RenderableType:
    """The answer, and how long it took."""
    speed = f", {found.tokens_per_second:g} tokens/s" if found.tokens_per_second else ""
    cut = "; cut by --max-new-tokens" if found.cut else ""
    thought = [Text(found.thinking, style="dim"), Text("")] if found.thinking else []
    told = f"{found.model}: {counted(found.tokens or 0, 'token')} in {found.seconds:.1f} s{speed}{cut}"
    return Group(*thought, Text(found.text), Text(f"\n{told}", style="dim"))


def code(found: Code) -> RenderableType:
    """The code and nothing else, so that it can go into a file; but for a warning where it is not whole."""
    warning = [Text("It was cut: give more --max-new-tokens.", style="yellow")] if found.cut else []
    return Group(Text(found.code.rstrip("\n")), *warning)


def creation(found: OllamaCreation) -> RenderableType:
    """The model, how it renders, and what the TEMPLATE cannot say."""
    source = (
        "its Modelfile's TEMPLATE" if found.renders_with == "template" else "the chat template in its weights"
    )
    if found.renderer:
        source = (
            f"Ollama's own renderer {found.renderer} for this architecture, whatever its TEMPLATE says: compare them"
            f" with deploy-version before anybody is served"
        )
    lines = [
        f"{found.model.name} is in Ollama: {found.artefact} of {found.task} {found.version}, {sized(found.model.size_bytes)}.",
        f"Prompts are made by {source}; it stops at: {', '.join(found.stops) or 'its end token'}.",
        *(f"Not as the chat template: {limit}" for limit in found.limits),
        *([f"Modelfile: {found.modelfile}"] if found.modelfile else []),
        found.note,
    ]
    return Text("\n".join(lines))
