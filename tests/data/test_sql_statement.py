"""The query of a database source: what counts as one SELECT, and what as a parameter."""

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp_skills.data.sources.sql.statement import parse_statement
from nlp_skills.errors import NotValid


def parse(query: str, dialect: str = "postgresql"):
    return parse_statement(query, dialect, "Source orders")


@pytest.mark.parametrize(
    ("query", "parameters"),
    [
        ("SELECT * FROM t WHERE day >= :day AND day < :end AND :day > 1", ("day", "end")),
        ("SELECT '12:30', ':no', \"a:no\", x::text, :a::date, (x):no FROM t", ("a",)),
        ("SELECT x[1:2], x[lo:hi] FROM t -- :no\n WHERE /* :no */ a = :yes", ("yes",)),
        ("SELECT 'it''s :no', :größe", ("größe",)),
        ('SELECT a:b.c, "a":b FROM t', ()),
    ],
)
def test_a_parameter_is_a_name_behind_a_colon_that_means_nothing_else(query, parameters):
    assert parse(query).parameters == parameters


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1;",
        "  -- what it is\n select 1 ; -- done",
        "(SELECT 1) UNION (SELECT 2)",
        "WITH a AS (SELECT 1), b(n) AS MATERIALIZED (SELECT 2) SELECT * FROM a, b",
        "VALUES (1), (2)",
        "SELECT replace(a, 'delete', 'x'), 'a;b', \"c;d\" FROM t WHERE updated > 1 AND (deleted OR update_count = 0)",
    ],
)
def test_one_select_is_taken(query):
    parse(query)


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("", "is no SELECT"),
        ("commit; DELETE FROM t", "holds several statements (a semicolon)"),
        ("SELECT 1; SELECT 2", "holds several statements (a semicolon)"),
        ("DELETE FROM t", "is DELETE, which is no SELECT"),
        ("/* SELECT */ UPDATE t SET a = 1", "is UPDATE, which is no SELECT"),
        ("EXPLAIN ANALYZE SELECT 1", "is EXPLAIN, which is no SELECT"),
        ("WITH a AS (SELECT 1) DELETE FROM t", "is DELETE, which is no SELECT"),
        ("WITH a AS (DELETE FROM t RETURNING *) SELECT * FROM a", "changes data in a part of it"),
        (
            "WITH a AS (/* x */ update t SET a = 1 RETURNING *) SELECT * FROM a",
            "changes data in a part of it",
        ),
        ("SELECT * INTO copy FROM t", "writes with INTO"),
        ("SELECT * FROM t INTO OUTFILE 'x'", "writes with INTO"),
        ("SELECT 1) x, (SELECT 2", "has parentheses that do not match"),
    ],
)
def test_anything_else_is_refused(query, problem):
    with pytest.raises(NotValid) as refused:
        parse(query)
    assert str(refused.value) == (
        f"Source orders: query {problem}. A database source sends one SELECT and never changes anything:"
        " keep one SELECT (or WITH … SELECT) in query."
    )


@pytest.mark.parametrize(
    ("dialect", "query", "problem"),
    [
        ("postgresql", "SELECT 'a", "a quote or comment that is not closed. Close it"),
        ("postgresql", "SELECT 1 /* a", "a quote or comment that is not closed. Close it"),
        ("postgresql", "SELECT $$;$$", "text in dollar quotes ($$…$$). Write it in single quotes"),
        (
            "postgresql",
            "SELECT /* /* */ ; DELETE FROM t -- */ */ 1",
            "a comment inside a comment, or one that",
        ),
        ("postgresql", r"SELECT E'\'; DELETE FROM t --'", "a backslash before a quote."),
        ("mysql", r"SELECT '\'; DELETE FROM t -- '", "a backslash before a quote."),
        ("snowflake", r"SELECT 'a\''; DELETE FROM t --'", "a backslash before a quote."),
        ("mysql", "SELECT 1 /*! INTO OUTFILE 'x' */", "a comment inside a comment, or one that is executed"),
        (
            "mariadb",
            "SELECT 1 /*M! INTO OUTFILE 'x' */",
            "a comment inside a comment, or one that is executed",
        ),
        ("mysql", "SELECT 1--1; DELETE FROM t", "-- without a space behind it"),
        ("sqlite", "SELECT 1\0; DELETE FROM t", "a NUL character."),
        (
            "postgresql",
            "SELECT * FROM t WHERE a = '${NAME}'",
            "${…}, which only connection and params expand.",
        ),
    ],
)
def test_what_could_be_read_in_two_ways_is_refused(dialect, query, problem):
    with pytest.raises(NotValid) as refused:
        parse(query, dialect)
    assert str(refused.value).startswith(f"Source orders: query holds {problem}")


