"""An SQLite file, opened so that nothing in it or beside it can be written."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

from nlp_skills.data.sources.cure import in_file
from nlp_skills.errors import NotFound

_STEPS = 10_000
"""So many of SQLite's instructions between two looks at the clock: about a millisecond."""


def open_read_only(path: Path, seconds: float) -> sqlite3.Connection:
    """A connection that reads and nothing else; a statement that runs longer than `seconds` is interrupted.

    The file is opened read-only, and an authorizer allows only what a SELECT needs: no ATTACH (which could
    open another file for writing), no PRAGMA, no loading of extensions. Raises NotFound.
    """
    if not path.is_file():
        raise NotFound(
            f"{path} does not exist. Check connection:{in_file()}; sqlite:///name.db is relative to the"
            " task folder, sqlite:////folder/name.db is absolute."
        )
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    connection.set_authorizer(_allows)
    deadline = time.monotonic() + seconds
    connection.set_progress_handler(lambda: time.monotonic() > deadline, _STEPS)
    return connection


_READING = {
    sqlite3.SQLITE_SELECT,
    sqlite3.SQLITE_READ,
    sqlite3.SQLITE_RECURSIVE,
    sqlite3.SQLITE_TRANSACTION,  # a SELECT cannot begin or end one; leaving it is how the connection ends
}

_ASKING = {"data_version", "read_uncommitted"}
"""PRAGMAs that full-text search and SQLAlchemy ask; without a value they change nothing."""


def _allows(
    action: int, first: str | None, second: str | None, _database: str | None, _inner: str | None
) -> int:
    reads = action in _READING
    harmless = action == sqlite3.SQLITE_FUNCTION and (second or "").lower() != "load_extension"
    asks = action == sqlite3.SQLITE_PRAGMA and first in _ASKING and second is None
    return sqlite3.SQLITE_OK if reads or harmless or asks else sqlite3.SQLITE_DENY
