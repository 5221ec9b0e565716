"""The database source: rows from SQLite and from a real PostgreSQL, and what is said when it fails."""

from __future__ import annotations

import json
import logging
import shutil
import subprocess
import sys
import traceback
from pathlib import Path

import pytest
from databases import execute, read_all, source

from nlp_skills.data.sources import SOURCES
from nlp_skills.data.sources.database import read
from nlp_skills.data.sources.fetch import Fetch
from nlp_skills.errors import MissingExtra, NlpSkillsError, NotFound, NotReady, NotValid, RunFailed
from postgresql import PASSWORD, free_port


@pytest.fixture
def chinook(tmp_path: Path, shared_data: Path) -> Path:
    """A task folder that holds the Chinook database."""
    shutil.copyfile(shared_data / "database" / "chinook.sqlite", tmp_path / "chinook.sqlite")
    return tmp_path


@pytest.fixture
def postgresql(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("DATABASE_URL", postgresql_url)
    return postgresql_url


def refusal(task: Path, query: str = "SELECT 1", connection: str = "sqlite:///chinook.sqlite", **settings):
    with pytest.raises(NlpSkillsError) as refused:
        read_all(task, query, connection, **settings)
    return type(refused.value), str(refused.value)


def test_a_query_gives_rows_with_numbers_and_notes_what_was_asked(chinook):
    fetch = Fetch(chinook)
    query = "SELECT Name, Milliseconds, UnitPrice, Composer FROM Track WHERE Name LIKE :name -- 'late' :no\n;"
    wanted = source(query, "sqlite:///chinook.sqlite", params={"name": "%Água%"})
    assert list(SOURCES["database"](wanted, fetch)) == [
        (1, {"Name": "Água de Beber", "Milliseconds": 146677, "UnitPrice": 0.99,
             "Composer": "Antonio Carlos Jobim/Vinicius de Moraes"}),
        (2, {"Name": "Água E Fogo", "Milliseconds": 278987, "UnitPrice": 0.99,
             "Composer": "Chico Amaral/Edgard Scandurra/Samuel Rosa"}),
    ]  # fmt: skip
    assert fetch.notes == {
        "connection": "sqlite:///chinook.sqlite",
        "dialect": "sqlite",
        "query": query,
        "params": '{"name": "%Água%"}',
        "read_only": "by the server",
        "rows_read": 2,
    }


def test_all_rows_of_a_table_are_read_and_the_file_stays_as_it_was(chinook, shared_data):
    assert len(read_all(chinook, "SELECT * FROM PlaylistTrack", "sqlite:///chinook.sqlite")) == 8_715
    original = (shared_data / "database" / "chinook.sqlite").read_bytes()
    assert (chinook / "chinook.sqlite").read_bytes() == original


def test_two_columns_of_one_name_are_both_kept(chinook):
    query = "SELECT t.Name, a.Title AS Name, 1 FROM Track t JOIN Album a USING (AlbumId) LIMIT 1"
    assert read_all(chinook, query, "sqlite:///chinook.sqlite") == [
        {
            "Name": "For Those About To Rock (We Salute You)",
            "Name_2": "For Those About To Rock We Salute You",
            "1": 1,
        }
    ]


def test_parameters_are_values_and_never_sql(chinook, monkeypatch):
    monkeypatch.setenv("NAME", "x' OR 1=1; DROP TABLE Track; --")
    query = "SELECT :name AS name, :n + 1 AS n, :none AS none, :snapshot_date AS day, ':n' AS quoted"
    settings = {"params": {"name": "${NAME}", "n": 1, "none": None}, "snapshot_date": "2026-11-01"}
    fetch = Fetch(chinook)
    rows = list(read(source(query, "sqlite:///chinook.sqlite", **settings), fetch))
    assert rows == [
        (
            1,
            {
                "name": "x' OR 1=1; DROP TABLE Track; --",
                "n": 2,
                "none": None,
                "day": "2026-11-01",
                "quoted": ":n",
            },
        )
    ]
    assert json.loads(str(fetch.notes["params"])) == {
        "name": "${NAME}",
        "n": 1,
        "none": None,
        "snapshot_date": "2026-11-01",
    }


@pytest.mark.parametrize(
    ("query", "params", "sentence"),
    [
        ("SELECT :a", {}, "query asks for :a, which has no value. Add it to params: in data_source.yaml."),
        (
            "SELECT :snapshot_date",
            {},
            "query asks for :snapshot_date, which has no value. Set snapshot_date: for this source in"
            " data_source.yaml.",
        ),
        (
            "SELECT ':a'",
            {"a": 1},
            "params: a is not in the query (outside of quotes and comments). Write :a there, or remove it.",
        ),
    ],
)
def test_a_parameter_without_a_value_and_a_value_without_a_parameter_are_named(
    chinook, query, params, sentence
):
    assert refusal(chinook, query, params=params) == (NotValid, f"Source orders: {sentence}")


def test_values_become_what_json_knows(postgresql, tmp_path):
    query = """
        SELECT 12.50::numeric AS price, 'NaN'::numeric AS no_number, 'Infinity'::float8 AS endless,
               1.5::float8 AS half, 9223372036854775807 AS big, true AS yes, NULL AS nothing,
               '2026-11-01 12:30:00.25'::timestamp AS local, '2026-11-01 12:30+02'::timestamptz AS instant,
               '2026-11-01'::date AS day, '12:30'::time AS hour, '1 day 2 hours'::interval AS took,
               'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'::uuid AS key, '10.0.0.1'::inet AS host,
               '{"a": [1, null]}'::jsonb AS b, '[1.5]'::json AS j, ARRAY['x', NULL] AS list,
               ARRAY[ARRAY[1.5::numeric]] AS nested, 'née'::bytea AS bytes, 'äé漢😀' AS text, ROW(1, 'x') AS pair
    """
    assert read_all(tmp_path, query) == [
        {
            "price": "12.50",
            "no_number": None,
            "endless": None,
            "half": 1.5,
            "big": 9223372036854775807,
            "yes": True,
            "nothing": None,
            "local": "2026-11-01T12:30:00.250000",
            "instant": "2026-11-01T10:30:00+00:00",
            "day": "2026-11-01",
            "hour": "12:30:00",
            "took": 93600.0,
            "key": "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11",
            "host": "10.0.0.1",
            "b": {"a": [1, None]},
            "j": [1.5],
            "list": ["x", None],
            "nested": [["1.5"]],
            "bytes": "née",
            "text": "äé漢😀",
            "pair": ["1", "x"],
        }
    ]


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        (r"SELECT '\xff00'::bytea AS photo", "Source orders: photo holds bytes that are no UTF-8 text."),
        (
            "SELECT '[1,2)'::int4range AS r",
            "Source orders: r holds values of type Range, which JSON has no value",
        ),
        ("SELECT 'infinity'::timestamp AS t", "Source orders: the query fails: timestamp too large"),
    ],
)
def test_a_column_that_json_has_no_value_for_is_named(postgresql, tmp_path, query, problem):
    kind, text = refusal(tmp_path, query, "${DATABASE_URL}")
    assert kind in (NotValid, RunFailed)
    assert text.startswith(problem)


