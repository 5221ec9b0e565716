"""A model from Ollama's library onto Ollama's machine, with progress; what was fetched of a broken pull is kept there."""

from __future__ import annotations

from nlp_skills.deployment.ollama.connection import connected
from nlp_skills.deployment.ollama.models import OllamaModel, find_model
from nlp_skills.deployment.ollama.names import full_name
from nlp_skills.errors import RunFailed
from nlp_skills.records import Progress, silent

DONE = "success"


def ollama_pull(model: str, *, progress: Progress = silent) -> OllamaModel:
    """Fetch a model from Ollama's library, or bring it up to date; progress counts the bytes of each of its files.

    Raises NotFound for a name that the library does not have, RunFailed where it broke off.
    """
    name, last = full_name(model), ""
    with connected(f"Pulling {name}") as client:
        for step in client.pull(name, stream=True):
            last = step.status or ""
            progress(f"{name}: {last}", step.completed or 0, step.total)
        if last != DONE:
            raise RunFailed(
                f"Pulling {name} ended without Ollama saying that it is whole (last word: {last or 'none'!r}). What was"
                f" fetched is kept; go on with: nlp-skills ollama-pull {model}"
            )
        return find_model(client, name)
