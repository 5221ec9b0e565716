"""How to say yes: what first shows what it would do is asked again with `confirm`, which each door spells in its own way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_SPELLED = ContextVar("_SPELLED", default="confirm=true")
"""As tools and functions take it, until a shell says otherwise."""


@contextmanager
def spelled(word: str) -> Iterator[None]:
    """Within the block, whoever asks writes it so: `--confirm` on a command line."""
    before = _SPELLED.set(word)
    try:
        yield
    finally:
        _SPELLED.reset(before)


def call_again(purpose: str = "") -> str:
    """`Call again with --confirm.`, or with `confirm=true`; a purpose stands behind it: `to go on`."""
    return f"Call again with {_SPELLED.get()}{f' {purpose}' if purpose else ''}."
