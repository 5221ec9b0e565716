"""Where Ollama is, and what goes wrong on the way there, in words.

OLLAMA_HOST says where, as for Ollama's own programs; OLLAMA_API_KEY is sent where it is set.
"""

from __future__ import annotations

import ipaddress
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from nlp_skills.data.secret import expand, hide
from nlp_skills.errors import MissingExtra, NlpSkillsError, NotFound, NotReady, NotValid, RunFailed

if TYPE_CHECKING:
    from ollama import Client

SECONDS = 600.0
"""Between two pieces of an answer; the first one waits for the model to be loaded."""

PORT = 11434

NOT_IN_LIBRARY = "pull model manifest: file does not exist"


def ollama_url(host: str | None = None) -> str:
    """The address as the client takes it: that of OLLAMA_HOST, else this machine's. Raises NotValid.

    A server that listens everywhere (0.0.0.0) is asked on loopback: Windows connects to no such address.
    """
    given = (host or os.environ.get("OLLAMA_HOST") or "").strip()
    try:
        split = urlsplit(given if "://" in given else f"http://{given}")
        port = split.port or ({"http": 80, "https": 443}[split.scheme] if "://" in given else PORT)
    except (ValueError, KeyError):
        raise NotValid(
            f"OLLAMA_HOST is {hide(given.rpartition('@')[2])!r}, which is no address. Write it as HOST:PORT, for example 127.0.0.1:{PORT}."
        ) from None
    name = split.hostname or "127.0.0.1"
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(name, name)
    shown = f"[{name}]" if ":" in name else name
    return f"{split.scheme}://{shown}:{port}{split.path.rstrip('/')}"


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
    url = ollama_url()  # before the client is imported, which fails on an OLLAMA_HOST that is no address
    try:
        import httpx
        import ollama
    except ImportError:
        raise MissingExtra("Ollama", "llm") from None
    with suppress(NotReady):
        expand("${OLLAMA_API_KEY}")  # so that no message repeats it
    try:
        with ollama.Client(host=url, timeout=seconds) as client:
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
        return NotReady(f"{doing}: Ollama refuses: {said}. Sign in with: ollama signin")
    if status == 400:
        return NotValid(f"{doing}: Ollama refuses: {said}.")
    return RunFailed(f"{doing}: Ollama says: {said}. See Ollama's own log.")
