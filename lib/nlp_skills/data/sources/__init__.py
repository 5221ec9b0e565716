"""Where rows come from. One file a kind of source, one row in SOURCES."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from nlp_skills.data.sources import file

Rows = Iterator[tuple[int, dict[str, Any]]]
"""The rows of a source, each with its 1-based line or record number there."""

SOURCES: dict[str, Callable[[Any, Path], Rows]] = {"file": file.read}
"""By `type` in data_source.yaml: (source, task folder) → rows."""
