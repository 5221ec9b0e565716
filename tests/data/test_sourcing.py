"""Adding a source: every kind, looked at first, saved without touching what a person wrote."""

import json
import re
import shlex
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import get_args

import pytest
from typer.testing import CliRunner

from nlp_skills.cli import _value, app
from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.sources.source import DatabaseSource, DataSources
from nlp_skills.data.sources.web.request import RequestFailed
from nlp_skills.data.sourcing import SETTINGS_EXAMPLES, AddedSource, SourceType, add_source, preview_source
from nlp_skills.errors import AlreadyExists, NotFound, NotValid
from nlp_skills.records import read_mapping
from nlp_skills.tables import show
from nlp_skills.task.task import TaskType, create_task
from nlp_skills.task.template import FILES


@pytest.fixture
def task(tmp_path: Path) -> Path:
    create_task(tmp_path / "tasks", "support", type=TaskType.CLASSIFICATION, goal="Find the team.")
    return tmp_path / "tasks" / "support"


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """30 tickets; each is newer than the one before."""
    with closing(sqlite3.connect(tmp_path / "shop.sqlite")) as connection, connection:
        connection.execute("CREATE TABLE tickets (number INTEGER PRIMARY KEY, body TEXT, team TEXT)")
        insert(connection, 1, 30)
    return tmp_path / "shop.sqlite"


def insert(connection: sqlite3.Connection, first: int, last: int) -> None:
    rows = [(n, f"ticket {n} about {n * 7}", "ab"[n % 2]) for n in range(first, last + 1)]
    connection.executemany("INSERT OR REPLACE INTO tickets VALUES (?, ?, ?)", rows)


QUERY = "SELECT number, body AS text, team AS label FROM tickets ORDER BY number"


def test_the_examples_in_a_new_task_are_true(tmp_path: Path):
    text = (FILES / "data_source.yaml").read_text(encoding="utf-8")
    lines = [line.removeprefix("# ") for line in text.split("\nsources: []")[0].splitlines()]
    examples = lines[lines.index("sources:") :]
    file = tmp_path / "examples.yaml"
    file.write_text("\n".join("" if line == "#" else line for line in examples), encoding="utf-8")
    kinds = [source.type for source in DataSources.load(file).sources]
    assert kinds == ["file", "database", "api", "web_scrape", "llm_generated", "hub"]
    settings = text[text.index("\nsources: []") + 1 :]
    file.write_text(re.sub(r"^# (?=\w+:)", "", settings, flags=re.MULTILINE), encoding="utf-8")
    wanted = DataSources.load(file)
    assert (wanted.near_duplicates, wanted.conflicts, wanted.retention.days) == (0.9, "first", 90)
    assert DataSources.load(FILES / "data_source.yaml").sources == []


def test_adding_a_source_changes_nothing_else_in_the_file(task: Path, tmp_path: Path):
    file = task / "data_source.yaml"
    before = file.read_text(encoding="utf-8")
    table = tmp_path / "reviews.csv"
    table.write_text("text,label\ngood,a\nbad,b\n", encoding="utf-8")
    add_source(task, str(table))
    after = file.read_text(encoding="utf-8")
    assert after == before.replace(
        "sources: []\n", f"sources:\n- type: file\n  name: reviews\n  path: {table}\n"
    )
    add_source(task, str(table), name="second")
    assert file.read_text(encoding="utf-8").startswith(after.split("deduplicate")[0])


def test_a_database_is_added_by_its_settings_and_read(task: Path, database: Path):
    added = add_source(
        task,
        type="database",
        name="tickets",
        label="label",
        settings={"connection": f"sqlite:///{database}", "query": QUERY, "params": {}},
    )
    assert added == AddedSource(
        name="tickets",
        type="database",
        settings={
            "columns": {"label": "label"},
            "connection": f"sqlite:///{database}",
            "query": QUERY,
        },
        reason="a table with the texts in 'text' and the labels in 'label'",
        columns={"text": "text", "label": "label"},
        example=[
            {"role": "system", "content": "Find the team. Classify the text. Answer with the label only."},
            {"role": "user", "content": "ticket 1 about 7"},
            {"role": "assistant", "content": "b"},
        ],
    )
    assert isinstance(DataSources.load(task / "data_source.yaml").sources[0], DatabaseSource)
    assert [row["number"] for row in preview_source(task).rows] == [1, 2, 3, 4, 5]
    assert regenerate_data(task).sources["tickets"].rows == 30


