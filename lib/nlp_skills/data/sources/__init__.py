"""Where rows come from. One module a kind of source, by the name of its `type`; one name in SOURCES."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from typing import Any

from nlp_skills.data.sources.fetch import Fetch, Rows


def _read(kind: str, source: Any, fetch: Fetch) -> Rows:
    """Loads the module when it is needed: the one for web pages takes longer than a hook may."""
    return import_module(f"nlp_skills.data.sources.{kind}").read(source, fetch)


SOURCES: dict[str, Callable[[Any, Fetch], Rows]] = {
    kind: partial(_read, kind) for kind in ("file", "database", "api", "web_scrape", "llm_generated", "hub")
}
"""By `type` in data_source.yaml: (source, what it is given) → rows."""
