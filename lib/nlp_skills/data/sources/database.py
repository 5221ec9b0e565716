"""The `database` source: the rows of one SELECT, from any database that SQLAlchemy knows.

    query ──parse──▶ one SELECT ─┐
    connection ──expand──▶ engine ┴──▶ read-only transaction ──▶ batches ──▶ rows
                                                  since: only the new ones, joined to those read before

Rows are streamed: memory does not grow with the result. Nothing is written, and no part of the connection
that was expanded is ever shown or kept. What becomes of the values, `sql.values.plain` says.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterator
from typing import Any

from nlp_skills.data.secret import expand, show_connection
from nlp_skills.data.sources.cure import in_file
from nlp_skills.data.sources.fetch import Fetch, Row
from nlp_skills.data.sources.source import DatabaseSource, Scalar
from nlp_skills.data.sources.sql.drivers import open_database
from nlp_skills.data.sources.sql.increment import LAST, Greatest, Join, only_new, require_column
from nlp_skills.data.sources.sql.statement import Statement, parse_statement
from nlp_skills.data.sources.sql.stream import READ_ONLY_BY_SERVER, Limits, Stream, open_stream
from nlp_skills.data.sources.sql.values import to_row
from nlp_skills.errors import NotValid

BATCH = 1_000
"""Rows fetched at once: long texts too stay within some tens of megabytes."""
PREVIEW_ROWS = 200
PREVIEW_SECONDS = 60


def read(source: DatabaseSource, fetch: Fetch) -> Generator[Row]:
    """The rows of the query, numbered from 1.

    With `since` and a reading before: the old rows, then the new ones; `fetch.since` becomes the greatest
    value. Raises NotReady (a ${NAME} is not set, a driver is missing), NotValid (query, params, since or a
    column), NotFound (an SQLite file), RunFailed (what the database says, without secrets).
    """
    where = f"Source {source.name}"
    limits = _limits(source, fetch)
    database = open_database(source.connection, fetch.task, where, limits.seconds)
    statement = parse_statement(source.query, database.dialect, where)
    values = _values(source, statement, where)
    fetch.notes.update(
        connection=show_connection(source.connection),
        dialect=database.dialect,
        query=source.query,
        params=json.dumps(_written(source, statement), ensure_ascii=False) if values else None,
        read_only="by the server" if database.dialect in READ_ONLY_BY_SERVER else "one SELECT, rolled back",
    )
    text = statement.text
    goes_on = bool(source.since and fetch.since is not None and fetch.before and fetch.before.is_file())
    if goes_on and source.since:
        quoted = database.engine.dialect.identifier_preparer.quote(source.since)
        text, values = only_new(text, quoted.replace(":", r"\:")), {**values, LAST: fetch.since}
    with open_stream(database, text, values, limits) as stream:
        yield from enumerate(_rows(stream, source, fetch, goes_on), start=1)


def _limits(source: DatabaseSource, fetch: Fetch) -> Limits:
    if fetch.preview:
        return Limits(min(source.max_seconds, PREVIEW_SECONDS), PREVIEW_ROWS, PREVIEW_ROWS, preview=True)
    return Limits(source.max_seconds, min(BATCH, source.max_rows or BATCH), source.max_rows)


def _written(source: DatabaseSource, statement: Statement) -> dict[str, Scalar]:
    """The parameters as they stand in data_source.yaml, with ${NAME}."""
    written = dict(source.params)
    if "snapshot_date" in statement.parameters and source.snapshot_date is not None:
        written.setdefault("snapshot_date", source.snapshot_date)
    return written


def _values(source: DatabaseSource, statement: Statement, where: str) -> dict[str, Any]:
    written = _written(source, statement)
    missing = [name for name in statement.parameters if name not in written]
    unused = [name for name in written if name not in statement.parameters]
    if missing:
        cure = "Set snapshot_date: for this source" if missing[0] == "snapshot_date" else "Add it to params:"
        raise NotValid(f"{where}: query asks for :{missing[0]}, which has no value. {cure}{in_file()}.")
    if unused:
        raise NotValid(
            f"{where}: params: {unused[0]} is not in the query (outside of quotes and comments)."
            f" Write :{unused[0]} there, or remove it."
        )
    return {name: expand(value) if isinstance(value, str) else value for name, value in written.items()}


def _rows(stream: Stream, source: DatabaseSource, fetch: Fetch, goes_on: bool) -> Iterator[dict[str, Any]]:
    """All rows of the source, noting how many were read and up to where."""
    where = stream.database.where
    counted = _Counted(fetch)
    values = counted.watch(stream.rows())
    greatest = _greatest(stream, source)
    if greatest:
        values = greatest.watch(values)
    new = (to_row(stream.columns, row, where) for row in values)
    if goes_on and source.since and fetch.before and fetch.since is not None:
        if source.columns.id is not None:
            require_column(source.columns.id, stream.columns, "columns.id", where)
        join = Join(source.since, fetch.since, source.columns.id, fetch.cache(source.name))
        yield from join.rows(fetch.before, new)
    else:
        yield from new
    if not counted.count and not goes_on:
        raise NotValid(f"{where}: the query gives no rows. Check query: and params:{in_file()}.")
    if greatest and greatest.value is not None and not fetch.preview:
        fetch.since = greatest.as_json()


def _greatest(stream: Stream, source: DatabaseSource) -> Greatest | None:
    if source.since is None:
        return None
    where = stream.database.where
    position = require_column(source.since, stream.columns, "since", where)
    return Greatest(source.since, position, stream.database.dialect, where)


class _Counted:
    """How many rows came from the database."""

    def __init__(self, fetch: Fetch) -> None:
        self.fetch, self.count = fetch, 0

    def watch(self, rows: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
        """The rows as they are."""
        try:
            for row in rows:
                self.count += 1
                yield row
        finally:
            self.fetch.notes["rows_read"] = self.count
