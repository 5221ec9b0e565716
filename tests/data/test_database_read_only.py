"""A database source never writes: refused before it is sent, and by PostgreSQL itself where it is sent."""

from __future__ import annotations

import sqlite3
from contextlib import suppress

import pytest
from databases import execute, read_all

from nlp_skills.data.sources.sql.drivers import open_database
from nlp_skills.data.sources.sql.stream import Limits, open_stream
from nlp_skills.errors import NlpSkillsError, NotValid, RunFailed

ATTEMPTS = {
    "a second statement": "SELECT 1; DELETE FROM orders",
    "commit and delete": "commit; DELETE FROM orders",
    "commit, delete, select": "commit; DELETE FROM orders; SELECT 1",
    "rollback and delete": "rollback; DELETE FROM orders; SELECT 1",
    "read write": "SET TRANSACTION READ WRITE; DELETE FROM orders",
    "session read write": "SET SESSION CHARACTERISTICS AS TRANSACTION READ WRITE; SELECT 1",
    "delete": "DELETE FROM orders",
    "delete returning": "DELETE FROM orders RETURNING id",
    "insert returning": "INSERT INTO orders VALUES (9, 'new') RETURNING id",
    "update": "UPDATE orders SET note = 'x'",
    "merge": "MERGE INTO orders USING orders o ON false WHEN NOT MATCHED THEN INSERT VALUES (9, 'x')",
    "truncate": "TRUNCATE orders",
    "drop": "DROP TABLE orders",
    "delete in a WITH": "WITH gone AS (DELETE FROM orders RETURNING id) SELECT * FROM gone",
    "insert in a WITH": "WITH a AS (INSERT INTO orders VALUES (9, 'x') RETURNING id) SELECT * FROM a",
    "update behind a WITH": "WITH a AS (SELECT 1) UPDATE orders SET note = 'x'",
    "select into": "SELECT * INTO copied FROM orders",
    "create table as": "CREATE TABLE copied AS SELECT * FROM orders",
    "copy to a program": "COPY orders TO PROGRAM 'cat'",
    "copy from a program": "COPY orders FROM PROGRAM 'echo 9'",
    "call": "CALL remove_all()",
    "do": "DO 'BEGIN DELETE FROM orders; END'",
    "explain analyze": "EXPLAIN ANALYZE DELETE FROM orders",
    "prepare": "PREPARE p AS DELETE FROM orders",
    "closing the cursor's parenthesis": "SELECT 1) ; DELETE FROM orders; --",
    "hidden in a comment": "SELECT 1 /* */; DELETE FROM orders /* */",
    "hidden behind a line comment": "SELECT 1 --\r; DELETE FROM orders",
    "hidden in a nested comment": "SELECT 1 /* /* */ -- */ */\n; DELETE FROM orders",
    "hidden by a backslash": "SELECT 'a\\'; DELETE FROM orders --'",
    "hidden in dollar quotes": "SELECT $a$ $$ $a$; DELETE FROM orders; SELECT $a$ $$ $a$",
}
FUNCTIONS = {
    "a sequence": "SELECT nextval('numbers')",
    "setting a sequence": "SELECT setval('numbers', 9)",
    "a function that deletes": "SELECT remove_all_and_count()",
    "a query inside a function": "SELECT query_to_xml('DELETE FROM orders RETURNING id', true, false, '')",
    "read write by set_config": "SELECT set_config('transaction_read_only', 'off', true)",
    "a lock for writing": "SELECT * FROM orders FOR UPDATE",
}
"""SELECTs in form: only the server can refuse them."""