def test_a_source_reads_on_while_its_settings_stay_and_from_the_beginning_when_they_change(
    task: Path, database: Path
):
    settings = {
        "connection": f"sqlite:///{database}",
        "query": QUERY,
        "since": "number",
        "columns": {"id": "number"},
    }
    add_source(task, type="database", name="tickets", settings=settings)
    assert regenerate_data(task).sources["tickets"].since == 30
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("DELETE FROM tickets WHERE number = 3")
        insert(connection, 31, 34)
    read_on = regenerate_data(task)
    assert (read_on.sources["tickets"].since, read_on.sources["tickets"].rows) == (34, 34)
    assert (read_on.added, read_on.removed, read_on.changed) == (4, 0, 0)
    file = task / "data_source.yaml"
    sources = DataSources.load(file)
    other = sources.sources[0].with_changes(query=QUERY.replace("tickets", "tickets WHERE number > 0"))
    sources.with_changes(sources=[other.model_dump()]).save(file)
    anew = regenerate_data(task)
    assert (anew.sources["tickets"].rows, anew.removed, anew.added) == (33, 1, 0)


def test_a_source_whose_raw_rows_were_touched_or_that_was_cut_reads_from_the_beginning(
    task: Path, database: Path
):
    settings = {"connection": f"sqlite:///{database}", "query": QUERY, "since": "number"}
    add_source(task, type="database", name="tickets", settings=settings)
    regenerate_data(task)
    raw = task / "data" / "raw" / "tickets.jsonl"
    lines = raw.read_bytes().splitlines(keepends=True)
    raw.write_bytes(b"".join(lines[:10]))
    assert regenerate_data(task).sources["tickets"].rows == 30
    add_source(task, type="database", name="few", settings={**settings, "max_rows": 20})
    few = regenerate_data(task).sources["few"]
    assert (few.rows, few.since) == (20, None)
    assert few.request["rows_read"] == 20, "a reading that is cut ends in order"


def test_rows_that_a_model_has_still_to_write_are_added_without_paying(task: Path):
    added = add_source(
        task,
        type="llm_generated",
        name="synthetic",
        settings={
            "provider": "ollama",
            "model": "nobody",
            "prompt_template": "Write {count} messages.",
            "count": 10,
            "schema": {"text": "string", "label": "string"},
        },
    )
    assert (added.example, added.warnings) == ([], [])
    assert added.note.startswith("synthetic would send 1 request to ollama (nobody), at most 3 with")
    assert read_mapping(task / "data_source.yaml")["sources"][0]["schema"] == {
        "text": "string",
        "label": "string",
    }
    assert not (task / "data" / "cache").exists()


def test_what_is_wrong_with_a_source_is_named_and_nothing_is_saved(
    task: Path, database: Path, tmp_path: Path
):
    before = (task / "data_source.yaml").read_bytes()
    good = {"connection": f"sqlite:///{database}", "query": QUERY}
    wrong = [
        (
            {"settings": {"connection": "x"}, "type": "database"},
            NotValid,
            "A source of type database cannot be made of this: query: missing. For example: nlp-skills add-source"
            " TASK --type database --settings connection=",
        ),
        ({"settings": {**good, "qery": ""}, "type": "database"}, NotValid, 'did you mean "query"'),
        (
            {"settings": {**good, "query": "DROP TABLE tickets"}, "type": "database"},
            NotValid,
            "Source database",
        ),
        ({"settings": good, "type": "database", "text": "txet"}, NotValid, "Source database: columns.text"),
        ({"settings": good, "type": "database", "copy": True}, NotValid, "copy keeps a single file"),
        ({}, NotValid, "a source of type file needs a path"),
        ({"path": str(tmp_path / "none" / "*.csv")}, NotFound, "No file matches"),
    ]
    for given, error, said in wrong:
        with pytest.raises(error, match=said):
            add_source(task, **given)
    secret = {**good, "connection": "postgresql://me:hunter2@db/shop"}
    with pytest.raises(NotValid, match="literal password") as caught:
        add_source(task, type="database", settings=secret)
    assert "hunter2" not in str(caught.value)
    assert (task / "data_source.yaml").read_bytes() == before
    add_source(task, type="database", settings=good)
    with pytest.raises(AlreadyExists, match="has a source named 'database' already"):
        add_source(task, type="database", settings=good)


