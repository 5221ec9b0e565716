"""Secrets: written as ${NAME}, read from the environment while fetching, and never shown.

    headers: {Authorization: "Bearer ${API_TOKEN}"}

A literal one in a YAML file is an error. What was expanded is known here, so that a message of a
driver or a server that repeats it can be shown without it.
"""

from __future__ import annotations

import os
import re
from urllib.parse import unquote

from pydantic_core import PydanticCustomError

from nlp_skills.data.credentials import is_key
from nlp_skills.errors import NotReady
from nlp_skills.records import SECRET

_REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*)\}")
_URL_PASSWORD = re.compile(r"://[^/@\s:]*:(?P<password>[^@\s/]+)@")
_SECRET_PARAMETER = re.compile(
    r"[?&](?P<name>[\w-]*(?:token|secret|passw(?:or)?d|pwd|api[_-]?key|access[_-]?key|signature)[\w-]*)=(?P<value>[^&\s]+)",
    re.I,
)
_SECRET_NAME = re.compile(
    r"(?:^|[^a-z])(?:authorization|cookie|token|secret|passw(?:or)?d|pwd|api[_-]?key|apikey|access[_-]?key|auth)(?:$|[^a-z])",
    re.I,
)
_expanded: dict[str, str] = {}
"""Value → the name that it goes by, of this process."""


def expand(text: str) -> str:
    """The text with every ${NAME} replaced from the environment. Raises NotReady for one that is not set."""

    def value(match: re.Match[str]) -> str:
        name = match[1]
        found = os.environ.get(name)
        if not found:
            raise NotReady(
                f"The environment variable {name} is not set, and data_source.yaml refers to it as ${{{name}}}."
                f" Set it where this runs (export {name}=…) and try again."
            )
        _expanded[found] = name
        return found

    return _REFERENCE.sub(value, text)


def hide(text: str) -> str:
    """The text with every secret that was expanded, also URL-encoded, shown by its ${NAME} again."""
    for value, name in sorted(_expanded.items(), key=lambda item: -len(item[0])):
        for spelling in {value, unquote(value)}:
            if len(spelling) > 3:
                text = text.replace(spelling, f"${{{name}}}")
    return _URL_PASSWORD.sub(
        lambda m: m[0] if "${" in m["password"] else m[0].replace(m["password"], "***"), text
    )


def refuse_url_password(url: str) -> None:
    """Raises a validation error for a URL that holds a literal password or key."""
    found = _URL_PASSWORD.search(url)
    if found and not _REFERENCE.search(found["password"]):
        raise PydanticCustomError(
            SECRET,
            "it holds a literal password; put it into an environment variable and write ${NAME} in its place",
        )
    for parameter in _SECRET_PARAMETER.finditer(url):
        require_reference(parameter["name"], parameter["value"])


def require_reference(name: str, value: object) -> None:
    """Raises a validation error where a value under a name like token or password is no ${NAME}, or is a known kind of key."""
    if not isinstance(value, str) or not value:
        return
    if (_SECRET_NAME.search(name) and not _REFERENCE.search(value)) or is_key(value):
        raise PydanticCustomError(
            SECRET,
            "{parameter} holds a literal secret; put it into an environment variable and write {reference} in its place",
            {"parameter": name, "reference": "${NAME}"},
        )
