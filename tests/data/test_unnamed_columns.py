"""Columns without a name that hold text are told of; what they hold is not guessed at."""

from pathlib import Path

import pytest

from nlp_skills.data.regenerate import convert_data, regenerate_data
from nlp_skills.data.sourcing import add_source, preview_source
from nlp_skills.task.task import TaskType, create_task


@pytest.fixture
def task(tmp_path: Path) -> Path:
    create_task(tmp_path / "tasks", "spam", type=TaskType.CLASSIFICATION, goal="Find spam.")
    return tmp_path / "tasks" / "spam"


def told(
    rows: int, name: str, columns: str = "3 columns without a name (column_3, column_4, column_5) hold"
) -> str:
    held = "they are" if columns.startswith("3") else "it is"
    counted = f"{rows} row" if rows == 1 else f"{rows} rows"
    return (
        f"Source {name}: {columns} text in {counted}; {held} not used. Where a text with commas was written without"
        " quotes, its rest stands there: put such texts into quotes. If it is something else, give the column a name"
        " in the first line."
    )


def test_text_that_goes_on_in_columns_without_a_name_is_told_wherever_the_rows_are_looked_at(
    task: Path, shared_data: Path
):
    file = shared_data / "classification" / "sms_spam_latin1.csv"
    said = [told(50, "sms_spam_latin1")]
    assert add_source(task, str(file), encoding="cp1252").warnings == said
    assert preview_source(task).warnings == said
    assert regenerate_data(task).warnings == said
    assert convert_data(task).warnings == said, "without reading the file again"


def test_columns_of_several_files_are_counted_together(task: Path, tmp_path: Path):
    for name in "ab":
        rows = "".join(f"hello {name} {n},{'xy'[n % 2]},{'more' if n < 2 else ''}\n" for n in range(20))
        (tmp_path / f"{name}.csv").write_text(f"text,label,\n{rows}", encoding="utf-8")
    columns = "1 column without a name (column_3) holds"
    assert add_source(task, str(tmp_path / "*.csv"), name="both").warnings == [told(4, "both", columns)]


def test_a_column_without_a_name_that_is_empty_or_used_is_no_matter(task: Path, tmp_path: Path):
    empty = tmp_path / "empty.csv"
    empty.write_text(
        "text,label,\n" + "".join(f"hello {n},{'xy'[n % 2]},\n" for n in range(20)), encoding="utf-8"
    )
    assert add_source(task, str(empty)).warnings == []
    used = tmp_path / "used.csv"
    used.write_text(",label\n" + "".join(f"hello {n},{'xy'[n % 2]}\n" for n in range(20)), encoding="utf-8")
    assert add_source(task, str(used), text="column_1").warnings == []
