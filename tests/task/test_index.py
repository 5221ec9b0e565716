"""The index of many tasks: the answer is the files', whatever happens to the index."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from nlp_skills.errors import MissingExtra, NotValid
from nlp_skills.records import to_yaml
from nlp_skills.task import index_store
from nlp_skills.task.index import TaskList, list_tasks, rebuild_index
from nlp_skills.task.index_store import URL_VARIABLE
from nlp_skills.task.summary import TaskSummary
from nlp_skills.task.task import Task, TaskType

ReadBy = Callable[[Callable[..., object], Path], list[str]]


@pytest.fixture(autouse=True)
def _no_index_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(URL_VARIABLE, raising=False)


@pytest.fixture
def index_file(home: Path) -> Path:
    return home.parent / ".nlp-skills" / "index.sqlite"


def rows(index_file: Path) -> list[tuple[str, str]]:
    with closing(sqlite3.connect(index_file)) as connection:
        return connection.execute("SELECT home, name FROM nlp_skills_tasks ORDER BY name").fetchall()


def test_a_task_is_listed_with_its_best_and_its_latest_version(home, make_task, last_change):
    folder = make_task("news", v1=0.5, v2=0.75, v3=0.7)
    assert list_tasks(home) == TaskList(
        home=str(home),
        tasks=[
            TaskSummary(
                name="news",
                type=TaskType.CLASSIFICATION,
                goal="Sort the news.",
                status="active",
                metric="macro_f1",
                target=0.9,
                versions=3,
                latest="v3",
                best="v2",
                best_value=0.75,
                latest_value=0.7,
                updated=last_change(folder / "versions" / "v3" / "lineage.yaml"),
            )
        ],
    )


def test_tasks_are_listed_by_name(home, make_task):
    for name in ("tickets", "news", "mail"):
        make_task(name)
    assert [task.name for task in list_tasks(home).tasks] == ["mail", "news", "tickets"]


def test_a_version_without_results_is_the_latest_but_never_the_best(home, make_task):
    folder = make_task("news", v1=0.5, v2=None)
    (folder / "versions" / "v3").mkdir()
    task = list_tasks(home).tasks[0]
    assert (task.versions, task.latest, task.latest_value, task.best) == (3, "v3", None, "v1")


def test_versions_are_ordered_by_number(home, make_task):
    make_task("news", v9=0.5, v10=0.4)
    assert list_tasks(home).tasks[0].latest == "v10"


def test_of_equal_versions_the_first_is_the_best(home, make_task):
    make_task("news", v1=0.5, v2=0.5)
    assert list_tasks(home).tasks[0].best == "v1"


def test_where_less_is_better_the_lowest_value_is_the_best(home, make_task, write_results):
    folder = make_task("news")
    Task.load(folder / "task.yaml").with_changes(metric="brier_score").save(folder / "task.yaml")
    for version, value in (("v1", 0.3), ("v2", 0.1), ("v3", 0.2)):
        write_results(folder, version, brier_score=value)
    task = list_tasks(home).tasks[0]
    assert (task.best, task.best_value) == ("v2", 0.1)


def test_folders_that_are_no_versions_do_not_count(home, make_task):
    folder = make_task("news", v1=0.5)
    for name in ("v0", "v01", "v2-old", ".v2.x.tmp"):
        (folder / "versions" / name).mkdir()
    (folder / "versions" / "v7").write_text("a file", encoding="utf-8")
    assert (list_tasks(home).tasks[0].versions, list_tasks(home).tasks[0].latest) == (1, "v1")


def test_the_second_list_reads_no_task(home, make_task, read_by: ReadBy):
    make_task("news", v1=0.5)
    make_task("tickets")
    assert read_by(list_tasks, home) == ["reading news", "reading tickets"]
    assert read_by(list_tasks, home) == []


def test_the_second_answer_equals_the_first(home, make_task):
    make_task("news", v1=0.5)
    (make_task("tickets") / "task.yaml").write_text("name: [", encoding="utf-8")
    assert list_tasks(home) == list_tasks(home)


def test_only_the_task_that_changed_is_read_again(home, make_task, read_by: ReadBy):
    make_task("news")
    folder = make_task("tickets")
    list_tasks(home)
    text = (folder / "task.yaml").read_text(encoding="utf-8")
    (folder / "task.yaml").write_text(text.replace("Sort the news.", "Route tickets."), encoding="utf-8")
    assert read_by(list_tasks, home) == ["reading tickets"]
    assert [task.goal for task in list_tasks(home).tasks] == ["Sort the news.", "Route tickets."]


def test_an_older_version_that_is_evaluated_late_becomes_the_best(home, make_task, write_results):
    folder = make_task("news", v1=None, v2=0.5)
    assert list_tasks(home).tasks[0].best == "v2"
    write_results(folder, "v1", macro_f1=0.8)
    assert list_tasks(home).tasks[0].best == "v1"


def test_a_new_version_is_seen(home, make_task, write_results):
    folder = make_task("news", v1=0.5)
    list_tasks(home)
    write_results(folder, "v2", macro_f1=0.6)
    assert list_tasks(home).tasks[0].latest == "v2"


def test_changes_in_quick_succession_are_all_seen(home, make_task):
    file = make_task("news") / "task.yaml"
    text = file.read_text(encoding="utf-8")
    for number in range(10, 40):  # several within one tick of the clock that dates files, and all of one size
        file.write_text(text.replace("Sort the news.", f"Sort into {number}."), encoding="utf-8")
        assert list_tasks(home).tasks[0].goal == f"Sort into {number}."


def test_a_file_too_young_for_its_date_to_be_relied_on_is_read_again(home, make_task, read_by: ReadBy):
    file = make_task("news") / "task.yaml"
    later = time.time_ns() + 3600 * 1_000_000_000  # a minute's delay of this test makes no difference
    os.utime(file, ns=(later, later))
    assert [read_by(list_tasks, home) for _ in range(3)] == [["reading news"]] * 3


def test_the_index_lets_readers_and_a_writer_work_at_once(home, make_task, index_file):
    make_task("news")
    list_tasks(home)
    with closing(sqlite3.connect(index_file)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.skipif(os.name != "posix", reason="Windows keeps no time of the last change of a file's dates")
def test_a_change_that_keeps_size_and_date_is_seen(home, make_task):
    file = make_task("news") / "task.yaml"
    list_tasks(home)
    stamp = file.stat().st_mtime_ns
    file.write_text(file.read_text(encoding="utf-8").replace("news.", "mail."), encoding="utf-8")
    os.utime(file, ns=(stamp, stamp))
    assert list_tasks(home).tasks[0].goal == "Sort the mail."


def test_two_tasks_folders_beside_each_other_share_an_index(home, make_task, index_file, read_by: ReadBy):
    other = home.parent / "other"
    shutil.copytree(make_task("news"), other / "news")
    make_task("mail")
    list_tasks(other)
    list_tasks(home)
    shutil.rmtree(other / "news")
    assert list_tasks(other).tasks == []
    assert rows(index_file) == [(str(home.resolve()), "mail"), (str(home.resolve()), "news")]
    assert read_by(list_tasks, home) == []


def test_a_task_that_is_gone_leaves_the_list_and_the_index(home, make_task, index_file):
    make_task("news")
    folder = make_task("tickets")
    list_tasks(home)
    shutil.rmtree(folder)
    assert [task.name for task in list_tasks(home).tasks] == ["news"]
    assert rows(index_file) == [(str(home.resolve()), "news")]


def test_the_last_task_that_is_gone_leaves_the_index_too(home, make_task, index_file):
    folder = make_task("news")
    list_tasks(home)
    shutil.rmtree(folder)
    assert list_tasks(home) == TaskList(home=str(home), tasks=[])
    assert rows(index_file) == []


def test_a_broken_task_is_listed_with_its_reason_and_hides_no_other(home, make_task):
    make_task("news")
    file = make_task("tickets") / "task.yaml"
    file.write_text(file.read_text(encoding="utf-8").replace("goal:", "gaol:"), encoding="utf-8")
    listed = list_tasks(home)
    assert [task.name for task in listed.tasks] == ["news"]
    assert listed.unreadable == {
        "tickets": f'{file}, line 1: goal: missing; line 3: gaol: unknown field (did you mean "goal"?)'
    }


def test_a_task_that_was_mended_is_listed_again(home, make_task):
    file = make_task("news") / "task.yaml"
    good = file.read_bytes()
    file.write_bytes(b"\xff")
    assert list(list_tasks(home).unreadable) == ["news"]
    file.write_bytes(good)
    assert [task.name for task in list_tasks(home).tasks] == ["news"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("results: {macro_f1: .nan}", "results.macro_f1: a number is expected, not nan."),
        ("results: {macro_f1: true}", "results.macro_f1: a number is expected, not True."),
        ("results: {macro_f1: high}", "results.macro_f1: a number is expected, not 'high'."),
        ("results: [0.5]", "results: a mapping of metric to value is expected."),
        ("- 0.5", "results: a mapping of metric to value is expected."),
    ],
)
def test_a_broken_lineage_is_named_and_the_task_stays(home, make_task, content, reason):
    folder = make_task("news", v1=0.5, v2=0.9)
    file = folder / "versions" / "v2" / "lineage.yaml"
    file.write_text(content, encoding="utf-8")
    listed = list_tasks(home)
    assert (listed.tasks[0].best, listed.tasks[0].latest, listed.tasks[0].latest_value) == ("v1", "v2", None)
    assert listed.unreadable == {"news/v2": f"{file} is not a valid lineage: {reason}"}


def test_an_empty_lineage_has_no_results_yet(home, make_task):
    folder = make_task("news", v1=None)
    (folder / "versions" / "v1" / "lineage.yaml").write_text("results:\n", encoding="utf-8")
    listed = list_tasks(home)
    assert (listed.tasks[0].latest_value, listed.unreadable) == (None, {})


def test_a_copied_folder_is_listed_under_its_own_name(home, make_task):
    shutil.copytree(make_task("news"), home / "news-2")
    assert [task.name for task in list_tasks(home).tasks] == ["news", "news-2"]


def test_a_folder_whose_name_no_operation_takes_is_listed_with_the_cure(home, make_task):
    shutil.copytree(make_task("news"), home / "My News")
    listed = list_tasks(home)
    assert [task.name for task in listed.tasks] == ["news"]
    assert "My News" in listed.unreadable
    assert 'for example "my-news"' in listed.unreadable["My News"]


def test_unfinished_and_other_folders_are_no_tasks(home, make_task):
    shutil.copytree(make_task("news"), home / ".mail.x.tmp")
    (home / "notes").mkdir()
    (home / "README.md").write_text("ours", encoding="utf-8")
    listed = list_tasks(home)
    assert ([task.name for task in listed.tasks], listed.unreadable) == (["news"], {})


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux takes file names that are no UTF-8")
def test_a_folder_name_that_is_no_utf_8_does_not_disturb(home, make_task, read_by: ReadBy):
    shutil.copytree(make_task("news"), home / os.fsdecode(b"caf\xe9"))
    listed = list_tasks(home)
    assert ([task.name for task in listed.tasks], list(listed.unreadable)) == (["news"], ["caf\\udce9"])
    assert read_by(list_tasks, home) == []


@pytest.mark.skipif(os.name != "posix", reason="needs symbolic links")
def test_a_task_file_that_cannot_be_opened_is_listed_with_its_reason(home, make_task):
    make_task("news")
    (home / "loop").mkdir()
    (home / "loop" / "task.yaml").symlink_to("task.yaml")
    listed = list_tasks(home)
    assert [task.name for task in listed.tasks] == ["news"]
    assert listed.unreadable["loop"].startswith(f"{home / 'loop' / 'task.yaml'} cannot be read: ")


def test_a_missing_tasks_folder_is_an_empty_list_and_nothing_is_created(home):
    assert list_tasks(home) == TaskList(home=str(home), tasks=[])
    assert list(home.parent.iterdir()) == []


def test_a_folder_without_tasks_does_not_become_a_project(home):
    home.mkdir()
    assert list_tasks(home).tasks == []
    assert list(home.parent.iterdir()) == [home]


def test_a_tasks_folder_that_is_a_file_is_an_error(home):
    home.write_text("", encoding="utf-8")
    with pytest.raises(NotValid, match="is a file; the tasks folder is expected there"):
        list_tasks(home)


def truncate(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def replace_with_text(file: Path) -> None:
    file.write_text("this is no database\n" * 1000, encoding="utf-8")


def change_shape(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("DROP TABLE nlp_skills_tasks")
        connection.execute("CREATE TABLE nlp_skills_tasks (task TEXT)")
        connection.commit()


def spoil_entries(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute("""UPDATE nlp_skills_tasks SET entry = '{"summary": 1}'""")
        connection.commit()


@pytest.mark.parametrize("damage", [Path.unlink, truncate, replace_with_text, change_shape, spoil_entries])
def test_a_damaged_index_is_built_again_with_the_same_answer(home, make_task, index_file, damage, read_by):
    make_task("news", v1=0.5)
    make_task("tickets")
    before = list_tasks(home)
    damage(index_file)
    assert list_tasks(home) == before
    assert read_by(list_tasks, home) == []
    assert [name for _, name in rows(index_file)] == ["news", "tickets"]


def test_without_a_place_for_the_index_the_answer_is_the_same(home, make_task, read_by):
    make_task("news", v1=0.5)
    before = list_tasks(home)
    shutil.rmtree(home.parent / ".nlp-skills")
    (home.parent / ".nlp-skills").write_text("in the way", encoding="utf-8")
    assert list_tasks(home) == before
    assert read_by(list_tasks, home) == [
        "the index cannot be read; reading every task instead",
        "reading news",
        "the index cannot be written; the next list reads these tasks again",
    ]
    assert (home.parent / ".nlp-skills").read_text(encoding="utf-8") == "in the way"


def test_an_index_that_another_process_holds_is_done_without(
    home, make_task, index_file, monkeypatch, read_by
):
    monkeypatch.setattr(index_store, "WAIT_SECONDS", 0)
    make_task("news")
    list_tasks(home)
    make_task("tickets")
    with closing(sqlite3.connect(index_file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert [task.name for task in list_tasks(home).tasks] == ["news", "tickets"]
        other.execute("ROLLBACK")
    assert read_by(list_tasks, home) == ["reading tickets"]
    assert read_by(list_tasks, home) == []


def test_rebuilding_believes_the_files_alone(home, make_task, index_file):
    make_task("news", v1=0.5)
    truth = list_tasks(home)
    with closing(sqlite3.connect(index_file)) as connection:
        connection.execute("UPDATE nlp_skills_tasks SET entry = replace(entry, '0.5', '0.99')")
        connection.execute(
            "INSERT INTO nlp_skills_tasks VALUES (?, 'gone', '1', '{}')", (str(home.resolve()),)
        )
        connection.commit()
    assert list_tasks(home).tasks[0].best_value == 0.99  # the index was believed
    assert rebuild_index(home) == truth
    assert list_tasks(home) == truth
    assert [name for _, name in rows(index_file)] == ["news"]


def test_many_processes_may_list_at_once(home, make_task):
    for number in range(20):
        make_task(f"task-{number}", v1=number / 20)
    script = (
        "import sys\nfrom pathlib import Path\nfrom nlp_skills.task.index import list_tasks, rebuild_index\n"
        "home = Path(sys.argv[1])\n"
        "for turn in range(10):\n"
        "    assert len((rebuild_index if turn % 3 == 0 else list_tasks)(home).tasks) == 20\n"
        "print(list_tasks(home).model_dump_json())"
    )
    command = [sys.executable, "-W", "error", "-c", script, str(home)]
    running = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)
    ]
    ended = [(process.communicate(timeout=120), process.returncode) for process in running]
    assert [(errors, code) for (_, errors), code in ended] == [("", 0)] * 4
    answers = [TaskList.model_validate_json(answer) for (answer, _), _ in ended]
    assert answers == [list_tasks(home)] * 4


@pytest.mark.parametrize(
    "url",
    [
        "hunter2",
        "postgresql://me:hunter2@host:port/db",
        "mysql://me:hunter2@host/db",
        "oracle://me:hunter2@h/d",
    ],
)
def test_an_unusable_index_url_is_refused_without_repeating_it(home, make_task, monkeypatch, url):
    make_task("news")
    monkeypatch.setenv(URL_VARIABLE, url)
    with pytest.raises(NotValid, match=URL_VARIABLE) as caught:
        list_tasks(home)
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_postgresql_without_its_driver_names_the_extra(home, make_task, monkeypatch):
    make_task("news")
    monkeypatch.setenv(URL_VARIABLE, "postgresql://me:hunter2@127.0.0.1/db")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(MissingExtra, match=r"uv sync .*--extra team") as caught:
        list_tasks(home)
    assert "hunter2" not in str(caught.value)


def test_a_database_that_was_named_is_never_deleted(home, make_task, monkeypatch, tmp_path):
    make_task("news")
    theirs = tmp_path / "theirs.sqlite"
    with closing(sqlite3.connect(theirs)) as connection:
        connection.execute("CREATE TABLE nlp_skills_tasks (precious TEXT)")
        connection.execute("INSERT INTO nlp_skills_tasks VALUES ('data')")
        connection.commit()
    monkeypatch.setenv(URL_VARIABLE, f"sqlite:///{theirs}")
    assert [task.name for task in list_tasks(home).tasks] == ["news"]
    with closing(sqlite3.connect(theirs)) as connection:
        assert connection.execute("SELECT precious FROM nlp_skills_tasks").fetchall() == [("data",)]


def test_yaml_of_a_lineage_is_read_as_it_is_written(home, make_task):
    folder = make_task("news", v1=None)
    content = to_yaml({"version": "v1", "results": {"macro_f1": 1, "accuracy": 0.25}})
    (folder / "versions" / "v1" / "lineage.yaml").write_bytes(content)
    assert list_tasks(home).tasks[0].best_value == 1.0