def test_the_example_of_each_type_is_a_source_of_that_type():
    assert set(SETTINGS_EXAMPLES) == set(get_args(SourceType))
    for kind, example in SETTINGS_EXAMPLES.items():
        words = [word for word in shlex.split(example) if word != "--settings"]
        settings = _value("settings", words)
        path = {"path": "rows.csv"} if kind == "file" else {}
        source = {"name": "made", "type": kind, **path, **settings}
        assert DataSources.parse({"sources": [source]}, kind).sources[0].type == kind


def test_settings_without_a_value_are_refused_with_an_example_of_that_type(task: Path):
    home = str(task.parent)
    for words, example in (
        (
            ["--type", "hub"],
            "--settings foo: name=value is expected, for example --settings dataset=PolyAI/banking77",
        ),
        ([], "--settings foo: name=value is expected, for example --settings max_rows=1000"),
        (["--type", "nope"], "Invalid value for '--type': 'nope' is not one of 'file', 'database',"),
    ):
        result = CliRunner().invoke(
            app, ["add-source", "support", "--settings", "foo", *words, "--home", home]
        )
        assert (result.exit_code, example in " ".join(result.stderr.split())) == (2, True), result.stderr


def test_rows_that_cannot_be_used_are_told_when_the_source_is_added(task: Path, tmp_path: Path):
    table = tmp_path / "reviews.csv"
    table.write_text("text,label\ngood,\nbad,b\n", encoding="utf-8")
    added = add_source(task, str(table))
    assert added.warnings == [
        "1 row of the first 2 cannot be used. row 1: the label is empty (column 'label')."
    ]
    assert added.example[-1] == {"role": "assistant", "content": "b"}
    table.write_text("text,label\ngood,\nbad,\n", encoding="utf-8")
    with pytest.raises(
        NotValid, match=r"^Source other \(.*reviews\.csv\): 2 rows of the first 2 cannot be used"
    ):
        add_source(task, str(table), name="other", text="text", label="label")


def test_what_is_added_is_shown_with_what_was_set_and_one_row_as_it_will_look(
    task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "rows.csv").write_text("text,label\ngood,a\nbad,b\n", encoding="utf-8")
    monkeypatch.setenv("COLUMNS", str(80 + len(str(tmp_path))))  # the path in one line, however long it is
    show(add_source(task, str(tmp_path / "rows.csv"), side="train"))
    assert [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()] == [
        "name rows",
        "type file",
        "side train",
        *[f"path {tmp_path / 'rows.csv'}"],
        "columns text = text, label = label",
        "",
        "A table with the texts in 'text' and the labels in 'label'. The first row becomes:",
        "system: Find the team. Classify the text. Answer with the label only.",
        "user: good",
        "assistant: a",
    ]


def test_a_preview_shows_tool_calls_and_lists_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    create_task(tmp_path / "tasks", "tools", type=TaskType.TOOL_USE, goal="Help.")
    task = tmp_path / "tasks" / "tools"
    call = {"type": "function", "function": {"name": "weather", "arguments": {"city": "台北"}}}
    turns = [{"role": "user", "content": "雨？"}, {"role": "assistant", "tool_calls": [call]}]
    (tmp_path / "rows.jsonl").write_text(json.dumps({"messages": turns}), encoding="utf-8")
    add_source(task, str(tmp_path / "rows.jsonl"))
    show(preview_source(task))
    out = "".join(capsys.readouterr().out.split())
    assert f"assistant:{json.dumps([call], ensure_ascii=False)}".replace(" ", "") in out
    assert "'" not in out.partition("messages=messages")[2]


