"""Where a source's model runs, and the key that opens it."""

from __future__ import annotations

import ipaddress
import os
import socket
from contextlib import suppress
from urllib.parse import urlsplit

from nlp_skills.data.secret import expand
from nlp_skills.data.sources.generation.ollama_server import KEY, ollama_url
from nlp_skills.data.sources.source import GeneratedSource
from nlp_skills.data.sources.web.shown import show_url
from nlp_skills.errors import NotReady

NO_KEY = "none"
"""What is sent as a key to servers that ask for none."""

_KEYS = {"anthropic": "ANTHROPIC_API_KEY", "openai": "OPENAI_API_KEY", "ollama": KEY}
_PLACES = {"anthropic": "https://api.anthropic.com", "openai": "https://api.openai.com/v1"}
_URLS = {"anthropic": "ANTHROPIC_BASE_URL", "openai": "OPENAI_BASE_URL"}


def base_url(source: GeneratedSource) -> str | None:
    """Where the model is; None: the provider's own place.

    Raises NotReady for a ${NAME} that is not set, NotValid for an Ollama at what is no address.
    """
    given = None if source.base_url is None else expand(source.base_url)
    if source.provider == "ollama":
        return ollama_url(given, f"base_url of {source.name}" if given else "OLLAMA_HOST")
    return given or os.environ.get(_URLS[source.provider]) or None


def is_own_machine(source: GeneratedSource) -> bool:
    """Whether the model runs on this machine or in the own network, where nobody bills it.

    That is told by the address, also for Ollama: one on the internet may be rented by the hour or the token. One
    that hands the request on to Ollama's cloud is not on this machine, wherever it is asked.
    """
    addresses = _addresses(source)
    return bool(addresses) and all(address.is_private for address in addresses)


def _is_loopback(source: GeneratedSource) -> bool:
    addresses = _addresses(source)
    return bool(addresses) and all(address.is_loopback for address in addresses)


def shown_url(source: GeneratedSource) -> str:
    """Where the model is asked, as it may be shown; without a base_url, who is asked."""
    url = source.base_url or base_url(source)
    return show_url(url) if url else _PLACES[source.provider]


def _is_ollama_cloud(source: GeneratedSource, url: str | None) -> bool:
    return source.provider == "ollama" and (source.model.endswith("cloud") or "ollama.com" in (url or ""))


def _addresses(source: GeneratedSource) -> list[ipaddress.IPv4Address | ipaddress.IPv6Address]:
    """Those of the server, none where it is the provider's own or not found."""
    url = base_url(source)
    if url is None or _is_ollama_cloud(source, url):
        return []
    host = urlsplit(url if "//" in url else f"//{url}").hostname
    try:
        found = [str(info[4][0]) for info in socket.getaddrinfo(host or "", None)]
    except (OSError, UnicodeError):
        return []
    return [ipaddress.ip_address(address.partition("%")[0]) for address in found]


def key_of(source: GeneratedSource) -> str:
    """The key from the SDK's own environment variable. Raises NotReady where one is needed and not set."""
    if missing := missing_key(source):
        raise NotReady(missing)
    return os.environ.get(_KEYS[source.provider]) or NO_KEY


def missing_key(source: GeneratedSource) -> str | None:
    """A sentence where the provider wants a key and there is none.

    A server on this machine may be asked without one, and an Ollama anywhere but in its cloud, which knows no keys.
    """
    name = _KEYS[source.provider]
    if os.environ.get(name) or _is_loopback(source) or signs_in_otherwise(source):
        return None
    if source.provider == "ollama" and not _is_ollama_cloud(source, base_url(source)):
        return None
    own = f" (to a server that asks for none: export {name}=none)" if is_own_machine(source) else ""
    return (
        f"{source.name}: {name} is not set, and {shown_url(source)} wants a key."
        f" Set it where this runs (export {name}=…){own} and try again."
    )


def key_state(source: GeneratedSource) -> str:
    """A sentence for whoever was refused."""
    name = _KEYS[source.provider]
    return f"The key is that of {name}." if os.environ.get(name) else f"{name} is not set."


def signs_in_otherwise(source: GeneratedSource) -> bool:
    """Anthropic's SDK has other ways too."""
    names = ("ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_PROFILE")
    return source.provider == "anthropic" and any(map(os.environ.get, names))


def hide_keys(source: GeneratedSource) -> None:
    """Make the keys known to `secret.hide`, so that no message repeats them."""
    for name in (_KEYS[source.provider], "ANTHROPIC_AUTH_TOKEN"):
        with suppress(NotReady):
            expand(f"${{{name}}}")
