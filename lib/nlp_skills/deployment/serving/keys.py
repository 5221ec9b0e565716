"""The API key of a server: made and shown once, or read from an environment variable; it is written nowhere.

127.0.0.1, localhost, ::1   no key unless one is given
any other address           a key, always; `none` leaves it out where something before the server asks for one
"""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import os
import re
import secrets

from nlp_skills.data.secret import expand
from nlp_skills.errors import NotReady, NotValid

NONE = "none"


def choose_key(host: str, given: str | None) -> tuple[str | None, bool]:
    """The key (None: whoever reaches the server may ask), and whether it was made now and has to be shown.

    `given` is ${NAME}, `none`, or None for the default of the address. Raises NotValid for a key that stands in the
    command itself, NotReady for a variable that is not set.
    """
    if given == NONE:
        return None, False
    if given is not None:
        if not re.fullmatch(r"\$\{[A-Za-z_]\w*\}", given):
            raise NotValid(
                "api_key: write the name of an environment variable, ${NAME}: a key in a command stays in the shell's"
                " history. none: no key is asked for."
            )
        if not os.environ.get(given[2:-1]):
            raise NotReady(
                f"--api-key names the environment variable {given[2:-1]}, which is not set. Set it where the server runs"
                f" (export {given[2:-1]}=…) and try again."
            )
        return expand(given), False
    return (None, False) if is_loopback(host) else (secrets.token_urlsafe(32), True)


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def is_key(header: str | None, key: str) -> bool:
    """Whether `Authorization: Bearer …` carries the key; it takes the same time whatever is wrong with it."""
    scheme, _, said = (header or "").partition(" ")
    same = hmac.compare_digest(_digest(said.strip()), _digest(key))
    return same and scheme.lower() == "bearer"


def _digest(text: str) -> bytes:
    """Of one length, so that not even the key's length can be measured."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).digest()
