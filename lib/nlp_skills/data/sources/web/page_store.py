"""The pages that a scrape has fetched, so that one that was cut off goes on where it was.

data/cache/<source>/scrape.json     which scrape this is, and whether it has come to its end
data/cache/<source>/<key>.json.gz   a page, with the number of the scrape that last saw it
"""

from __future__ import annotations

from pathlib import Path

import msgspec

from nlp_skills.data.sources.web.stored_answers import Stored, StoredAnswers
from nlp_skills.records import write_atomic


class _Scrape(msgspec.Struct):
    number: int
    source: str
    """The digest of the source as it was written: another one is another scrape."""
    finished: bool = False


class PageStore:
    """The pages of one source. Where `keep` is false nothing is written, and every page is asked for."""

    def __init__(self, folder: Path, source: str, *, keep: bool) -> None:
        self._answers = StoredAnswers(folder, keep=keep)
        self._path = folder / "scrape.json"
        before = self._last()
        if before and not before.finished and before.source == source:
            self._scrape = before
        else:
            self._scrape = _Scrape(before.number + 1 if before else 1, source)
            self._write()

    def get(self, name: str) -> tuple[Stored | None, bool]:
        """(the page that is kept under a name, whether this very scrape has fetched it)."""
        kept = self._answers.get(name)
        return kept, bool(kept and self._answers.keep and kept.run == self._scrape.number)

    def put(self, name: str, page: Stored) -> Stored:
        """Keep a page as one of this scrape."""
        page = msgspec.structs.replace(page, run=self._scrape.number)
        self._answers.put(name, page)
        return page

    def finish(self) -> None:
        """The scrape has come to its end: drop what it did not see, and the next one is a new one."""
        self._answers.forget_unused()
        self._scrape.finished = True
        self._write()

    def _last(self) -> _Scrape | None:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=_Scrape)
        except (OSError, msgspec.DecodeError):
            return None

    def _write(self) -> None:
        if self._answers.keep:
            write_atomic(self._path, msgspec.json.encode(self._scrape))
