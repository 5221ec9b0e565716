"""The index of many tasks: a cache in a database, so that listing 10,000 tasks takes a moment.

    tasks folder ── stat ──▶ signatures ──┐
                                          ├─ equal: answer from the index
    index ── one SELECT ──▶ signatures ───┘  other: read those tasks' files, write them to the index

Files are the truth. An index that is missing, corrupt, locked, read-only or does not answer changes
how long the answer takes and nothing else. It is `.nlp-skills/index.sqlite` beside the tasks folder, or the
PostgreSQL database named by NLP_SKILLS_INDEX_URL, whose rows are keyed by tasks folder and task name.
"""

from __future__ import annotations

import functools
import os
import re
import sys
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from nlp_skills.errors import MissingExtra, NlpSkillsError, NotValid
from nlp_skills.records import Progress, Record, read_mapping, silent
from nlp_skills.task.task import MARKER, Task, TaskType

if TYPE_CHECKING:
    from sqlalchemy import URL, Connection, Table

URL_VARIABLE = "NLP_SKILLS_INDEX_URL"

WAIT_SECONDS = 5
"""How long another process may hold the database before we do without it."""

_FORMAT = "1"
"""Part of every signature: rows of an older format are read again."""

_RACY_NS = 2_000_000_000
"""A file this young may change once more within one tick of its clock (FAT: two seconds) and keep its
time stamp, so its signature proves nothing yet. Git has the same rule for its own index ("racy git")."""

_DRIVERS = {"postgresql": "postgresql+psycopg", "sqlite": "sqlite"}

_VERSION = re.compile(r"v[1-9][0-9]*")


class TaskSummary(Record):
    """One task in a line: the goal, the number, and how near the attempts came."""

    name: str
    """The folder's name, which is what operations take."""
    type: TaskType
    goal: str
    status: str
    metric: str
    target: float | None
    versions: int
    latest: str | None
    best: str | None
    """The version with the highest value of `metric`; of equal ones the first."""
    best_value: float | None
    latest_value: float | None
    """None while the latest version has not been evaluated."""
    updated: str
    """The last change of task.yaml or of a lineage.yaml, in UTC."""


class TaskList(Record):
    """All tasks of a tasks folder, by name."""

    home: str
    tasks: list[TaskSummary]
    unreadable: dict[str, str] = {}
    """Task, or `task/vN` → why its file could not be read."""


class _Entry(Record):
    """What one task contributes to the list; the index keeps it as JSON."""

    summary: TaskSummary | None = None
    unreadable: dict[str, str] = {}


def list_tasks(home: Path, *, progress: Progress = silent) -> TaskList:
    """List the tasks of the tasks folder with their best and latest results.

    Reads only the tasks whose files changed since the last call. A task that cannot be read is
    listed with the reason. Raises NotValid or MissingExtra when NLP_SKILLS_INDEX_URL is unusable.
    """
    return _list(home, progress, trust_index=True)


def rebuild_index(home: Path, *, progress: Progress = silent) -> TaskList:
    """Read every task's files again, whatever the index says, and write the index anew."""
    return _list(home, progress, trust_index=False)


def _list(home: Path, progress: Progress, *, trust_index: bool) -> TaskList:
    url = _index_url(home)
    signatures = _scan(home)
    key = _printable(str(home.resolve()))
    known = _read_index(url, key, progress) if signatures or _is_there(url) else {}
    entries = _unchanged(signatures, known) if trust_index else {}
    stale = sorted(signatures.keys() - entries.keys())
    for done, name in enumerate(stale):
        progress(f"reading {_printable(name)}", done, len(stale))
        entries[name] = _read_task(home / name)
    gone = known.keys() - {_printable(name) for name in signatures}
    if stale or gone:
        rows = [
            {
                "home": key,
                "name": _printable(n),
                "signature": signatures[n],
                "entry": entries[n].model_dump_json(),
            }
            for n in stale
        ]
        _write_index(url, key, rows, gone, progress)
    return TaskList(
        home=_printable(str(home)),
        tasks=[entry.summary for _, entry in sorted(entries.items()) if entry.summary],
        unreadable={k: v for _, entry in sorted(entries.items()) for k, v in entry.unreadable.items()},
    )


# The files ---------------------------------------------------------------------------------------


def _scan(home: Path) -> dict[str, str]:
    """Folder name → signature, for every folder that holds a task.yaml; hidden ones are unfinished."""
    started = time.time_ns()
    try:
        with os.scandir(home) as entries:
            names = [entry.name for entry in entries if not entry.name.startswith(".")]
    except FileNotFoundError:
        return {}
    except NotADirectoryError:
        raise NotValid(f"{home} is a file; the tasks folder is expected there.") from None
    except OSError as error:
        raise NotValid(f"{home} cannot be read: {error.strerror}.") from None
    found = ((name, _signature(f"{home}{os.sep}{name}", started)) for name in names)
    return {name: signature for name, signature in found if signature is not None}


