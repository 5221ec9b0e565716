"""Ollama's client, and what goes wrong on the way there, in words."""

from __future__ import annotations

import ipaddress
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nlp_skills.data.secret import hide
from nlp_skills.data.sources.generation.ollama_server import ollama_client, ollama_url
from nlp_skills.errors import NlpSkillsError, NotFound, NotReady, NotValid, RunFailed

if TYPE_CHECKING:
    from ollama import Client

SECONDS = 600.0
"""Between two pieces of an answer; the first one waits for the model to be loaded."""

NOT_IN_LIBRARY = "pull model manifest: file does not exist"


def is_this_machine(url: str) -> bool:
    """Whether Ollama runs where this runs."""
    name = urlsplit(url).hostname or ""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


@contextmanager
def connected(doing: str, model: str | None = None, *, seconds: float = SECONDS) -> Iterator[Client]:
    """The client while the block runs; `doing` begins the sentence of an error: "Pulling llama3.2".

    Raises MissingExtra without the client, NotReady where nothing answers, NotFound for a `model` that is not there,
    NotValid for what Ollama refuses, RunFailed for what went wrong in it.
    """
    url = ollama_url()
    opened = ollama_client("Ollama", timeout=seconds)
    import httpx
    import ollama

    try:
        with opened as client:
            yield client
    except ollama.ResponseError as error:
        raise refusal(doing, error.error, error.status_code, model) from None
    except (ConnectionError, httpx.ConnectError, httpx.ConnectTimeout):
        raise not_reached(url) from None
    except httpx.TransportError as error:
        raise RunFailed(
            f"{doing}: the connection to Ollama ({url}) broke off: {type(error).__name__} {hide(str(error))}".rstrip()
            + ". See Ollama's own log, and run the same command again."
        ) from None
    except ValueError as error:
        raise no_ollama(url, str(error)) from None


def not_reached(url: str) -> NotReady:
    """What to do where nothing answers."""
    install = (
        "" if shutil.which("ollama") else " It is not installed on this machine: https://ollama.com/download."
    )
    return NotReady(
        f"Ollama cannot be reached at {url}. Start it (ollama serve, or its app), or say where it runs:"
        f" OLLAMA_HOST=HOST:PORT.{install}"
    )


def no_ollama(url: str, reason: str) -> NotReady:
    """What answers speaks another protocol."""
    first = hide(reason).strip().splitlines() or ["no answer"]
    return NotReady(
        f"What answers at {url} is no Ollama ({first[0]}). Say where it runs: OLLAMA_HOST=HOST:PORT."
    )


def refusal(doing: str, message: str, status: int, model: str | None) -> NlpSkillsError:
    """Ollama's refusal as one of our errors; an error within a stream has no status (-1)."""
    said = hide(message).strip().rstrip(".")
    if NOT_IN_LIBRARY in said:
        return NotFound(
            f"{doing}: Ollama's library has no such model. Look it up at https://ollama.com/search"
        )
    if status == 404 and model is not None:
        return NotFound(
            f"Ollama has no model {model}. See what it has with: nlp-skills ollama-list-models; fetch one from its"
            f" library with: nlp-skills ollama-pull {model}"
        )
    if status in (401, 403):
        return NotReady(
            f"{doing}: Ollama refuses: {said}. Sign in with: ollama signin, or set OLLAMA_API_KEY."
        )
    if status == 400:
        return NotValid(f"{doing}: Ollama refuses: {said}.")
    return RunFailed(f"{doing}: Ollama says: {said}. See Ollama's own log.")
