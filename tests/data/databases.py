"""What the tests of the `database` source share: reading one, and looking at PostgreSQL by another way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import psycopg

from nlp_skills.data.sources.database import read
from nlp_skills.data.sources.fetch import Fetch
from nlp_skills.data.sources.source import DatabaseSource

URL = "${DATABASE_URL}"


def source(query: str, connection: str = URL, **settings: Any) -> DatabaseSource:
    return DatabaseSource.parse(
        {"name": "orders", "connection": connection, "query": query, **settings}, "the test"
    )


def read_all(task: Path, query: str, connection: str = URL, **settings: Any) -> list[dict[str, Any]]:
    return [row for _, row in read(source(query, connection, **settings), Fetch(task))]


def execute(url: str, *statements: str) -> list[tuple[Any, ...]]:
    """Past our own code, through a connection that may write; the rows of the last statement."""
    rows: list[tuple[Any, ...]] = []
    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement.encode())
            rows = cursor.fetchall() if cursor.description else []
    return rows