def _signature(folder: str, started: int) -> str | None:
    """What changes when the task's answer may change; None: no task; empty: it cannot be relied on yet.

    Every lineage.yaml counts, because an older version that is evaluated late can become the best.
    """
    try:
        parts, newest = [_FORMAT], 0
        for label, file in _files(folder):
            stat = _stat(file)
            if stat is not None:
                parts.append(f"{label}:{stat.st_mtime_ns}:{stat.st_ctime_ns}:{stat.st_size}")
                newest = max(newest, stat.st_mtime_ns)
            elif label:
                parts.append(label)
            else:
                return None
    except OSError:  # reading it will say why
        return ""
    return " ".join(parts) if newest < started - _RACY_NS else ""


def _files(folder: str) -> Iterator[tuple[str, str]]:
    """The files that the answer is made from: ("", task.yaml), then ("v1", its lineage.yaml) …"""
    yield "", f"{folder}{os.sep}task.yaml"
    for version in _versions(folder):
        yield version, _lineage(folder, version)


def _stat(file: str) -> os.stat_result | None:
    try:
        return os.stat(file)  # noqa: PTH116 - a Path costs five times as much, and there are 40,000
    except (FileNotFoundError, NotADirectoryError):
        return None


def _versions(folder: str) -> list[str]:
    """The names v1, v2, … in the versions folder, in the order of their numbers."""
    try:
        names = os.listdir(f"{folder}{os.sep}versions")  # noqa: PTH208
    except (FileNotFoundError, NotADirectoryError):
        return []
    return sorted(filter(_VERSION.fullmatch, names), key=lambda name: int(name[1:]))


def _lineage(folder: str | Path, version: str) -> str:
    return f"{folder}{os.sep}versions{os.sep}{version}{os.sep}lineage.yaml"


def _read_task(folder: Path) -> _Entry:
    """Read task.yaml and every lineage.yaml; what cannot be read becomes a reason."""
    name = _printable(folder.name)
    values: dict[str, float | None] = {}
    unreadable: dict[str, str] = {}
    try:
        task = _load_task(folder)
        for version in _versions(str(folder)):
            if not (folder / "versions" / version).is_dir():
                continue
            try:
                values[version] = _result(Path(_lineage(folder, version)), task.chosen_metric)
            except (NlpSkillsError, OSError) as error:
                values[version] = None
                unreadable[f"{name}/{version}"] = _reason(error)
        summary = _summarise(task, values, _last_change(str(folder)))
    except (NlpSkillsError, OSError) as error:
        return _Entry(unreadable={name: _reason(error)})
    return _Entry(summary=summary, unreadable=unreadable)


def _load_task(folder: Path) -> Task:
    """The task under the name of its folder, because that is what finds it, also after copying one."""
    task = Task.load(folder / "task.yaml")
    if task.name == folder.name:
        return task
    return Task.parse({**task.model_dump(mode="json"), "name": folder.name}, f"The folder {folder}")


def _result(lineage: Path, metric: str) -> float | None:
    """The version's value of the metric; None while there is none. Raises NotValid for a broken file."""
    if not lineage.exists():
        return None
    content = read_mapping(lineage)
    results = content.get("results") or {} if isinstance(content, dict) else None
    if not isinstance(results, dict):
        raise NotValid(
            f"{lineage} is not a valid lineage: results: a mapping of metric to value is expected."
        )
    value = results.get(metric)
    if value is None:
        return None
    if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:
        raise NotValid(
            f"{lineage} is not a valid lineage: results.{metric}: a number is expected, not {value!r}."
        )
    return float(value)


def _summarise(task: Task, values: dict[str, float | None], updated: str) -> TaskSummary:
    """`values`: version → value of the task's metric, in the order of the versions."""
    latest = list(values)[-1] if values else None
    measured = {version: value for version, value in values.items() if value is not None}
    best = max(measured, key=measured.__getitem__, default=None)
    return TaskSummary(
        name=task.name,
        type=task.type,
        goal=task.goal,
        status=task.status,
        metric=task.chosen_metric,
        target=task.target,
        versions=len(values),
        latest=latest,
        best=best,
        best_value=measured[best] if best else None,
        latest_value=values[latest] if latest else None,
        updated=updated,
    )


def _last_change(folder: str) -> str:
    newest = max(stat.st_mtime for _, file in _files(folder) if (stat := _stat(file)))
    return datetime.fromtimestamp(newest, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _reason(error: Exception) -> str:
    if isinstance(error, OSError):
        return _printable(f"{error.filename} cannot be read: {error.strerror}.")
    return _printable(str(error))


def _printable(name: str) -> str:
    """The name with bytes that are no UTF-8 written as escapes; neither JSON nor a database takes them."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


# The index ---------------------------------------------------------------------------------------


def _unchanged(signatures: dict[str, str], known: dict[str, tuple[str, str]]) -> dict[str, _Entry]:
    """The entries of the tasks whose signature is the one that the index has."""
    entries: dict[str, _Entry] = {}
    for name, signature in signatures.items():
        indexed, line = known.get(_printable(name), ("", ""))
        if signature and signature == indexed:
            try:
                entries[name] = _Entry.model_validate_json(line)
            except ValidationError:  # not what we wrote: read the files instead
                continue
    return entries


def _index_url(home: Path) -> URL:
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


def _is_there(url: URL) -> bool:
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


def _read_index(url: URL, home: str, progress: Progress) -> dict[str, tuple[str, str]]:
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


def _write_index(
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