def test_both_answers_of_a_preference_are_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    create_task(tmp_path / "tasks", "pairs", type=TaskType.PREFERENCE, goal="Help.")
    task = tmp_path / "tasks" / "pairs"
    row = {"prompt": "a?", "chosen": "yes", "rejected": "no"}
    (tmp_path / "rows.jsonl").write_text(json.dumps(row), encoding="utf-8")
    show(add_source(task, str(tmp_path / "rows.jsonl")))
    assert capsys.readouterr().out.splitlines()[-4:] == [
        "system: Help.",
        "user: a?",
        "chosen: yes",
        "rejected: no",
    ]


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", ": it is empty; write there sources: …"),
        ("sources:\n-\n", ", line 2: source 1: it is empty; write there type: and the fields of that type"),
        (
            "sources:\n- {type: flie, name: x}\n",
            ", line 2: source x: there is no type 'flie' (did you mean \"file\"?); choose from: file, database, api,"
            " web_scrape, llm_generated, hub",
        ),
        (
            "sources:\n- {name: x}\n",
            ", line 2: source x: type: missing; choose from: file, database, api, web_scrape, llm_generated, hub",
        ),
    ],
)
def test_what_is_missing_in_data_source_yaml_is_said_in_plain_words(task: Path, written: str, said: str):
    (task / "data_source.yaml").write_text(written, encoding="utf-8")
    with pytest.raises(NotValid) as error:
        preview_source(task)
    assert str(error.value) == f"{task / 'data_source.yaml'}{said}"


