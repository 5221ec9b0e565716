"""Cures that fit the place: an option while a source is being added, a line of data_source.yaml once it stands there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

_ADDING: ContextVar[bool] = ContextVar("adding", default=False)
_OPTIONS = ("path", "format", "encoding", "sheet", "text", "label", "entity", "group", "side")
"""Fields that add_source takes by their own name; all others are settings."""


@contextmanager
def adding_source() -> Iterator[None]:
    """Within it cures name options of add_source: the source does not stand in data_source.yaml yet."""
    token = _ADDING.set(True)
    try:
        yield
    finally:
        _ADDING.reset(token)


def cure(written: str, adding: str) -> str:
    """The one of two that fits: for a source in data_source.yaml, and for one that is being added."""
    return adding if _ADDING.get() else written


def in_file() -> str:
    """` in data_source.yaml`, where the source stands there."""
    return cure(" in data_source.yaml", "")


def option(field: str, value: str) -> str:
    """`--encoding cp1252` or `--settings 'max_seconds=60'`."""
    return f"--{field} {value}" if field in _OPTIONS else f"--settings '{field}={value}'"
