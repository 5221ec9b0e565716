"""Where rows come from. One file a kind of source, one row in SOURCES."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nlp_skills.data.sources import api, database, file, hub, llm_generated, web_scrape
from nlp_skills.data.sources.fetch import Fetch, Rows

SOURCES: dict[str, Callable[[Any, Fetch], Rows]] = {
    "file": file.read,
    "llm_generated": llm_generated.read,
    "database": database.read,
    "hub": hub.read,
    "api": api.read,
    "web_scrape": web_scrape.read,
}
"""By `type` in data_source.yaml: (source, what it is given) → rows."""
