"""The database that holds the index: SQLite in the project's marker folder, or PostgreSQL for a team.

It is a cache: what cannot be read is empty, what cannot be written costs time at the next call.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlp_skills.errors import MissingExtra, NotValid
from nlp_skills.records import Progress
from nlp_skills.task.task import MARKER

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Table

URL_VARIABLE = "NLP_SKILLS_INDEX_URL"

WAIT_SECONDS = 5
"""How long another process may hold the database before we do without it."""

_DRIVERS = {"postgresql": "postgresql+psycopg", "sqlite": "sqlite"}


def index_url(home: Path) -> URL:
    """Where the index is. An error never repeats the URL: it may hold a password."""
    from sqlalchemy import URL, make_url
    from sqlalchemy.exc import ArgumentError

    given = os.environ.get(URL_VARIABLE)
    if not given:
        return URL.create("sqlite", database=str(home.resolve().parent / MARKER / "index.sqlite"))
    try:
        url = make_url(given)
    except (ArgumentError, ValueError):
        raise NotValid(
            f"{URL_VARIABLE} is not a database URL. It looks like postgresql+psycopg://user:password@host/database"
            " (characters like @ and / in the password as %40 and %2F)."
        ) from None
    driver = _DRIVERS.get(url.get_backend_name())
    if driver is None:
        raise NotValid(f"{URL_VARIABLE} has to name a PostgreSQL or SQLite database: postgresql+psycopg://…")
    return url.set(drivername=driver)


def is_there(url: URL) -> bool:
    """Whether there may be rows to drop; an SQLite file is not made for a folder without tasks."""
    return url.get_backend_name() != "sqlite" or Path(url.database or "").is_file()


@functools.cache
def _table() -> Table:
    from sqlalchemy import Column, MetaData, Table, Text

    return Table(
        "nlp_skills_tasks",
        MetaData(),
        Column("home", Text, primary_key=True),
        Column("name", Text, primary_key=True),
        Column("signature", Text, nullable=False),
        Column("entry", Text, nullable=False),
    )


@contextmanager
def _connect(url: URL) -> Iterator[Connection]:
    """One transaction on the index, with its table there."""
    from sqlalchemy import create_engine, event
    from sqlalchemy.pool import NullPool

    in_sqlite = url.get_backend_name() == "sqlite"
    if in_sqlite and url.database:
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
    waiting = {"timeout": WAIT_SECONDS} if in_sqlite else {"connect_timeout": WAIT_SECONDS}
    try:
        engine = create_engine(url, poolclass=NullPool, connect_args=waiting)
    except ModuleNotFoundError:
        raise MissingExtra(f"An index in PostgreSQL ({URL_VARIABLE})", "team") from None
    if in_sqlite:
        event.listen(engine, "connect", _use_wal)
    with engine.begin() as connection:
        _table().metadata.create_all(connection)
        yield connection


def _use_wal(connection: Any, _record: object) -> None:
    """Readers and the one writer do not wait for each other; a cache need not survive a power cut."""
    cursor = connection.cursor()
    cursor.execute("PRAGMA journal_mode=WAL")
    cursor.execute("PRAGMA synchronous=NORMAL")
    cursor.close()


def read_index(url: URL, home: str, progress: Progress) -> dict[str, tuple[str, str]]:
    """Name → (signature, entry as JSON); empty when the index cannot be read."""
    from sqlalchemy import select
    from sqlalchemy.exc import SQLAlchemyError

    table = _table()
    query = select(table.c.name, table.c.signature, table.c.entry).where(table.c.home == home)
    try:
        with _connect(url) as connection:
            return {name: (signature, entry) for name, signature, entry in connection.execute(query)}
    except (SQLAlchemyError, OSError) as error:
        if _is_damaged(error) and not os.environ.get(URL_VARIABLE):  # a file of ours, not one that was named
            _discard(Path(url.database or ""))
        progress("the index cannot be read; reading every task instead", 0, None)
        return {}


def write_index(
    url: URL, home: str, rows: list[dict[str, str]], gone: Collection[str], progress: Progress
) -> None:
    """Put the rows in and take the gone ones out; a failure costs time at the next call, nothing else.

    Rows come sorted by name, so two writers lock them in the same order.
    """
    from sqlalchemy import bindparam, delete
    from sqlalchemy.dialects import postgresql, sqlite
    from sqlalchemy.exc import SQLAlchemyError

    table = _table()
    dialect = sqlite if url.get_backend_name() == "sqlite" else postgresql
    insert = dialect.insert(table)
    upsert = insert.on_conflict_do_update(
        index_elements=[table.c.home, table.c.name],
        set_={"signature": insert.excluded.signature, "entry": insert.excluded.entry},
    )
    drop = delete(table).where(table.c.home == home, table.c.name == bindparam("gone"))
    try:
        with _connect(url) as connection:
            if rows:
                connection.execute(upsert, rows)
            if gone:
                connection.execute(drop, [{"gone": name} for name in sorted(gone)])
    except (SQLAlchemyError, OSError):
        progress("the index cannot be written; the next list reads these tasks again", 0, None)


def _is_damaged(error: Exception) -> bool:
    """Whether the SQLite file is corrupt, no database, or has a table of another shape."""
    import sqlite3

    code = getattr(getattr(error, "orig", None), "sqlite_errorcode", None)
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)


def _discard(index: Path) -> None:
    """Delete the SQLite file with its journal; whoever has it open keeps what they have."""
    for suffix in ("-wal", "-shm", ""):
        with suppress(OSError):  # Windows: open elsewhere, so it stays and is done without
            index.with_name(index.name + suffix).unlink(missing_ok=True)