def test_postgresql_compares_parameters_with_its_own_types(postgresql, tmp_path):
    execute(
        postgresql,
        "CREATE TABLE orders (id int, at timestamptz, note text)",
        "INSERT INTO orders VALUES (1, '2026-10-31', '100 % late'), (2, '2026-11-01', 'a:b'), (3, '2026-11-02', NULL)",
    )
    query = (
        "SELECT id, note, '12:30' AS time, id::text AS code FROM orders"
        " WHERE at >= :snapshot_date AND id < :most AND (note LIKE '%:%' OR id % 2 = 1) ORDER BY id"
    )
    assert read_all(tmp_path, query, snapshot_date="2026-11-01", params={"most": 3}) == [
        {"id": 2, "note": "a:b", "time": "12:30", "code": "2"}
    ]


@pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg2", "postgresql+asyncpg"])
def test_every_way_to_write_postgresql_is_read_with_psycopg(postgresql, tmp_path, monkeypatch, scheme):
    monkeypatch.setenv("DATABASE_URL", postgresql.replace("postgresql+psycopg", scheme))
    assert read_all(tmp_path, "SELECT 1 AS one") == [{"one": 1}]


@pytest.mark.parametrize(
    ("connection", "package"),
    [
        ("mysql://me:${PW}@host/db", "mysqlclient"),
        ("mariadb://me:${PW}@host/db", "mysqlclient"),
        ("mysql+pymysql://me:${PW}@host/db", "pymysql"),
        ("mysql+mysqlconnector://me:${PW}@host/db", "mysql-connector-python"),
        ("mariadb+mariadbconnector://me:${PW}@host/db", "mariadb"),
        ("mssql://me:${PW}@host/db", "pyodbc"),
        ("mssql+pymssql://me:${PW}@host/db", "pymssql"),
        ("oracle://me:${PW}@host/db", "oracledb"),
        ("snowflake://me:${PW}@account/db", "snowflake-sqlalchemy"),
        ("bigquery://project/dataset", "sqlalchemy-bigquery"),
        ("duckdb:///orders.duckdb", "duckdb-engine"),
        ("redshift://me:${PW}@host/db", "sqlalchemy-redshift"),
        ("databricks://token:${PW}@host/db", "databricks-sqlalchemy"),
        ("trino://me@host/db", "trino"),
        ("clickhouse://me:${PW}@host/db", "clickhouse-sqlalchemy"),
    ],
)
def test_a_missing_driver_is_named_by_its_package(tmp_path, monkeypatch, connection, package):
    monkeypatch.setenv("PW", "hunter2-hunter2")
    monkeypatch.setattr("builtins.__import__", without(package))
    kind, text = refusal(tmp_path, connection=connection)
    dialect = connection.partition(":")[0].partition("+")[0]
    sentence = (
        f"Source orders: Reading {dialect} needs the package {package}. Install it with: uv pip install {package}"
        f" (or, without uv: pip install {package})."
    )
    assert (kind, text[: len(sentence)]) == (NotReady, sentence)


