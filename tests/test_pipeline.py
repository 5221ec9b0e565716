"""The whole way in one call: what it refuses before any work is done, and whose work it leaves alone."""

import json
from pathlib import Path

import pytest

from nlp_skills.data.regenerate import convert_data, regenerate_data
from nlp_skills.data.sources.source import DataSources
from nlp_skills.data.sourcing import add_source
from nlp_skills.errors import AlreadyExists, NotFound, NotValid
from nlp_skills.pipeline import against_parent, name_for_commands, prepare, quickstart, run, start
from nlp_skills.records import silent
from nlp_skills.task.task import TaskType, create_task
from nlp_skills.training.new_version import create_version

pytest.importorskip("torch", reason="the whole way needs the train extra")


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A tasks folder with a task named support that somebody has made."""
    create_task(tmp_path / "tasks", "support", type=TaskType.QA, goal="Answer.")
    return tmp_path / "tasks"


def files(home: Path) -> dict[str, bytes]:
    return {p.relative_to(home).as_posix(): p.read_bytes() for p in home.rglob("*") if p.is_file()}


def test_the_quickstart_leaves_a_task_of_the_same_name_alone(home: Path) -> None:
    before = files(home)
    with pytest.raises(AlreadyExists, match=r"a task of your own.* nlp-skills quickstart --name sample"):
        quickstart(home)
    assert files(home) == before


def test_start_says_how_to_go_on_with_a_task_that_is_there(home: Path, tmp_path: Path) -> None:
    data = tmp_path / "Support.csv"
    data.write_text("text,label\na,b\n", encoding="utf-8")
    before = files(home)
    with pytest.raises(AlreadyExists, match=r"Go on with it: nlp-skills run support\."):
        start(home, task=TaskType.CLASSIFICATION, data=str(data))
    assert files(home) == before


def test_start_finds_a_misspelt_base_model_before_it_makes_anything(home: Path, tmp_path: Path) -> None:
    data = tmp_path / "reviews.csv"
    data.write_text("text,label\na,b\n", encoding="utf-8")
    with pytest.raises(NotFound, match="The base model 'smollm' is no folder"):
        start(home, task=TaskType.CLASSIFICATION, data=str(data), base_model="smollm")
    assert not (home / "reviews").exists()


def test_what_the_checks_find_is_mended_in_the_task_which_stays(home: Path, tmp_path: Path) -> None:
    rows = [
        {"text": f"Message {n} to the shop. Key: AKIAJ7QX2MVD4KPN5TWB", "label": "ab"[n % 2]}
        for n in range(30)
    ]
    data = tmp_path / "reviews.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    with pytest.raises(NotValid, match=r"the data has errors\. DATA-SECRET: ") as caught:
        start(home, task=TaskType.CLASSIFICATION, data=str(data))
    assert str(caught.value).endswith(
        f'nlp-skills fix-data reviews. Then go on with: nlp-skills run reviews --home "{home}"'
    )
    assert (home / "reviews" / "data" / "validation.json").is_file()


def test_run_takes_a_misspelt_folder_for_no_other_task(home: Path) -> None:
    with pytest.raises(NotFound, match="No task named 'elsewhere/support'"):
        run(home, "elsewhere/support")


def test_versions_that_cannot_be_compared_are_no_reason_to_stop(home: Path, tmp_path: Path) -> None:
    task = home / "support"
    rows = [{"question": f"How much is {n} and {n}?", "answer": f"{2 * n}"} for n in range(20)]
    data = tmp_path / "sums.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    add_source(task, str(data))
    regenerate_data(task)
    create_version(task)
    create_version(task, epochs=5)
    told: list[str] = []
    assert against_parent(task, "v1", told.append) is None
    assert told == []
    assert against_parent(task, "v2", told.append) is None
    assert told == [
        "v2 is not compared with v1. support v1 was not evaluated."
        " Run: nlp-skills evaluate-version support --version v1"
    ]


def test_a_task_in_another_tasks_folder_is_named_with_it(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NLP_SKILLS_HOME", raising=False)
    monkeypatch.chdir(home.parent)
    assert name_for_commands(home / "support") == name_for_commands(Path("tasks/support")) == "support"
    monkeypatch.chdir(home)
    assert name_for_commands(home / "support") == f'support --home "{home}"'
    monkeypatch.setenv("NLP_SKILLS_HOME", str(home))
    assert name_for_commands(home / "support") == "support"


def test_more_rows_to_watch_with_than_to_learn_from_are_told(home: Path, tmp_path: Path) -> None:
    task = home / "support"
    rows = [{"question": f"How much is {n} and {n}?", "answer": f"{2 * n}"} for n in range(40)]
    data = tmp_path / "sums.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    add_source(task, str(data))
    file = task / "data_source.yaml"
    sources = DataSources.load(file)
    sources.with_changes(split={"train": 5, "valid": 20, "test": 10}).save(file)
    told: list[str] = []
    prepare(task, silent, told.append)
    assert "Watching with 20 rows takes longer than learning" in told[0]
    sources.with_changes(split={"train": 20, "valid": 5, "test": 10}).save(file)
    convert_data(task)
    prepare(task, silent, told.append)
    assert "Watching" not in told[2]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("text,label\na,b\n", r"no row is left to test with \(1 row to learn from\)\. Bring more data"),
        ("text\na\nb\n", r"reviews\.csv\): there is text .* --text COLUMN --label COLUMN"),
    ],
)
def test_start_refuses_a_file_it_can_do_nothing_with_and_leaves_no_task(
    home: Path, tmp_path: Path, table: str, said: str
) -> None:
    data = tmp_path / "reviews.csv"
    data.write_text(table, encoding="utf-8")
    with pytest.raises(NotValid, match=said):
        start(home, task=TaskType.CLASSIFICATION, data=str(data))
    assert not (home / "reviews").exists()
