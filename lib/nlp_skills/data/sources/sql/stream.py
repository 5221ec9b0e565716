"""The rows of a query, batch by batch, in constant memory, inside a transaction that may only read.

    connect ──▶ read-only, limited in time ──▶ server-side cursor ──▶ batches ──▶ rolled back, closed

Nothing is ever committed: also where a database has no transaction that may only read, what a query does
is undone.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlp_skills.data.sources.cure import in_file
from nlp_skills.data.sources.formats.delimited import column_names
from nlp_skills.data.sources.sql.drivers import Database
from nlp_skills.errors import RunFailed

if TYPE_CHECKING:
    from sqlalchemy import Connection, Result

READ_ONLY_BY_SERVER = {"postgresql", "sqlite", "mysql", "mariadb", "oracle", "duckdb"}
"""Elsewhere: one SELECT only, and never a commit."""


@dataclass(frozen=True)
class Limits:
    """What a reading may take."""

    seconds: float
    batch: int
    """Rows in memory at once."""
    rows: int | None = None
    """More of them are not wanted."""
    preview: bool = False


@dataclass(frozen=True)
class Stream:
    """The result of a query while it is being read."""

    database: Database
    result: Result[Any]
    columns: list[str]
    """Names of the columns, each once: a second `id` is `id_2`."""
    limits: Limits
    started: float

    def rows(self) -> Iterator[tuple[Any, ...]]:
        """One row after the other, with the driver's values. Raises RunFailed."""
        # Without a size, SQLAlchemy would load everything.
        batches = self.result.partitions(self.limits.batch)
        while True:
            with _in_time(self.database, self.limits, self.started):
                batch = next(batches, None)
            if batch is None:
                return
            yield from batch
            if time.monotonic() - self.started > self.limits.seconds:
                raise RunFailed(_too_long(self.database, self.limits))


_QUERY_CURE = (
    "Check query: and params:{place}. A query may only read; a value that Python has no type for is"
    " read as text: CAST(x AS TEXT)."
)
_CONNECT_CURE = (
    "Check connection:{place} and the environment variables that it names, and that the database"
    " is running and lets this user in."
)


@contextmanager
def open_stream(database: Database, text: str, values: Mapping[str, Any], limits: Limits) -> Iterator[Stream]:
    """Send a query and hold its result open. Raises RunFailed with what the database says."""
    from sqlalchemy import text as as_text
    from sqlalchemy.exc import SQLAlchemyError

    started = time.monotonic()
    with database.telling("no connection to the database", _CONNECT_CURE.format(place=in_file())):
        connection = database.engine.connect()
    result = None
    try:
        with _in_time(database, limits, started):
            _limit(connection, limits)
            options = {"stream_results": True, "yield_per": limits.batch}
            result = connection.execute(as_text(text), dict(values), execution_options=options)
            if not result.returns_rows:
                raise RunFailed(f"{database.where}: query gives no rows: it is no SELECT.")
            columns = column_names(list(result.keys()), f"{database.where}: query")
        yield Stream(database, result, columns, limits, started)
    finally:
        with suppress(SQLAlchemyError):  # a connection that broke is closed already
            if result is not None:
                result.close()
        with suppress(SQLAlchemyError):
            connection.close()  # rolls back
        database.engine.dispose()


def _limit(connection: Connection, limits: Limits) -> None:
    """Read-only and limited in time, by the database itself.

    For PostgreSQL inside the transaction only: behind a pooler (PgBouncer) a session's settings would stay
    for whoever gets the connection next.
    """
    milliseconds = int(limits.seconds * 1000)
    dialect = connection.dialect
    if dialect.name == "postgresql":
        connection.execution_options(postgresql_readonly=True)
        connection.exec_driver_sql(f"SET LOCAL statement_timeout = {milliseconds}")
        if not limits.preview:  # all rows are wanted, not the first tenth: plan for that
            connection.exec_driver_sql("SET LOCAL cursor_tuple_fraction = 1")
    elif dialect.name in ("mysql", "mariadb"):
        connection.exec_driver_sql("SET SESSION TRANSACTION READ ONLY")
        mariadb = getattr(dialect, "is_mariadb", False)
        limit = (
            f"max_statement_time = {limits.seconds}" if mariadb else f"max_execution_time = {milliseconds}"
        )
        connection.exec_driver_sql(f"SET SESSION {limit}")
        if limits.rows:  # a driver of MySQL that is to close a result reads it to its end
            connection.exec_driver_sql(f"SET SESSION sql_select_limit = {limits.rows}")
        connection.rollback()  # the transaction that these began could still write
    elif dialect.name == "oracle":
        connection.exec_driver_sql("SET TRANSACTION READ ONLY")


@contextmanager
def _in_time(database: Database, limits: Limits, started: float) -> Iterator[None]:
    """As Database.telling; what the database stopped because it took too long is told as that."""
    try:
        with database.telling("the query fails", _QUERY_CURE.format(place=in_file())):
            yield
    except RunFailed:
        if time.monotonic() - started < limits.seconds:
            raise
        raise RunFailed(_too_long(database, limits)) from None


def _too_long(database: Database, limits: Limits) -> str:
    if limits.preview:
        return (
            f"{database.where}: its first rows did not come within {limits.seconds:g} seconds. Make query:"
            " cheaper, with a LIMIT or an index."
        )
    return (
        f"{database.where}: reading took longer than max_seconds ({limits.seconds:g}). Set max_seconds: higher"
        f"{in_file()}, or read less: a WHERE in the query, or since:."
    )
