"""The connection of a database source: from its URL, with ${NAME} expanded, to SQLAlchemy's engine.

connection ──expand──▶ URL ──▶ dialect and driver ──▶ engine, whose errors are told without the password
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, quote_plus

from nlp_skills.data.secret import expand, hide
from nlp_skills.data.sources.cure import in_file
from nlp_skills.data.sources.sql.sqlite import open_read_only
from nlp_skills.errors import MissingExtra, NotReady, NotValid, RunFailed, did_you_mean

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

_DIALECTS = {  # those that come as packages of their own
    "awsathena": "pyathena",
    "bigquery": "sqlalchemy-bigquery",
    "clickhouse": "clickhouse-sqlalchemy",
    "clickhousedb": "clickhouse-connect",
    "cockroachdb": "sqlalchemy-cockroachdb",
    "databricks": "databricks-sqlalchemy",
    "db2": "ibm-db-sa",
    "duckdb": "duckdb-engine",
    "exa": "sqlalchemy-exasol",
    "hana": "sqlalchemy-hana",
    "redshift": "sqlalchemy-redshift",
    "snowflake": "snowflake-sqlalchemy",
    "teradatasql": "teradatasqlalchemy",
    "trino": "trino",
}
_DRIVERS = {  # module → package
    "MySQLdb": "mysqlclient",
    "mysql": "mysql-connector-python",
}
_OWN = ("postgresql", "mysql", "mariadb", "mssql", "oracle", "sqlite")
_ANOTHER_DRIVER = {
    "MySQLdb": " Without a C compiler: write mysql+pymysql://… and install pymysql.",
    "pyodbc": " It also needs Microsoft's ODBC driver; without it: write mssql+pymssql://… and install pymssql.",
}
_CONNECT_SECONDS = 10
_CONNECT: dict[str, dict[str, Any]] = {
    "psycopg": {"connect_timeout": _CONNECT_SECONDS},
    # mysqlclient sends several statements at once unless it is told not to.
    "mysqldb": {"connect_timeout": _CONNECT_SECONDS, "multi_statements": False},
    "pymysql": {"connect_timeout": _CONNECT_SECONDS},
    "pyodbc": {"timeout": _CONNECT_SECONDS},
    "pymssql": {"login_timeout": _CONNECT_SECONDS},
    "oracledb": {"tcp_connect_timeout": _CONNECT_SECONDS},
    "duckdb_engine": {"read_only": True},
}
_SAID = 400


@dataclass(frozen=True)
class Database:
    """A database that can be connected to."""

    engine: Engine
    where: str
    """What an error begins with: `Source orders`."""
    mask: Callable[[str], str]

    @property
    def dialect(self) -> str:
        """postgresql, sqlite, mysql, …: what the SQL is written for."""
        return self.engine.dialect.name

    @contextmanager
    def telling(self, attempt: str, cure: str) -> Iterator[None]:
        """Errors of SQLAlchemy and its drivers become a sentence that holds no secret.

        Raises RunFailed: the database said no, or nothing.
        """
        from sqlalchemy.exc import DBAPIError, SQLAlchemyError

        try:
            yield
        except SQLAlchemyError as error:
            # Only what the driver says: SQLAlchemy adds the parameters.
            said = error.orig if isinstance(error, DBAPIError) else error
            text = self.mask(" ".join(_without_place(str(said)).split()))[:_SAID].rstrip(" .?")
            raise RunFailed(f"{self.where}: {attempt}: {text}. {cure}") from None


def _without_place(message: str) -> str:
    """PostgreSQL quotes the line of the statement, and points a caret at the place."""
    lines = message.splitlines()
    return "\n".join(line for line in lines if not line.startswith("LINE ") and line.strip() != "^")


def open_database(connection: str, task: Path, where: str, seconds: float) -> Database:
    """The engine for a URL as written in data_source.yaml; nothing is connected to yet.

    PostgreSQL is read through psycopg, whatever driver the URL names: with its server-side cursors a query
    cannot smuggle in a second statement. Raises NotReady for a ${NAME} that is not set, MissingExtra or
    NotReady that names the package of a missing driver, NotValid for what is no such URL.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

    url = _url(connection, where)
    dialect = url.get_backend_name()
    options: dict[str, Any] = {}
    if dialect == "sqlite":
        file = _file(url, task, where)
        options = {"creator": lambda: open_read_only(file, seconds)}
    elif dialect == "duckdb" and url.database and url.database != ":memory:":
        url = url.set(database=str(task / url.database))
    try:
        engine = _engine(create_engine, url, where, options)
    except NoSuchModuleError:
        raise _unknown_dialect(url.drivername, where) from None
    except ModuleNotFoundError as error:
        raise _missing_driver((error.name or "").partition(".")[0], dialect, where) from None
    except (SQLAlchemyError, ValueError, TypeError) as error:
        said = _mask_of(url)(str(error))
        raise NotValid(f"{where}: connection cannot be used: {said}. Check it{in_file()}.") from None
    return Database(engine, where, _mask_of(url))


