"""Incremental reading: only what is new is asked for, and the whole raw content is given."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import pytest
from databases import execute, read_all, source
from hypothesis import given
from hypothesis import strategies as st

from nlp_skills.data.sources.database import read
from nlp_skills.data.sources.fetch import Fetch
from nlp_skills.errors import NotValid


class Readings:
    """One source that is read again and again, as a regeneration does it."""

    def __init__(self, task: Path, query: str, connection: str, **settings: Any) -> None:
        self.task, self.source = task, source(query, connection, **settings)
        self.raw, self.since = task / "raw.jsonl", None
        self.new = 0

    def read(self) -> list[dict[str, Any]]:
        fetch = Fetch(self.task, since=self.since, before=self.raw if self.raw.exists() else None)
        rows = [row for _, row in read(self.source, fetch)]
        self.raw.write_bytes(b"".join(msgspec.json.encode(row) + b"\n" for row in rows))
        self.since, self.new = fetch.since, fetch.notes["rows_read"]
        return rows


@pytest.fixture
def postgresql(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DATABASE_URL", postgresql_url)
    return postgresql_url


def test_later_readings_ask_only_for_new_rows_and_join_those_read_before(postgresql, tmp_path):
    execute(
        postgresql,
        "CREATE TABLE orders (id int, at timestamptz, note text)",
        "INSERT INTO orders VALUES (1, '2026-11-01 10:00+00', 'a'), (2, '2026-11-01 10:00:00.5+00', 'b'),"
        " (3, NULL, 'no time')",
    )
    query = "SELECT id, at, note FROM orders ORDER BY id -- all of them"
    readings = Readings(tmp_path, query, "${DATABASE_URL}", since="at")
    first = readings.read()
    assert first == [
        {"id": 1, "at": "2026-11-01T10:00:00+00:00", "note": "a"},
        {"id": 2, "at": "2026-11-01T10:00:00.500000+00:00", "note": "b"},
        {"id": 3, "at": None, "note": "no time"},
    ]
    assert (readings.since, readings.new) == ("2026-11-01T10:00:00.500000+00:00", 3)
    assert readings.read() == first
    assert (readings.since, readings.new) == ("2026-11-01T10:00:00.500000+00:00", 1)
    execute(
        postgresql,
        "INSERT INTO orders VALUES (4, '2026-11-01 10:00:00.5+00', 'b'), (5, '2026-11-03 00:00+02', 'c')",
    )
    assert readings.read() == [
        *first,
        {"id": 4, "at": "2026-11-01T10:00:00.500000+00:00", "note": "b"},
        {"id": 5, "at": "2026-11-02T22:00:00+00:00", "note": "c"},
    ]
    assert (readings.since, readings.new) == ("2026-11-02T22:00:00+00:00", 3)


def test_with_an_id_a_new_row_takes_the_place_of_the_old_one(postgresql, tmp_path):
    execute(
        postgresql,
        "CREATE TABLE orders (id uuid, at timestamp, note text)",
        "INSERT INTO orders SELECT md5(n::text)::uuid, '2026-11-01'::timestamp + n * interval '1 day', 'n' || n"
        " FROM generate_series(1, 4) n",
    )
    readings = Readings(
        tmp_path,
        "SELECT note, at, id FROM orders ORDER BY at",
        "${DATABASE_URL}",
        since="at",
        columns={"id": "id"},
    )
    assert [row["note"] for row in readings.read()] == ["n1", "n2", "n3", "n4"]
    execute(postgresql, "UPDATE orders SET at = '2026-12-01', note = 'n2 again' WHERE note = 'n2'")
    assert [row["note"] for row in readings.read()] == ["n1", "n3", "n4", "n2 again"]
    assert (readings.since, readings.new) == ("2026-12-01T00:00:00", 2)
    execute(postgresql, "UPDATE orders SET note = 'n2 at last' WHERE note = 'n2 again'")
    assert [row["note"] for row in readings.read()] == ["n1", "n3", "n4", "n2 at last"]
    assert readings.read() == readings.read()


@pytest.mark.parametrize(
    ("kind", "values", "last"),
    [
        ("bigint", ["1", "9007199254740993"], 9007199254740993),
        ("numeric", ["1.10", "10.20"], "10.20"),
        ("float8", ["1.5", "1e300"], 1e300),
        ("date", ["2026-11-01", "2026-11-09"], "2026-11-09"),
        ("timestamp", ["2026-11-01 00:00", "2026-11-01 00:00:00.000001"], "2026-11-01T00:00:00.000001"),
        ("uuid", ["00000000-0000-0000-0000-0000000000aa", "10000000-0000-0000-0000-000000000000"],
         "10000000-0000-0000-0000-000000000000"),
    ],
)  # fmt: skip
def test_the_last_value_goes_back_to_the_server_in_its_own_type(postgresql, tmp_path, kind, values, last):
    execute(postgresql, f'CREATE TABLE orders ("When" {kind})')
    readings = Readings(tmp_path, 'SELECT "When" FROM orders', "${DATABASE_URL}", since="When")
    execute(postgresql, f"INSERT INTO orders VALUES ('{values[0]}')")
    readings.read()
    execute(postgresql, f"INSERT INTO orders VALUES ('{values[1]}')")
    assert len(readings.read()) == 2
    assert (readings.since, readings.new) == (last, 2)
    assert len(readings.read()) == 2
    assert (readings.since, readings.new) == (last, 1)


@pytest.mark.parametrize(
    ("query", "settings", "sentence"),
    [
        (
            "SELECT 'a'::text AS at",
            {"since": "at"},
            "Source orders: since: at holds str values. Name a column of numbers or times that only grow; a text is"
            " cast to a time in the query.",
        ),
        (
            "SELECT 1 AS updated_at, 2 AS id",
            {"since": "update_at"},
            "Source orders: since: the query gives no column 'update_at' (did you mean \"updated_at\"?). It gives:"
            " updated_at, id.",
        ),
    ],
)
def test_a_column_that_cannot_tell_what_is_new_is_refused(postgresql, tmp_path, query, settings, sentence):
    with pytest.raises(NotValid) as refused:
        Readings(tmp_path, query, "${DATABASE_URL}", **settings).read()
    assert str(refused.value) == sentence


def test_a_preview_reads_the_first_rows_and_remembers_nothing(postgresql, tmp_path):
    fetch = Fetch(tmp_path, preview=True)
    rows = read(source("SELECT n FROM generate_series(1, 3) n", since="n"), fetch)
    assert list(rows) == [(1, {"n": 1}), (2, {"n": 2}), (3, {"n": 3})]
    assert (fetch.since, list(tmp_path.iterdir())) == (None, [])


ROWS = st.lists(st.tuples(st.integers(0, 3), st.sampled_from(["a", "b"])), max_size=6)


@given(st.lists(ROWS, min_size=1, max_size=4), st.booleans())
def test_rows_that_arrive_over_time_are_all_there_once(tmp_path_factory, arrivals, by_id):
    """Their times never go back; reading on gives the rows that reading everything gives."""
    task = tmp_path_factory.mktemp("task")
    columns = {"id": "id"} if by_id else {}
    query = (
        "SELECT id, at, note FROM orders ORDER BY id" if by_id else "SELECT at, note FROM orders ORDER BY id"
    )
    readings = Readings(task, query, "sqlite:///orders.db", since="at", columns=columns)
    at = 0
    with closing(sqlite3.connect(task / "orders.db")) as connection:
        connection.execute("CREATE TABLE orders (id INTEGER PRIMARY KEY, at INTEGER, note TEXT)")
        connection.execute("INSERT INTO orders (at, note) VALUES (0, 'first')")
        for rows in arrivals:
            for step, note in sorted(rows):
                connection.execute("INSERT INTO orders (at, note) VALUES (?, ?)", (at + step, note))
            connection.commit()
            at += max((step for step, _ in rows), default=0)
            assert readings.read() == read_all(task, query, "sqlite:///orders.db")


def test_a_query_without_rows_is_an_error_at_first_and_none_when_reading_on(postgresql, tmp_path):
    execute(postgresql, "CREATE TABLE orders (id int)")
    readings = Readings(tmp_path, "SELECT id FROM orders", "${DATABASE_URL}", since="id")
    with pytest.raises(NotValid) as refused:
        readings.read()
    assert (
        str(refused.value)
        == "Source orders: the query gives no rows. Check query: and params: in data_source.yaml."
    )
    execute(postgresql, "INSERT INTO orders VALUES (1)")
    assert readings.read() == [{"id": 1}]
    execute(postgresql, "DELETE FROM orders")
    assert (readings.read(), readings.since, readings.new) == ([{"id": 1}], 1, 0)