def without(package: str):
    """The import system of a machine that lacks a package, wherever the tests run."""
    modules = {"mysqlclient": "MySQLdb", "mysql-connector-python": "mysql"}
    missing, original = modules.get(package, package), __import__

    def load(name, globals=None, locals=None, fromlist=(), level=0):
        if level == 0 and name.partition(".")[0] == missing:
            raise ModuleNotFoundError(f"No module named {missing!r}", name=missing)
        return original(name, globals, locals, fromlist, level)

    return load


def test_without_psycopg_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr("builtins.__import__", without("psycopg"))
    kind, text = refusal(tmp_path, connection="postgresql://me@host/db")
    assert (kind, text.partition(".")[0]) == (
        MissingExtra,
        "Reading a PostgreSQL database needs the sources extra",
    )


@pytest.mark.parametrize(
    ("connection", "kind", "problem"),
    [
        ("sqllite:///orders.db", NotValid, "knows no database 'sqllite' (did you mean \"sqlite\"?)."),
        ("orders.db", NotValid, "connection is no database URL."),
        ("sqlite://", NotValid, "connection names no SQLite file."),
        ("sqlite:///file:orders.db?mode=rwc&uri=true", NotValid, "connection names no SQLite file."),
        (
            "sqlite:///nowhere.db",
            NotFound,
            "nowhere.db does not exist. Check connection: in data_source.yaml;",
        ),
        ("sqlite:///notes.txt", RunFailed, "file is not a database."),
        ("sqlite:///chinook.sqlite", RunFailed, "the query fails: no such table: Nowhere."),
        ("${NOT_SET}", NotReady, "The environment variable NOT_SET is not set"),
        ("postgresql://me:${PW}@127.0.0.1:1/db?colour=red", RunFailed, 'invalid connection option "colour".'),
    ],
)
def test_a_connection_that_cannot_be_is_told_in_a_sentence(chinook, monkeypatch, connection, kind, problem):
    monkeypatch.setenv("PW", "hunter2")
    (chinook / "notes.txt").write_text("no database " * 100, encoding="utf-8")
    got, text = refusal(chinook, "SELECT * FROM Nowhere", connection)
    assert got is kind
    assert problem in text


def test_a_reading_that_takes_too_long_is_stopped_by_the_database(postgresql, chinook):
    too_long = (
        "Source orders: reading took longer than max_seconds (0.2). Set max_seconds: higher in data_source.yaml,"
        " or read less: a WHERE in the query, or since:."
    )
    assert refusal(chinook, "SELECT pg_sleep(60)::text", "${DATABASE_URL}", max_seconds=0.2) == (
        RunFailed,
        too_long,
    )
    endless = "WITH RECURSIVE a(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM a) SELECT max(n) FROM a"
    assert refusal(chinook, endless, max_seconds=0.2) == (RunFailed, too_long)


def test_a_preview_takes_the_first_rows_and_closes_its_cursor(postgresql, tmp_path):
    rows = read(
        source("SELECT n FROM generate_series(1, 100000000) n", "${DATABASE_URL}"),
        Fetch(tmp_path, preview=True),
    )
    assert [next(rows) for _ in range(3)] == [(1, {"n": 1}), (2, {"n": 2}), (3, {"n": 3})]
    rows.close()
    others = (
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
    )
    assert execute(postgresql, others) == [(0,)]