@pytest.fixture
def orders(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    execute(
        postgresql_url,
        "CREATE TABLE orders (id int, note text)",
        "INSERT INTO orders VALUES (1, 'late'), (2, 'lost')",
        "CREATE SEQUENCE numbers",
        "CREATE FUNCTION remove_all_and_count() RETURNS int LANGUAGE plpgsql AS"
        " 'BEGIN DELETE FROM orders; RETURN 1; END'",
        "CREATE PROCEDURE remove_all() LANGUAGE plpgsql AS 'BEGIN DELETE FROM orders; COMMIT; END'",
    )
    monkeypatch.setenv("DATABASE_URL", postgresql_url)
    return postgresql_url


def state(url: str) -> list[list[tuple[object, ...]]]:
    return [
        execute(url, "SELECT * FROM orders ORDER BY id"),
        execute(
            url, "SELECT relname FROM pg_class WHERE relname IN ('copied', 'orders', 'numbers') ORDER BY 1"
        ),
        execute(url, "SELECT last_value, is_called FROM numbers"),
        execute(url, "SELECT count(*) FROM pg_largeobject_metadata"),
    ]


UNCHANGED = [[(1, "late"), (2, "lost")], [("numbers",), ("orders",)], [(1, False)], [(0,)]]


@pytest.mark.parametrize("query", ATTEMPTS.values(), ids=ATTEMPTS)
def test_an_attempt_to_write_is_refused_before_it_is_sent(query, orders, tmp_path):
    with pytest.raises(NotValid):
        read_all(tmp_path, query)
    assert state(orders) == UNCHANGED


@pytest.mark.parametrize("query", [*ATTEMPTS.values(), *FUNCTIONS.values()], ids=[*ATTEMPTS, *FUNCTIONS])
def test_an_attempt_to_write_that_is_sent_is_refused_by_the_server(query, orders, tmp_path):
    database = open_database("${DATABASE_URL}", tmp_path, "Source orders", 60)
    text = query.replace(":", r"\:")
    with pytest.raises(RunFailed, match=r"^Source orders: the query fails: "):
        with open_stream(database, text, {}, Limits(60, 10)) as stream:
            list(stream.rows())
    assert state(orders) == UNCHANGED


@pytest.mark.parametrize("query", FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_select_that_writes_by_a_function_is_refused(query, orders, tmp_path):
    with pytest.raises(NlpSkillsError):
        read_all(tmp_path, query)
    assert state(orders) == UNCHANGED


def test_what_the_server_does_not_refuse_is_undone_because_nothing_is_committed(orders, tmp_path):
    with suppress(RunFailed):  # since PostgreSQL 16 it is refused
        assert read_all(tmp_path, "SELECT lo_create(0) > 0 AS made") == [{"made": True}]
    assert state(orders) == UNCHANGED


def test_settings_end_with_the_reading(orders, tmp_path):
    assert read_all(
        tmp_path, "SELECT set_config('default_transaction_read_only', 'off', false) AS value"
    ) == [{"value": "off"}]
    with pytest.raises(RunFailed, match="cannot execute DELETE in a read-only transaction"):
        read_all(tmp_path, "SELECT remove_all_and_count()")


def test_a_superuser_may_still_read_the_servers_files_which_a_role_for_reading_may_not(
    orders, tmp_path, monkeypatch
):
    query = "SELECT length(pg_read_file('PG_VERSION')) > 0 AS readable"
    assert read_all(tmp_path, query) == [{"readable": True}]
    execute(orders, "CREATE ROLE reader LOGIN PASSWORD 'only-reads'", "GRANT SELECT ON orders TO reader")
    try:
        monkeypatch.setenv("DATABASE_URL", orders.replace("tester:s3cret-pass", "reader:only-reads"))
        with pytest.raises(RunFailed, match="permission denied for function pg_read_file"):
            read_all(tmp_path, query)
        assert read_all(tmp_path, "SELECT count(*) AS n FROM orders") == [{"n": 2}]
    finally:
        execute(orders, "DROP OWNED BY reader", "DROP ROLE reader")


SQLITE_ATTEMPTS = [
    "ATTACH DATABASE 'other.db' AS other",
    "DELETE FROM orders",
    "PRAGMA writable_schema = ON",
    "PRAGMA query_only = OFF",
    "VACUUM INTO 'copy.db'",
    "SELECT load_extension('x')",
    "WITH a AS (SELECT 1) DELETE FROM orders RETURNING id",
    "CREATE TEMP TABLE t AS SELECT 1",
]


@pytest.mark.parametrize("query", SQLITE_ATTEMPTS)
def test_sqlite_refuses_what_is_no_reading_by_itself(query, tmp_path):
    with sqlite3.connect(tmp_path / "orders.db") as connection:
        connection.execute("CREATE TABLE orders (id INTEGER, note TEXT)")
        connection.execute("INSERT INTO orders VALUES (1, 'late')")
    connection.close()
    before = (tmp_path / "orders.db").read_bytes()
    database = open_database("sqlite:///orders.db", tmp_path, "Source orders", 60)
    with pytest.raises(RunFailed, match="the query fails: "):
        with open_stream(database, query, {}, Limits(60, 10)) as stream:
            list(stream.rows())
    assert [file.name for file in tmp_path.iterdir()] == ["orders.db"]
    assert (tmp_path / "orders.db").read_bytes() == before
