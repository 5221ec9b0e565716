"""Keys and passwords in a text, told by the forms that providers give them.

The forms are those that the providers document or register with GitHub's secret scanning. Examples
from documentation (AKIAIOSFODNN7EXAMPLE, jwt.io's token), references (${NAME}, os.environ[…]) and
placeholders (your-api-key, <password>, xxxx) are no secrets.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator

from nlp_skills.data.sensitive import Span, apart

_KEYS: tuple[tuple[str, str, re.Pattern[str]], ...] = tuple(
    (hint, kind, re.compile(pattern, re.A))
    for hint, kind, pattern in (
        (
            "PRIVATE KEY",
            "private key",
            r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----"
            r"(?:\\[nr]|[\s\w+/=:,.()-]){0,120}?[A-Za-z0-9+/=]{40,}(?:\\[nr]|[\sA-Za-z0-9+/=])*"
            r"(?:-----END (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----)?",
        ),
        ("A", "AWS access key", r"\b(?:AKIA|ASIA|ABIA|ACCA)[A-Z2-7]{16}\b"),
        ("AIza", "Google API key", r"\bAIza[\w-]{35}(?![\w-])"),
        ("GOCSPX-", "Google client secret", r"\bGOCSPX-[\w-]{28}(?![\w-])"),
        ("ya29.", "Google access token", r"\bya29\.[\w-]{30,}"),
        ("AccountKey=", "Azure storage key", r"(?<=AccountKey=)[A-Za-z0-9+/]{86}=="),
        ("8Q~", "Azure client secret", r"(?<![\w.~-])[\w.~-]{3}8Q~[\w.~-]{31,34}(?![\w.~-])"),
        ("gh", "GitHub token", r"\bgh[pousr]_[A-Za-z0-9]{36,251}\b"),
        ("github_pat_", "GitHub token", r"\bgithub_pat_\w{22}_\w{59}\b"),
        ("glpat-", "GitLab token", r"\bglpat-[\w-]{20,}"),
        ("xox", "Slack token", r"\bxox[abeoprs]-(?:\d-)?\d{6,}-[\w-]{10,}"),
        ("xapp-", "Slack token", r"\bxapp-\d-\w{8,}-\d{6,}-\w{32,}"),
        ("hooks.slack.com", "Slack webhook", r"https://hooks\.slack\.com/services/T\w{6,}/B\w{6,}/\w{20,}"),
        ("k_live_", "Stripe key", r"\b[sr]k_live_[A-Za-z0-9]{16,}\b"),
        ("whsec_", "Stripe webhook secret", r"\bwhsec_[A-Za-z0-9+/]{32,}"),
        ("sk-ant-", "Anthropic key", r"\bsk-ant-[a-z]{3,5}\d\d-[\w-]{20,}"),
        ("sk-", "OpenAI key", r"\bsk-(?:proj|svcacct|admin)-[\w-]{20,}|\bsk-[A-Za-z0-9]{32,}\b"),
        ("hf_", "Hugging Face token", r"\bhf_[A-Za-z0-9]{30,}\b"),
        ("npm_", "npm token", r"\bnpm_[A-Za-z0-9]{36}\b"),
        ("pypi-", "PyPI token", r"\bpypi-AgE[\w-]{50,}"),
        ("SG.", "SendGrid key", r"\bSG\.[\w-]{22}\.[\w-]{43}(?![\w-])"),
        (":AA", "Telegram token", r"(?<!\d)\d{8,10}:AA[\w-]{33}(?![\w-])"),
        ("eyJ", "JSON web token", r"\beyJ[\w-]{10,}\.eyJ[\w-]{10,}\.[\w-]{20,}"),
    )
)
"""(what the text holds if the key stands in it, what the key is called, its form)."""

_URL = re.compile(
    r"\b[A-Za-z][A-Za-z0-9+.-]{1,30}://[^\s/:@'\"]{0,100}:(?P<value>[^\s/@'\"]{3,200})@[\w\[{$<%.-]"
)
_ASSIGNED = re.compile(
    r"(?:passw(?:or)?d|passphrase|pwd|secret|token|credentials?|api[_-]?key|access[_-]?key|account[_-]?key|private[_-]?key)"
    r"[A-Za-z0-9_-]{0,30}\\?[\"']?\s{0,4}(?:=>|:=|[=:])\s{0,4}\\?[\"']?(?P<value>(?:(?!\\[nrt])[^\s\"'`,;&<>|]){8,200})",
    re.I,
)
_MAY_ASSIGN = re.compile(r"pass|pwd|secret|token|credential|key", re.I)
_REFERENCE = re.compile(
    r"(?:(?:\$?\{[^}]*\}+|\$?\([^)]*\)|<[^>]*>|\[[^\]]*\]|\*{3}|…|%\w+%|%\(\w+\)[sdr]|%[sdr])[-_.:/]*)+[)\]}>*.,:!?\\]*$"
    r"|(?:\$?\{+|\$?\(|<|\[|%\()[\w.:(\[-]*$"
    r"|\$[A-Za-z_]\w*(?:(?:[.:\[(]|->?).*)?[)\]}]*$"
    r"|(?:process\.env|os\.environ)\b|(?:https?|file|s3)://",
    re.I,
)
"""From the start of a value: what stands for one wherever it is read (${NAME}, $NAME, {name}, {{ name }}, <name>,
[REDACTED], ***, %NAME%, %(name)s), an address. A sign of these inside a value is a sign of a password."""
_CALL = re.compile(r"[A-Za-z_]+\d*[A-Za-z_]*(?:\.[A-Za-z_]\w*)*(?:[(\[]+(?:[A-Za-z_.]+\d*)?$|\(.*\)|\[.*\])")
"""A value that is worked out: getpass(…), keys[0]; a quote, a comma or a space may have cut it off."""
_PLACEHOLDER = re.compile(
    r"example|your|change|dummy|sample|placeholder|redacted|passw|pass$|^pass|pwd|secret|token|insert|replace|foo|bar"
    r"|abcdef|12345|x{3,}|\.{3}|^(?:user|admin|root|test|postgres|mysql|guest|demo)",
    re.I,
)
_FROM_DOCUMENTATION = ("eyJzdWIiOiIxMjM0NTY3ODkwI", "EXAMPLE")
"""The subject 1234567890 of jwt.io's token; Amazon's keys that end with EXAMPLE."""
ENTROPY = 3.3
"""Bits for a character (Shannon) from which an assigned value is taken for random; English words have fewer than 3."""


def find_secrets(text: str) -> list[Span]:
    """The keys and passwords in a text, in its order."""
    return apart([*_keys(text), *_passwords(text)])


def is_key(text: str) -> bool:
    """Whether the text holds a key in one of the forms that providers give them."""
    return any(True for _ in _keys(text))


def _keys(text: str) -> Iterator[Span]:
    for hint, kind, pattern in _KEYS:
        if hint not in text:
            continue
        for match in pattern.finditer(text):
            if _is_random(match[0]):
                yield Span(match.start(), match.end(), kind)


def _passwords(text: str) -> Iterator[Span]:
    """Passwords in connection strings and URLs, and random values that a name calls a secret."""
    if "://" in text:
        for match in _URL.finditer(text):
            value = match["value"]
            if not _REFERENCE.match(value) and not _PLACEHOLDER.search(value):
                yield Span(*match.span("value"), "password in a URL")
    if _MAY_ASSIGN.search(text):
        for match in _ASSIGNED.finditer(text):
            value = match["value"].rstrip(".!?")
            if looks_secret(value):
                start = match.start("value")
                yield Span(start, start + len(value), "password or key")


def looks_secret(value: str) -> bool:
    """Whether letters and digits are mixed at random: no word, no number, no name of a variable, no reference."""
    if len(value) < 10 or _REFERENCE.match(value) or _CALL.match(value):
        return False
    if _PLACEHOLDER.search(value) or _is_invented(value):
        return False
    mixed = sum(any(test(c) for c in value) for test in (str.islower, str.isupper, str.isdigit, _is_symbol))
    if not any(c.isdigit() for c in value) or not any(c.isascii() and c.isalpha() for c in value):
        return False
    return value.isascii() and mixed >= (2 if len(value) >= 20 else 3) and _entropy(value) >= ENTROPY


def _is_invented(value: str) -> bool:
    """Whether the letters go up the alphabet, as in A1b2C3d4E5f6 and aB3#fG7!kL9@: an example's password."""
    letters = [c.casefold() for c in value if c.isalpha()]
    return len(letters) >= 5 and letters == sorted(set(letters))


def _is_symbol(character: str) -> bool:
    return not character.isalnum() and character not in "_-./:"


def _is_random(key: str) -> bool:
    """Whether a key is no example: of at least eight different characters, and from no documentation."""
    if any(known in key for known in _FROM_DOCUMENTATION) or re.search(r"x{6}|X{6}|\.{3}", key):
        return False
    return len(set(key[-20:])) >= 8


def _entropy(text: str) -> float:
    """Shannon entropy of the characters' frequencies, in bits for a character."""
    counts = Counter(text).values()
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts)
