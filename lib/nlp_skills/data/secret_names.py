"""Names that say that a value is a secret: `accessToken`, `X-Functions-Key`, `DB_PASSWORD`, `sig`.

One list for what data_source.yaml may hold, for URLs that are shown and for notes. Plain words are none:
max_tokens, keyword, author, monkey, sort_key; nor is the place in a list of pages (page_token, nextToken).
"""

from __future__ import annotations

import re

_WORDS = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")
"""api_key, apiKey, APIKey, X-API-Key: each of them api and key. Digits belong to no word."""
_ENDINGS = re.compile(
    r"(?:password|passwd|passphrase|passcode|pwd|secret|token|signature|credentials?|authorization|cookie|jwt"
    r"|(?:api|access|secret|auth|private|account|signing|subscription|functions|license)key|sess(?:ion)?id)$"
)
_WHOLE = frozenset({"key", "keys", "pass", "pw", "auth", "sig", "sid", "bearer"})
"""Secrets where the name is that, or ends with it; inside a name (key_column, auth_type) they say nothing."""
_BEFORE_TOKEN = re.compile(
    r"(?:page|paging|pagination|next|prev|previous|continuation|cursor|sync|start|stop|end|begin|pad|mask|sep|eos|bos"
    r"|unk|special|per|each)$"
)
_BEFORE_KEY = frozenset(
    "sort order primary foreign partition group public row natural unique cache map index join dedup idempotency".split()
)
_ABOUT_IT = frozenset(
    "type kind name count limit url uri endpoint expires expiry expiration length policy budget ttl scope field column"
    " file path".split()
)
"""Behind a name of a secret they make it one of something else: token_type, password_file."""
_NOT_LAST = frozenset({"value", "v", "old", "new", "primary", "secondary", "header", "base", "hash"})
"""Words that may follow: api_key_v2, secret_value."""


def is_secret_name(name: str) -> bool:
    """Whether a parameter, header or field of that name holds a secret."""
    words = [word.lower() for word in _WORDS.findall(name)]
    if not words or words[-1] in _ABOUT_IT:
        return False
    while len(words) > 1 and words[-1] in _NOT_LAST:
        words.pop()
    before, last = ["", *words[:-1]][-1], words[-1]
    if last in ("key", "keys") and before in _BEFORE_KEY:
        return False
    if last in _WHOLE or [before, last] == ["session", "id"]:
        return True
    return any(_ends_as_secret(["", *words][place], word) for place, word in enumerate(words))


def _ends_as_secret(before: str, word: str) -> bool:
    if not _ENDINGS.search(word):
        return False
    return not (word.endswith("token") and _BEFORE_TOKEN.search(word.removesuffix("token") or before))