def test_where_statements_need_no_semicolon_a_second_one_is_refused_too():
    with pytest.raises(NotValid, match="holds DELETE, which begins another statement"):
        parse("SELECT 1 DELETE FROM t", "mssql")
    parse("SELECT [delete], 'exec' FROM [my;table]", "mssql")


@pytest.mark.parametrize(
    ("behind", "problem"),
    [
        (
            "RESTORE DATABASE prod FROM DISK = 'x' WITH REPLACE",
            "holds RESTORE, which begins another statement",
        ),
        ("WRITETEXT t.note @p 'x'", "holds WRITETEXT, which begins another statement"),
        ("UPDATETEXT t.note @p 0 NULL 'x'", "holds UPDATETEXT, which begins another statement"),
        ("RECEIVE TOP (1) * FROM queue", "holds RECEIVE, which begins another statement"),
        ("RECONFIGURE", "holds RECONFIGURE, which begins another statement"),
        ("ADD SIGNATURE TO p BY CERTIFICATE c", "holds ADD, which begins another statement"),
        ("DISABLE TRIGGER ALL ON DATABASE", "holds DISABLE TRIGGER, which changes something"),
        ("ENABLE /* all */ TRIGGER ALL ON DATABASE", "holds ENABLE TRIGGER, which changes something"),
        ("END CONVERSATION @h", "holds END CONVERSATION, which changes something"),
        ("SEND ON CONVERSATION @h ('x')", "holds SEND ON, which changes something"),
        ("USE prod", "holds USE, which begins another statement"),
        ("revert", "holds REVERT, which begins another statement"),
        ("WHERE a = 1DELETE FROM t", "holds a number and a word with no space between them"),
        ("WHERE a = 0x1FDROP TABLE t", "holds a number and a word with no space between them"),
        ("FROM OPENQUERY(srv, 'DELETE FROM t')", "calls OPENQUERY, which runs on another server"),
        ("FROM OPENROWSET(BULK 'c:/x', SINGLE_CLOB) x", "calls OPENROWSET, which runs on another server"),
        ("FROM OPENDATASOURCE('p', 'c').d.s.t", "calls OPENDATASOURCE, which runs on another server"),
        (", NEXT VALUE FOR numbers", "holds NEXT VALUE, which changes something"),
    ],
)
def test_every_statement_of_t_sql_behind_a_select_is_refused(behind, problem):
    with pytest.raises(NotValid) as refused:
        parse(f"SELECT 1 {behind}", "mssql")
    assert str(refused.value).startswith(f"Source orders: query {problem}")


@pytest.mark.parametrize(
    "query",
    [
        "SELECT [backup], \"restore\", t.[receive], 'OPENQUERY(' FROM [add] AS t",
        "SELECT enable, disable, trigger_name, closed, opened_at, send, value FROM t WHERE next = 1.5e3 AND b = 0xAB",
        "SELECT CASE WHEN a = 1 THEN 2 END FROM t ORDER BY a OFFSET 5 ROWS FETCH NEXT 5 ROWS ONLY",
        "SELECT a FROM t OPTION (USE HINT ('FORCE_ORDER'), MAXDOP 1)",
    ],
)
def test_a_name_like_a_keyword_of_t_sql_is_taken_where_it_is_quoted_or_not_reserved(query):
    parse(query, "mssql")


@given(st.text().filter(lambda text: "\0" not in text and "${" not in text and text.isprintable()))
def test_text_in_quotes_reaches_the_database_as_it_is(text):
    import sqlalchemy

    quoted = text.replace("'", "''")
    statement = parse(f"SELECT '{quoted}'", "sqlite")
    with sqlalchemy.create_engine("sqlite://", creator=lambda: sqlite3.connect(":memory:")).connect() as c:
        assert (statement.parameters, c.execute(sqlalchemy.text(statement.text)).scalar()) == ((), text)
        c.connection.invalidate()
