"""A model taken out of Ollama, and out of what the tasks say is deployed."""

from __future__ import annotations

from pathlib import Path

from nlp_skills.data.sources.generation.ollama_server import ollama_url
from nlp_skills.deployment.ollama.connection import connected
from nlp_skills.deployment.ollama.models import find_model, listed
from nlp_skills.deployment.registry import record_removal
from nlp_skills.records import Record


class OllamaRemoval(Record):
    """What is removed, or would be."""

    name: str
    removed: bool
    size_bytes: int
    same_model: list[str]
    """Other names of the very same model: its files stay for them."""
    tasks: list[str] = []
    """Those that had deployed it, which keep in registry.json that it is gone."""
    note: str


def ollama_remove(model: str, *, confirm: bool = False, home: Path | None = None) -> OllamaRemoval:
    """Remove a model from Ollama; without confirm it says what would go. Raises NotFound.

    Tasks in `home` that had deployed it keep that it is gone.
    """
    with connected(f"Removing {model}", model) as client:
        found = find_model(client, model)
        others = [m.name for m in listed(client) if m.manifest == found.manifest and m.name != found.name]
        if confirm:
            client.delete(found.name)
    tasks = _settled(home, found.name) if confirm and home is not None else []
    kept = f" (its files stay: the same model as {', '.join(others)})" if others else ""
    asked = f"would be removed{kept}. Do it with: nlp-skills ollama-remove {found.name} --confirm"
    told = f" registry.json of {', '.join(tasks)} says so." if tasks else ""
    return OllamaRemoval(
        name=found.name,
        removed=confirm,
        size_bytes=0 if others else found.size_bytes,
        same_model=others,
        tasks=tasks,
        note=f"{found.name} " + (f"is removed{kept}.{told}" if confirm else asked),
    )


def _settled(home: Path, name: str) -> list[str]:
    """The tasks that had deployed it to this Ollama."""
    tasks = sorted(file.parent for file in home.glob("*/registry.json"))
    return [task.name for task in tasks if record_removal(task, name, ollama_url())]