def test_a_preview_cuts_long_values_and_says_how_long_they_are(tmp_path: Path) -> None:
    task = tmp_path / "tasks" / "long"
    create_task(tmp_path / "tasks", "long", type=TaskType.QA, goal="Answer.")
    rows = [{"question": f"why {n} " * 5_000, "answer": "because", "more": ["x" * 600]} for n in range(9)]
    (task / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    add_source(task, str(task / "rows.jsonl"))
    found = preview_source(task)
    assert [row["question"][-20:] for row in found.rows] == ["… (30,000 characters)"[-20:]] * 5
    assert found.rows[0]["more"].endswith("… (604 characters)")
    assert found.rows[0]["answer"] == "because"
    assert len(found.to_bytes()) < 10_000


def test_a_cure_is_an_option_while_the_source_does_not_stand_in_the_file_yet(task: Path, tmp_path: Path):
    odd = tmp_path / "odd.csv"
    odd.write_bytes(b"text,label\ncaf\xe9,a\n")
    with pytest.raises(NotValid) as error:
        add_source(task, str(odd))
    assert str(error.value) == (
        f"{odd}: its encoding cannot be told for sure; it is not UTF-8. Give its encoding, for example --encoding cp1252"
        " (others are utf-8, utf-16, gb18030, cp950, cp932)."
    )
    with pytest.raises(NotValid) as error:
        add_source(task, type="api", settings={"endpoint": "http://127.0.0.1:8765/rows"})
    assert str(error.value).endswith("If it is meant, add: --settings 'private_hosts=[127.0.0.1:8765]'")
    add_source(task, str(odd), encoding="cp1252")
    sources = DataSources.load(task / "data_source.yaml").sources
    other = [{**source.model_dump(mode="json"), "encoding": None} for source in sources]
    DataSources(sources=other).save(task / "data_source.yaml")  # pyright: ignore[reportArgumentType]
    with pytest.raises(NotValid, match=r"Set encoding: for this source in data_source\.yaml"):
        regenerate_data(task)


def test_a_name_that_is_taken_says_how_the_other_is_changed(task: Path, tmp_path: Path):
    table = tmp_path / "reviews.csv"
    table.write_text("text,label\ngood,a\nbad,b\n", encoding="utf-8")
    add_source(task, str(table))
    with pytest.raises(AlreadyExists) as error:
        add_source(task, str(table), label="label")
    assert str(error.value) == (
        "support has a source named 'reviews' already. To change it or take it out, edit sources: in"
        f" {task / 'data_source.yaml'}; to add another one, give it a name of its own: --name NAME."
    )


def test_a_list_among_the_settings_may_be_written_with_commas(task: Path):
    with pytest.raises(RequestFailed) as error:
        add_source(task, type="web_scrape", settings={"urls": "ftp://a.example/,ftp://b.example/"})
    for url in ("ftp://a.example/", "ftp://b.example/"):
        assert f"{url} is no http or https URL" in str(error.value)


def test_a_folder_is_answered_with_a_pattern(task: Path, tmp_path: Path):
    with pytest.raises(
        NotValid, match=r"is a folder\. Name one file in it, or a pattern of files in quotes: '.*/\*'$"
    ):
        add_source(task, str(tmp_path))


def test_labels_that_the_task_does_not_know_are_told_with_their_counts(task: Path, tmp_path: Path):
    first, later = tmp_path / "first.csv", tmp_path / "later.csv"
    first.write_text(
        "text,label\n" + "".join(f"one {n},{'ab'[n % 2]}\n" for n in range(20)), encoding="utf-8"
    )
    add_source(task, str(first))
    assert regenerate_data(task).warnings == []
    later.write_text(
        "text,label\n" + "".join(f"two {n},{'acc'[n % 3]}\n" for n in range(9)), encoding="utf-8"
    )
    said = (
        "'c' (6 rows) is not among the labels of task.yaml, so the prompt does not offer it. Add it to labels: there, or"
        " mend the label column in the source."
    )
    assert add_source(task, str(later)).warnings == [said]
    assert regenerate_data(task).warnings == [said]


def test_adding_says_which_columns_became_what(
    task: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    table = tmp_path / "reviews.csv"
    table.write_text("id,text,label\n1,good,a\n2,bad,b\n", encoding="utf-8")
    show(add_source(task, str(table)))
    assert "columns  text = text, label = label, id = id" in capsys.readouterr().out


def test_an_answer_that_two_columns_could_be_is_asked_for(tmp_path: Path):
    create_task(tmp_path / "tasks", "names", type=TaskType.EXTRACTION, goal="Find the company.")
    task = tmp_path / "tasks" / "names"
    table = tmp_path / "news.csv"
    table.write_text("text,entity,label\nApple rises,Apple,up\nIntel falls,Intel,down\n", encoding="utf-8")
    with pytest.raises(
        NotValid, match=r"both 'entity' and 'label' could be the answer.*--text COLUMN --label COLUMN"
    ):
        add_source(task, str(table))
    assert add_source(task, str(table), label="entity").example[-1]["content"] == "Apple"


def test_a_preview_of_a_pattern_shows_the_columns_of_the_files_only(task: Path, tmp_path: Path):
    for name in "ab":
        (tmp_path / f"{name}.csv").write_text("text,label\ngood,a\nbad,b\n", encoding="utf-8")
    add_source(task, str(tmp_path / "*.csv"), name="both")
    assert preview_source(task).rows[0] == {"text": "good", "label": "a"}


def test_a_file_of_a_pattern_that_is_empty_is_left_out_with_a_warning(task: Path, tmp_path: Path):
    for name, rows in {"a": "", "b": "good,a\nbad,b\n" * 10}.items():
        (tmp_path / f"{name}.csv").write_text(f"text,label\n{rows}", encoding="utf-8")
    (tmp_path / "c.csv").touch()
    said = ["Source both: 2 files without rows left out: a.csv, c.csv."]
    before = add_source(task, str(tmp_path / "*.csv"), name="both").warnings
    assert [re.sub(r"[^ ]*/", "", warning) for warning in before] == said
    assert [re.sub(r"[^ ]*/", "", warning) for warning in regenerate_data(task).warnings[:1]] == said
    (tmp_path / "b.csv").write_text("text,label\n", encoding="utf-8")
    with pytest.raises(NotValid, match=r"No file that .*\*\.csv matches holds rows"):
        regenerate_data(task)


def test_a_server_that_cannot_be_reached_is_named_with_its_source_and_the_data_stay(
    task: Path, tmp_path: Path
):
    table = tmp_path / "reviews.csv"
    table.write_text(
        "text,label\n" + "".join(f"one {n},{'ab'[n % 2]}\n" for n in range(20)), encoding="utf-8"
    )
    add_source(task, str(table))
    before = regenerate_data(task)
    sources = DataSources.load(task / "data_source.yaml")
    api = {
        "type": "api",
        "name": "far",
        "endpoint": "http://127.0.0.1:1/",
        "private_hosts": ["127.0.0.1:1"],
        "retries": 1,
    }
    rows = [source.model_dump(mode="json") for source in sources.sources]
    sources.with_changes(sources=[*rows, api]).save(task / "data_source.yaml")
    heard: list[str] = []
    with pytest.raises(RequestFailed) as error:
        regenerate_data(task, progress=lambda message, done, total: heard.append(message))
    assert str(error.value).startswith("Source far: http://127.0.0.1:1/ could not be fetched in 2 attempts: ")
    assert str(error.value).endswith(" The data stay as they were.")
    assert [m for m in heard if re.search(r"^http://127\.0\.0\.1:1/: .*; try 2 of 2 in \d+ s$", m)]
    assert read_mapping(task / "data" / "data_snapshot.json")["source_hash"] == before.source_hash
