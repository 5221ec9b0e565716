"""Where Ollama is and the key that opens it, for all that ask it: sources, predictors, deployment.

OLLAMA_HOST says where, as for Ollama's own programs; OLLAMA_API_KEY goes along with every request where it is set.
"""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from nlp_skills.data.secret import expand, hide
from nlp_skills.data.sources.generation.answer import NoAnswer, retry_after
from nlp_skills.errors import MissingExtra, NotReady, NotValid

if TYPE_CHECKING:
    import httpx
    from ollama import Client

PORT = 11434
KEY = "OLLAMA_API_KEY"


def ollama_url(given: str | None = None, called: str = "OLLAMA_HOST") -> str:
    """The address as the client takes it: what is `given` (`called` so in errors), OLLAMA_HOST, else this machine's.

    A server that listens everywhere (0.0.0.0) is asked on loopback: Windows connects to no such address. Raises NotValid.
    """
    given = (given or os.environ.get("OLLAMA_HOST") or "").strip()
    try:
        split = urlsplit(given if "://" in given else f"http://{given}")
        port = split.port or ({"http": 80, "https": 443}[split.scheme] if "://" in given else PORT)
    except (ValueError, KeyError):
        raise NotValid(
            f"{called} is {hide(given.rpartition('@')[2])!r}, which is no address. Write it as HOST:PORT, for example"
            f" 127.0.0.1:{PORT}."
        ) from None
    name = split.hostname or "127.0.0.1"
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(name, name)
    shown = f"[{name}]" if ":" in name else name
    return f"{split.scheme}://{shown}:{port}{split.path.rstrip('/')}"


def ollama_headers() -> dict[str, str]:
    """The key as Ollama's client sends it, for what is asked without the client; no message repeats it from then on."""
    with suppress(NotReady):
        return {"Authorization": f"Bearer {expand(f'${{{KEY}}}')}"}
    return {}


def ollama_client(doing: str, url: str | None = None, **settings: Any) -> Client:
    """Ollama's own client, which sends the key by itself; `settings` are httpx's. Raises MissingExtra, NotValid."""
    ollama_url()  # the client reads OLLAMA_HOST while it is imported, and fails there on what is no address
    try:
        import ollama
    except ImportError:
        raise MissingExtra(doing, "llm") from None
    ollama_headers()
    return ollama.Client(host=url or ollama_url(), **settings)


def answering_client(doing: str, url: str | None = None, *, seconds: float) -> Client:
    """The same for a model's answers: a refusal is NoAnswer with its Retry-After, which the client's own error has lost."""

    def refuse(response: httpx.Response) -> None:
        if response.is_error:
            response.read()
            raise NoAnswer(response.text, response.status_code, wait=retry_after(response.headers))

    return ollama_client(doing, url, timeout=seconds, event_hooks={"response": [refuse]})
