"""Secrets: written as ${NAME}, read from the environment while fetching, and never shown.

    headers: {Authorization: "Bearer ${API_TOKEN}"}

A literal one in a YAML file is an error. What was expanded is known here, so that a message of a
driver or a server that repeats it can be shown without it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from urllib.parse import unquote, unquote_plus

from pydantic_core import PydanticCustomError

from nlp_skills.data.credentials import is_key, looks_secret
from nlp_skills.data.secret_names import is_secret_name
from nlp_skills.errors import NotReady
from nlp_skills.records import SECRET

_REFERENCE = re.compile(r"\$\{([A-Za-z_]\w*)\}")
_URL_IN_A_TEXT = re.compile(
    r"\b[A-Za-z][\w+.-]*://(?:[^@\s/:]*:(?!\d+(?:\W|$))(?:(?!://)[^@\n]){0,200}@\S*|\S+)"
)
"""With spaces only in what stands for a password: behind user: comes no port, and an @ follows in the line."""
_SCHEME = re.compile(r"\s*(?:(?P<scheme>[A-Za-z][\w+.-]*):)?//")
_WEB = (None, "http", "https", "ws", "wss")
_HOST = re.compile(r"(?:\[[^\]]*\]|[^:@]*)(?::(?:\d|\$\{\w+\})*)?")
_LOGIN = re.compile(r"[^@]*@(?:[^@/?#]*@)*")
_PARAMETER = re.compile(r"(?:^|(?<=[?&;#=\s]))(?P<name>[^?&;#=\s/:@]+)\s*=(?=\s*(?P<value>[^?&;#=]*))")
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
    return _URL_IN_A_TEXT.sub(lambda found: _without_password(found[0]), text)


def show_connection(url: str) -> str:
    """The URL of a database as it may be written down: without a password and the values of secret parameters."""
    shown = _without_password(hide(url))
    base, mark, query = shown.partition("?")
    pairs = [_shown_pair(pair) for pair in query.split("&")]
    return f"{base}{mark}{'&'.join(pairs)}"


def _shown_pair(pair: str) -> str:
    literal = any(is_secret_name(name) and not _is_reference(value) for name, value in _parameters(pair))
    return f"{pair.partition('=')[0]}=***" if literal else pair


def _without_password(url: str) -> str:
    login = _login(url)
    if login is None or (password := url[login[1] : login[2]]) in ("", "***") or _is_reference(password):
        return url
    return f"{url[: login[1]]}***{url[login[2] :]}"


def _login(url: str) -> tuple[int, int, int] | None:
    """Where the user begins, where the password does, and where both end at an @; without a password two are equal.

    What ends a web URL's login is RFC 3986's; a password of a database URL may hold / ? # and spaces, as
    SQLAlchemy's make_url reads it. A web URL whose "port" is no number has such a password too.
    """
    scheme = _SCHEME.match(url)
    start = scheme.end() if scheme else 0
    rest = url[start:]
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    is_web = (scheme and scheme["scheme"] and scheme["scheme"].lower()) in _WEB
    if "@" in authority:
        length = authority.rindex("@")
    elif ":" in authority and not (is_web and _HOST.fullmatch(authority)) and (found := _LOGIN.match(rest)):
        length = found.end() - 1
    else:
        return None
    user, colon, _ = rest[:length].partition(":")
    return start, start + (len(user) + 1 if colon else length), start + length


def _parameters(url: str) -> Iterator[tuple[str, str]]:
    """Names and values in a URL, also those of a connection string that is quoted in one of them (odbc_connect)."""
    for spelled in dict.fromkeys((url, unquote_plus(url), unquote_plus(unquote_plus(url)))):
        for match in _PARAMETER.finditer(spelled):
            yield match["name"], match["value"].strip()


def _is_reference(text: str) -> bool:
    """Whether it is ${NAME}, or several, and nothing else."""
    return bool(_REFERENCE.search(text)) and not _REFERENCE.sub("", text)


def refuse_url_password(url: str) -> None:
    """Raises a validation error for a URL that holds a literal password or key."""
    if login := _login(url):
        user, password = url[login[0] : login[1]].rstrip(":"), url[login[1] : login[2]]
        if (password and not _is_reference(password)) or (not password and looks_secret(user)):
            raise PydanticCustomError(
                SECRET,
                "it holds a literal password; put it into an environment variable and write {reference} in its place",
                {"reference": "${NAME}"},
            )
    for name, value in _parameters(url):
        require_reference(name, value)
    require_reference("it", unquote(url))


def require_reference(name: str, value: object) -> None:
    """Raises a validation error where a value under a name like token or password is no ${NAME}, or is a known kind of key."""
    if value is None or value == "" or isinstance(value, bool):
        return
    text = str(value)
    if (is_secret_name(name) and not _REFERENCE.search(text)) or is_key(text):
        raise PydanticCustomError(
            SECRET,
            "{parameter} holds a literal secret; put it into an environment variable and write {reference} in its place",
            {"parameter": name, "reference": "${NAME}"},
        )