@pytest.mark.parametrize("whole", [True, False], ids=["all in one variable", "only the password"])
@pytest.mark.parametrize("database", ["", "_nowhere"], ids=["database", "no database"])
def test_a_wrong_password_is_told_without_it(
    postgresql, tmp_path, monkeypatch, caplog, capfd, whole, database
):
    place = f"{postgresql.partition('@')[2]}{database}"
    connection = "${SECRET}" if whole else f"postgresql://tester:${{SECRET}}@{place}"
    monkeypatch.setenv("SECRET", f"postgresql://tester:p%40ss-w0rd@{place}" if whole else "p%40ss-w0rd")
    caplog.set_level(logging.DEBUG)
    with pytest.raises(RunFailed, match='password authentication failed for user "tester"') as refused:
        read_all(tmp_path, "SELECT 1 AS one", connection)
    shown = "".join(traceback.format_exception(refused.value)) + caplog.text + "".join(capfd.readouterr())
    assert [secret for secret in ("p%40ss", "p@ss", "w0rd") if secret in shown] == []


def test_the_connection_string_is_in_no_file_log_error_or_output(
    postgresql, tmp_path, monkeypatch, caplog, capfd
):
    encoded = "p%40ss%3Aw0rd%2Fx"
    execute(postgresql, "CREATE ROLE encoded LOGIN PASSWORD 'p@ss:w0rd/x'")
    try:
        monkeypatch.setenv("DATABASE_URL", postgresql.replace(f"tester:{PASSWORD}", f"encoded:{encoded}"))
        monkeypatch.setenv("API_KEY", "param-s3cret")
        caplog.set_level(logging.DEBUG)
        fetch = Fetch(tmp_path)
        wanted = source(
            "SELECT n, :key = 'x' AS same FROM generate_series(1, 3) n", params={"key": "${API_KEY}"}
        )
        rows = list(read(wanted, fetch))
        assert rows == [(n, {"n": n, "same": False}) for n in (1, 2, 3)]
        told = [refusal(tmp_path, query, "${DATABASE_URL}", **more)[1] for query, more in FAILING]
    finally:
        execute(postgresql, "DROP ROLE encoded")
    shown = "".join([json.dumps(fetch.notes), *told, caplog.text, *capfd.readouterr()])
    files = [file.read_text(encoding="utf-8") for file in tmp_path.rglob("*") if file.is_file()]
    secrets = (encoded, "p@ss:w0rd/x", "w0rd", "param-s3cret")
    assert [secret for secret in secrets if secret in shown + "".join(files)] == []
    assert "${API_KEY}" in told[0]


FAILING = [
    ("SELECT :key::int", {"params": {"key": "${API_KEY}"}}),
    ("SELECT * FROM secrets", {}),
    ("SELECT '\\xff'::bytea", {}),
]


def test_nobody_listening_is_told_in_a_sentence(tmp_path, monkeypatch):
    monkeypatch.setenv("PW", "hunter2-hunter2")
    kind, text = refusal(tmp_path, connection=f"postgresql://me:${{PW}}@127.0.0.1:{free_port()}/db")
    assert kind is RunFailed
    assert text.startswith(
        "Source orders: no connection to the database: connection failed: connection to server at"
    )
    assert text.endswith("that the database is running and lets this user in.")


READ_IN_A_PROCESS = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from databases import source
from nlp_skills.data.sources.database import read
from nlp_skills.data.sources.fetch import Fetch
count = sum(1 for _ in read(source("SELECT * FROM reviews"), Fetch(Path(sys.argv[2]))))
status = Path("/proc/self/status").read_text(encoding="utf-8")
print(count, status.partition("VmHWM:")[2].split()[0])
"""


@pytest.mark.skipif(
    sys.platform != "linux", reason="the peak of a process without its parent's is asked from /proc"
)
def test_half_a_million_rows_are_streamed_in_less_than_200_megabytes(postgresql, tmp_path):
    execute(
        postgresql,
        "CREATE TABLE reviews AS SELECT n AS id, repeat(md5(n::text), 4) AS title, repeat(md5((-n)::text), 8) AS body,"
        " (ARRAY['good', 'bad'])[1 + n % 2] AS label FROM generate_series(1, 500000) n",
    )
    command = [sys.executable, "-c", READ_IN_A_PROCESS, str(Path(__file__).parent), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    count, peak = map(int, done.stdout.split())  # rows, kB
    assert count == 500_000
    assert peak / 1024 < 200
