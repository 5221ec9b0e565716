"""Where a source's model runs, and the key that opens it."""

from __future__ import annotations

import ipaddress
import os
import socket
from contextlib import suppress
from urllib.parse import urlsplit

from nlp_skills.data.secret import expand
from nlp_skills.data.sources.source import GeneratedSource
from nlp_skills.errors import NotReady

NO_KEY = "none"
"""What is sent as a key to servers that ask for none."""

_KEYS = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY", "ollama": "OLLAMA_API_KEY"}
_URLS = {"anthropic": "ANTHROPIC_BASE_URL", "openai": "OPENAI_BASE_URL", "ollama": "OLLAMA_HOST"}


def base_url(source: GeneratedSource) -> str | None:
    """Where the model is; None: the provider's own place. Raises NotReady for a ${NAME} that is not set."""
    if source.base_url is not None:
        return expand(source.base_url)
    return os.environ.get(_URLS[source.provider]) or None


def is_own_machine(source: GeneratedSource) -> bool:
    """Whether the model runs on this machine or in the own network, where nobody bills it.

    That is told by the address, also for Ollama: one on the internet may be rented by the hour or the token. One
    that hands the request on to Ollama's cloud is not on this machine, wherever it is asked.
    """
    url = base_url(source)
    if _is_ollama_cloud(source, url):
        return False
    if url is None:
        return source.provider == "ollama"
    host = urlsplit(url if "//" in url else f"//{url}").hostname
    return _is_private(host or ("localhost" if source.provider == "ollama" else ""))  # OLLAMA_HOST=:11434


def _is_ollama_cloud(source: GeneratedSource, url: str | None) -> bool:
    return source.provider == "ollama" and (source.model.endswith("cloud") or "ollama.com" in (url or ""))


def _is_private(host: str) -> bool:
    try:
        addresses = [str(found[4][0]) for found in socket.getaddrinfo(host, None)]
    except (OSError, UnicodeError):
        return False
    return all(ipaddress.ip_address(address.partition("%")[0]).is_private for address in addresses)


def key_of(source: GeneratedSource) -> str:
    """The key from the SDK's own environment variable. Raises NotReady where one is needed and not set.

    The own network needs none, nor does an Ollama anywhere but in its cloud: its server asks for no key.
    """
    name = _KEYS[source.provider]
    if key := os.environ.get(name):
        return key
    if is_own_machine(source) or (
        source.provider == "ollama" and not _is_ollama_cloud(source, base_url(source))
    ):
        return NO_KEY
    raise NotReady(
        f"{source.name}: the environment variable {name} is not set, and {source.provider} wants a key."
        f" Set it where this runs (export {name}=…) and try again."
    )


def hide_keys(source: GeneratedSource) -> None:
    """Make the keys known to `secret.hide`, so that no message repeats them."""
    for name in (_KEYS[source.provider], "ANTHROPIC_AUTH_TOKEN"):
        with suppress(NotReady):
            expand(f"${{{name}}}")
