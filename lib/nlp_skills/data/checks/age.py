"""DATA-STALE: data that were fetched longer ago than `max_age_days` of data_source.yaml allows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import ClassVar

from nlp_skills.data.checks.reading import Batch, Reader
from nlp_skills.data.checks.rows import Context
from nlp_skills.data.report import DoesNotApply, Finding
from nlp_skills.errors import lasting

DAY = 86_400
"""Seconds."""


class Age:
    """Compares when each source was read with today."""

    checks: ClassVar[tuple[str, ...]] = ("DATA-STALE",)

    def __init__(self, context: Context, _reader: Reader) -> None:
        self._context = context

    def see(self, batch: Batch) -> None:
        """The rows do not matter."""

    def findings(self) -> list[Finding]:
        """One finding for all sources that are too old; `count` are their rows as they were read."""
        limit = self._limit()
        if limit is None or self._context.snapshot is None or self.not_run():
            return []
        read = self._context.snapshot.sources
        old = {
            name: days for name, source in read.items() if (days := self._days_since(source.fetched)) > limit
        }
        if not old:
            return []
        named = ", ".join(f"{name} ({lasting(days * DAY)} ago)" for name, days in sorted(old.items()))
        message = f"Fetched longer than {lasting(limit * DAY)} ago: {named}."
        fix = "Read the sources again with: nlp-skills regenerate-data {task}"
        rows = sum(read[name].rows for name in old)
        return [Finding(check="DATA-STALE", level="warning", message=message, count=rows, fix=fix)]

    def _limit(self) -> float | None:
        return self._context.sources.max_age_days if self._context.sources else None

    def _days_since(self, fetched: str) -> float:
        return (_time(self._context.today) - _time(fetched)).total_seconds() / DAY

    def not_run(self) -> dict[str, str]:
        """There has to be a limit, and a time at which something was read."""
        if self._limit() is None:
            return {"DATA-STALE": DoesNotApply("data_source.yaml sets no max_age_days")}
        if self._context.snapshot is None or not self._context.snapshot.sources:
            return {
                "DATA-STALE": "the data were not made from sources, so nothing says when they were fetched"
            }
        return {"DATA-STALE": "the time is not known"} if not self._context.today else {}


def _time(iso: str) -> datetime:
    """ISO 8601; without a zone it is UTC, as we write it."""
    time = datetime.fromisoformat(iso)
    return time if time.tzinfo else time.replace(tzinfo=UTC)
