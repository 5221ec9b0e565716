"""URLs and texts of servers as they may be shown: without what is secret in them."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, quote, unquote, urlsplit, urlunsplit

from nlp_skills.data.secret import hide
from nlp_skills.data.secret_names import is_secret_name
from nlp_skills.errors import clip

_REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*)\}")
_LONGEST = 300


def show_url(url: str) -> str:
    """A URL without user and password, and with the values of secret parameters left out."""
    try:
        parts = urlsplit(hide(url))
    except ValueError:
        return re.sub(r"//[^/@]*@", "//", hide(url).partition("?")[0])[:_LONGEST]
    host = parts.netloc.rpartition("@")[2]
    query = "&".join(
        f"{name}={_shown_value(name, value)}"
        for name, value in parse_qsl(parts.query, keep_blank_values=True)
    )
    path = parts.path if hide(unquote(parts.path)) == unquote(parts.path) else hide(unquote(parts.path))
    shown = urlunsplit((parts.scheme, hide(host), hide(path), query, ""))
    return clip(shown, _LONGEST)


def _shown_value(name: str, value: str) -> str:
    hidden = hide(value)
    if hidden != value or hidden.startswith("${"):
        return hidden
    return "***" if value and is_secret_name(name) else quote(value, safe=":/,")


class Mask:
    """Puts ${NAME} where a server repeats a secret, and the secret back where it is sent again.

    Servers repeat them: the URL of the next page holds the key that the first was asked with.
    """

    shortest = 8
    """Characters; in a text, shorter values stand by chance."""

    def __init__(self, templates: Iterable[object]) -> None:
        names = {n for t in templates if isinstance(t, str) for n in _REFERENCE.findall(t)}
        values = [(name, os.environ.get(name, "")) for name in sorted(names)]
        self._values = sorted((pair for pair in values if pair[1]), key=lambda pair: -len(pair[1]))

    def hide(self, text: str) -> str:
        """The text with every value, however it is spelled in a URL or in JSON, shown by its ${NAME}."""
        for name, value in self._values:
            if len(value) >= self.shortest:
                for spelling in _spellings(value):
                    text = text.replace(spelling, f"${{{name}}}")
        return text

    def hide_url(self, url: str) -> str:
        """The URL with every value shown by its ${NAME}; as the value of a parameter also a short one."""
        for name, value in self._values:
            for spelling in _spellings(value):
                url = re.sub(rf"(?<==){re.escape(spelling)}(?=&|#|$)", f"${{{name}}}", url)
        return self.hide(url)

    def restore(self, text: str, *, in_url: bool = False) -> str:
        """The text as the server wrote it, in the spelling that a URL needs or as it is."""
        for name, value in self._values:
            text = text.replace(f"${{{name}}}", quote(value, safe="") if in_url else value)
        return text


def _spellings(value: str) -> list[str]:
    in_url = quote(value, safe="")
    spelled = {value, in_url, quote(value), in_url.replace("%20", "+"), in_url.lower()}
    in_json = {text.replace("/", "\\/") for text in spelled} | {json.dumps(value)[1:-1]}
    return sorted(spelled | in_json, key=lambda text: (-len(text), text))
