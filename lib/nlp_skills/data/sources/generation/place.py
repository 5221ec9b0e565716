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
"""What is sent as a key to servers on the own network that ask for none."""

_KEYS = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY", "ollama": "OLLAMA_API_KEY"}
_URLS = {"anthropic": "ANTHROPIC_BASE_URL", "openai": "OPENAI_BASE_URL", "ollama": "OLLAMA_HOST"}


def base_url(source: GeneratedSource) -> str | None:
    """Where the model is; None: the provider's own place. Raises NotReady for a ${NAME} that is not set."""
    if source.base_url is not None:
        return expand(source.base_url)
    return os.environ.get(_URLS[source.provider]) or None


def is_own_machine(source: GeneratedSource) -> bool:
    """Whether the model runs on this machine or in the own network, where nobody bills it.

    Ollama does, unless it hands the request on to its cloud.
    """
    url = base_url(source)
    if source.provider == "ollama":
        return not (source.model.endswith("cloud") or (url and "ollama.com" in url))
    return url is not None and _is_private(urlsplit(url if "//" in url else f"//{url}").hostname or "")


def _is_private(host: str) -> bool:
    try:
        addresses = [str(found[4][0]) for found in socket.getaddrinfo(host, None)]
    except (OSError, UnicodeError):
        return False
    return all(ipaddress.ip_address(address.partition("%")[0]).is_private for address in addresses)


def key_of(source: GeneratedSource) -> str:
    """The key from the SDK's own environment variable. Raises NotReady where one is needed and not set."""
    name = _KEYS[source.provider]
    if key := os.environ.get(name):
        return key
    if is_own_machine(source):
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
