"""A task whose data come from PostgreSQL: preview, regeneration, reading on, and nowhere the password."""

from __future__ import annotations

import logging
import traceback
from pathlib import Path

import pytest
from databases import execute, source

from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.data.sources.source import DataSources
from nlp_skills.data.sourcing import preview_source
from nlp_skills.errors import RunFailed
from nlp_skills.task.task import TaskType, create_task
from postgresql import PASSWORD

ENCODED, DECODED = "p%40ss%3Aw0rd%2Fx", "p@ss:w0rd/x"


@pytest.fixture
def task(tmp_path: Path, postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A task with a database source of 60 tickets, read by a role whose password has to be encoded."""
    execute(
        postgresql_url,
        "CREATE TABLE tickets (id int PRIMARY KEY, text text, label text, updated timestamptz)",
        "INSERT INTO tickets SELECT n, 'Ticket number ' || n, (ARRAY['billing', 'delivery', 'returns'])[1 + n % 3],"
        " '2026-11-01'::timestamptz + n * interval '1 hour' FROM generate_series(1, 60) n",
        "DO $$ BEGIN CREATE ROLE reader LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$",
        f"ALTER ROLE reader PASSWORD '{DECODED}'",
        "GRANT SELECT ON tickets TO reader",
    )
    url = postgresql_url.replace(f"tester:{PASSWORD}", f"reader:{ENCODED}")
    assert ENCODED in url
    monkeypatch.setenv("DATABASE_URL", url)
    create_task(tmp_path / "tasks", "support", type=TaskType.CLASSIFICATION, goal="Find the team.")
    folder = tmp_path / "tasks" / "support"
    tickets = source(
        "SELECT id, text, label, updated FROM tickets WHERE updated > :start ORDER BY id",
        params={"start": "2026-01-01"},
        since="updated",
        columns={"id": "id"},
    )
    DataSources(sources=[tickets]).save(folder / "data_source.yaml")
    return folder


def test_a_regeneration_reads_on_and_says_what_changed(task, postgresql_url):
    preview = preview_source(task)
    assert (len(preview.rows), list(task.rglob("*.jsonl"))) == (5, [])
    first = regenerate_data(task)
    assert (first.sources["orders"].rows, first.sources["orders"].since) == (60, "2026-11-03T12:00:00+00:00")
    again = regenerate_data(task)
    assert (again.source_hash, again.sources["orders"].request["rows_read"]) == (first.source_hash, 1)
    execute(
        postgresql_url,
        "INSERT INTO tickets VALUES (61, 'Ticket number 61', 'billing', '2026-11-20')",
        "UPDATE tickets SET label = 'billing', updated = '2026-11-21' WHERE id = 1",
    )
    last = regenerate_data(task)
    assert last == DataSnapshot.load(task / "data" / "data_snapshot.json")
    assert (last.sources["orders"].rows, last.sources["orders"].request["rows_read"]) == (61, 3)
    assert (last.added, last.removed, last.changed) == (1, 0, 1)


def test_the_password_is_in_no_file_of_the_task_no_log_no_output_and_no_error(
    task, postgresql_url, monkeypatch, caplog, capfd
):
    caplog.set_level(logging.DEBUG)
    shown = [preview_source(task).model_dump_json(), regenerate_data(task).model_dump_json()]
    execute(postgresql_url, "REVOKE SELECT ON tickets FROM reader")
    shown.append(told_by(task, "permission denied for table tickets"))
    execute(postgresql_url, "ALTER ROLE reader PASSWORD 'another'")
    shown.append(told_by(task, "password authentication failed"))
    shown += [caplog.text, *capfd.readouterr()]
    files = [file.read_bytes() for file in task.rglob("*") if file.is_file()]
    everything = "".join(shown).encode() + b"".join(files)
    url = postgresql_url.replace(f"tester:{PASSWORD}", f"reader:{ENCODED}")
    assert [secret for secret in (ENCODED, DECODED, "w0rd", url) if secret.encode() in everything] == []
    assert len(files) > 5


def told_by(task: Path, words: str) -> str:
    with pytest.raises(RunFailed, match=words) as refused:
        regenerate_data(task)
    return "".join(traceback.format_exception(refused.value))