def _url(connection: str, where: str) -> URL:
    from sqlalchemy import make_url
    from sqlalchemy.exc import SQLAlchemyError

    try:
        url = make_url(expand(connection))
    except (SQLAlchemyError, ValueError):
        raise NotValid(
            f"{where}: connection is no database URL. Write it as dialect://user:${{PASSWORD}}@host/database, or"
            " sqlite:///file.db. A password with @, : or / in it has to be URL-encoded (@ is %40)."
        ) from None
    if url.get_backend_name() in ("postgres", "postgresql"):
        return url.set(drivername="postgresql+psycopg")
    return url


def _file(url: URL, task: Path, where: str) -> Path:
    if not url.database or url.database.startswith((":memory:", "file:")) or url.query:
        raise NotValid(
            f"{where}: connection names no SQLite file. Write sqlite:///orders.db (relative to the task folder),"
            " without options: it is opened for reading only in any case."
        )
    return task / Path(url.database).expanduser()


def _engine(create: Callable[..., Engine], url: URL, where: str, options: dict[str, Any]) -> Engine:
    """A driver's own limits on connecting are added where the URL does not set them."""
    from sqlalchemy.pool import NullPool

    driver = url.get_dialect()().driver if url.get_backend_name() != "sqlite" else "pysqlite"
    connect = {name: value for name, value in _CONNECT.get(driver, {}).items() if name not in url.query}
    if url.get_backend_name() != "sqlite":
        options = {**options, "connect_args": connect}
    # hide_parameters: they may be secrets, and would be logged and told in errors.
    engine = create(url, poolclass=NullPool, hide_parameters=True, **options)
    if engine.dialect.is_async:
        raise NotValid(
            f"{where}: {url.drivername} is an asynchronous driver. Write {url.get_backend_name()}://… or name a"
            " driver that is not."
        )
    return engine


def _unknown_dialect(drivername: str, where: str) -> Exception:
    dialect = drivername.partition("+")[0]
    package = _DIALECTS.get(dialect)
    if package:
        return _install(f"Reading {dialect}", package, where)
    near = did_you_mean(dialect, (*_OWN, *_DIALECTS))
    return NotValid(
        f"{where}: SQLAlchemy knows no database {drivername!r}{near}. Check connection:, or install the package"
        " that brings this dialect."
    )


def _missing_driver(module: str, dialect: str, where: str) -> Exception:
    if module == "psycopg":
        return MissingExtra("Reading a PostgreSQL database", "sources")
    return _install(
        f"Reading {dialect}", _DRIVERS.get(module, module), where, _ANOTHER_DRIVER.get(module, "")
    )


def _install(what: str, package: str, where: str, more: str = "") -> NotReady:
    return NotReady(
        f"{where}: {what} needs the package {package}. Install it with: uv pip install {package}"
        f" (or, without uv: pip install {package}).{more}"
    )


def _mask_of(url: URL) -> Callable[[str], str]:
    """Hides what was expanded, and the URL's password as it is, as it is encoded, and in a DSN."""
    password = str(url.password or "")
    spellings = {password, quote(password, safe=""), quote_plus(password), quote(password)}
    spellings |= {password.replace("\\", "\\\\").replace("'", "\\'")}

    def mask(text: str) -> str:
        text = hide(text)
        for spelling in sorted(spellings, key=len, reverse=True):
            if spelling:
                text = text.replace(spelling, "***")
        return text

    return mask
