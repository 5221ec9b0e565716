"""The index in a team's PostgreSQL: the same answers, from a real server on loopback."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from nlp_skills.task.index import TaskList, list_tasks, rebuild_index
from nlp_skills.task.index_store import URL_VARIABLE
from postgresql import PASSWORD, free_port

ReadBy = Callable[[Callable[..., object], Path], list[str]]
CANNOT_READ = "the index cannot be read; reading every task instead"
CANNOT_WRITE = "the index cannot be written; the next list reads these tasks again"


@pytest.fixture
def in_postgresql(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv(URL_VARIABLE, postgresql_url)
    return postgresql_url


def execute(url: str, statement: str) -> list[tuple[str, ...]]:
    import psycopg

    with psycopg.connect(url.replace("+psycopg", ""), autocommit=True) as connection:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []


def test_the_answer_is_the_one_that_sqlite_gives(home, make_task, postgresql_url, monkeypatch):
    make_task("news", v1=0.5, v2=0.75)
    (make_task("tickets") / "task.yaml").write_text("name: [", encoding="utf-8")
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    in_sqlite = list_tasks(home)
    monkeypatch.setenv(URL_VARIABLE, postgresql_url)
    assert [list_tasks(home), list_tasks(home), rebuild_index(home)] == [in_sqlite] * 3


def test_postgresql_leaves_no_sqlite_file(home, make_task, in_postgresql):
    make_task("news")
    list_tasks(home)
    assert list((home.parent / ".nlp-skills").iterdir()) == []


def test_the_second_list_reads_no_task_with_postgresql(home, make_task, in_postgresql, read_by: ReadBy):
    make_task("news", v1=0.5)
    assert read_by(list_tasks, home) == ["reading news"]
    assert read_by(list_tasks, home) == []


def test_a_plain_postgresql_url_is_enough(home, make_task, in_postgresql, monkeypatch, read_by: ReadBy):
    monkeypatch.setenv(URL_VARIABLE, in_postgresql.replace("+psycopg", ""))
    make_task("news")
    assert read_by(list_tasks, home) == ["reading news"]
    assert read_by(list_tasks, home) == []


def test_changed_and_gone_tasks_change_their_rows_alone(
    home, make_task, in_postgresql, write_results, read_by
):
    for name in ("mail", "news", "tickets"):
        make_task(name)
    list_tasks(home)
    write_results(home / "news", "v1", macro_f1=0.5)
    shutil.rmtree(home / "mail")
    assert read_by(list_tasks, home) == ["reading news"]
    assert execute(in_postgresql, "SELECT name FROM nlp_skills_tasks ORDER BY name") == [
        ("news",),
        ("tickets",),
    ]


def test_two_tasks_folders_share_a_database(home, make_task, in_postgresql, tmp_path, read_by: ReadBy):
    folder = make_task("news", v1=0.5)
    other = tmp_path / "other" / "tasks"
    shutil.copytree(folder, other / "news")
    shutil.rmtree(other / "news" / "versions")
    assert list_tasks(home).tasks[0].versions == 1
    assert list_tasks(other).tasks[0].versions == 0
    assert read_by(list_tasks, home) == []
    shutil.rmtree(other / "news")
    assert list_tasks(other).tasks == []
    assert read_by(list_tasks, home) == []


def test_a_server_that_is_away_costs_time_and_nothing_else(home, make_task, monkeypatch, read_by: ReadBy):
    make_task("news", v1=0.5)
    monkeypatch.delenv(URL_VARIABLE, raising=False)
    before = list_tasks(home)
    monkeypatch.setenv(URL_VARIABLE, f"postgresql://me:{PASSWORD}@127.0.0.1:{free_port()}/index")
    assert list_tasks(home) == before
    assert read_by(list_tasks, home) == [CANNOT_READ, "reading news", CANNOT_WRITE]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [(f":{PASSWORD}@", ":hunter2@"), ("/test_", "/hunter2_"), ("tester", "nobody")],
    ids=["password", "database", "user"],
)
def test_a_server_that_refuses_us_is_done_without(
    home, make_task, in_postgresql, monkeypatch, read_by, right, wrong
):
    make_task("news")
    assert right in in_postgresql
    monkeypatch.setenv(URL_VARIABLE, in_postgresql.replace(right, wrong))
    assert read_by(list_tasks, home) == [CANNOT_READ, "reading news", CANNOT_WRITE]


def test_an_option_that_the_driver_does_not_know_is_done_without(
    home, make_task, in_postgresql, monkeypatch, read_by
):
    make_task("news")
    monkeypatch.setenv(URL_VARIABLE, f"{in_postgresql}?colour=red")
    assert read_by(list_tasks, home) == [CANNOT_READ, "reading news", CANNOT_WRITE]


def test_a_table_of_another_shape_is_left_alone_and_done_without(
    home, make_task, in_postgresql, read_by: ReadBy
):
    execute(in_postgresql, "CREATE TABLE nlp_skills_tasks (precious TEXT)")
    execute(in_postgresql, "INSERT INTO nlp_skills_tasks VALUES ('data')")
    make_task("news")
    assert read_by(list_tasks, home) == [CANNOT_READ, "reading news", CANNOT_WRITE]
    assert execute(in_postgresql, "SELECT * FROM nlp_skills_tasks") == [("data",)]


def test_a_role_that_may_only_read_answers_from_the_index(
    home, make_task, in_postgresql, monkeypatch, read_by
):
    make_task("news")
    list_tasks(home)
    make_task("tickets")
    monkeypatch.setenv(URL_VARIABLE, f"{in_postgresql}?options=-c%20default_transaction_read_only%3Don")
    assert read_by(list_tasks, home) == ["reading tickets", CANNOT_WRITE]


def test_many_processes_may_list_at_once_with_postgresql(home, make_task, in_postgresql):
    for number in range(20):
        make_task(f"task-{number}", v1=number / 20)
    script = (
        "import sys\nfrom pathlib import Path\nfrom nlp_skills.task.index import list_tasks, rebuild_index\n"
        "home = Path(sys.argv[1])\n"
        "for turn in range(6):\n"
        "    assert len((rebuild_index if turn % 3 == 0 else list_tasks)(home).tasks) == 20\n"
        "print(list_tasks(home).model_dump_json())"
    )
    command = [sys.executable, "-W", "error", "-c", script, str(home)]
    running = [
        subprocess.Popen(
            command, env=dict(os.environ), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        for _ in range(4)
    ]
    ended = [(process.communicate(timeout=120), process.returncode) for process in running]
    assert [(errors, code) for (_, errors), code in ended] == [("", 0)] * 4
    assert [TaskList.model_validate_json(answer) for (answer, _), _ in ended] == [list_tasks(home)] * 4
