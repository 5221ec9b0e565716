"""What a regeneration says of each source, and of sides that stay empty."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from nlp_skills.data.regenerate import convert_data, regenerate_data
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.data.sources.source import DataSources
from nlp_skills.data.sourcing import add_source
from nlp_skills.tables import show
from nlp_skills.task.task import TaskType, create_task


@pytest.fixture
def task(tmp_path: Path) -> Path:
    create_task(tmp_path / "tasks", "support", type=TaskType.CLASSIFICATION, goal="Find the team.")
    return tmp_path / "tasks" / "support"


def numbered(first: int, last: int, label: str = "") -> list[dict[str, Any]]:
    return [{"text": f"message {n} about {n * 7}", "label": label or "ab"[n % 2]} for n in range(first, last)]


def add(task: Path, name: str, rows: Iterable[dict[str, Any]], **options: Any) -> None:
    file = task.parent.parent / f"{name}.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    add_source(task, str(file), **options)


def change(task: Path, **settings: Any) -> None:
    DataSources.load(task / "data_source.yaml").with_changes(**settings).save(task / "data_source.yaml")


def yields(snapshot: DataSnapshot) -> dict[str, tuple[int, int, int, int | None]]:
    return {n: (s.rows, s.unusable, s.dropped, s.used) for n, s in snapshot.sources.items()}


def test_each_source_says_how_many_rows_it_gave_and_how_many_are_left(
    task: Path, capsys: pytest.CaptureFixture[str]
):
    add(task, "first", [*numbered(0, 40), {"text": "no label"}, {"text": "none either"}])
    add(task, "second", numbered(30, 60))
    change(task, skip_bad_rows=True)
    snapshot = regenerate_data(task)
    assert yields(snapshot) == {"first": (42, 2, 0, 40), "second": (30, 0, 10, 20)}
    assert snapshot.warnings == []
    assert yields(convert_data(task)) == yields(snapshot)
    show(snapshot)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    at = lines.index(["source", "read", "unusable", "dropped", "used"])
    assert lines[at + 1 : at + 3] == [["first", "42", "2", "0", "40"], ["second", "30", "0", "10", "20"]]


def test_rows_that_a_fix_drops_have_a_column_so_that_each_line_adds_up(
    task: Path, capsys: pytest.CaptureFixture[str]
):
    rows = numbered(0, 40)
    conflict = {**rows[0], "label": next(row["label"] for row in rows if row["label"] != rows[0]["label"])}
    add(task, "first", [*rows, rows[1], conflict])
    change(task, fixes=["DATA-CONFLICT"], conflicts="keep")
    snapshot = regenerate_data(task)
    show(snapshot)
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    at = lines.index(["source", "read", "unusable", "dropped", "by", "fixes", "used"])
    assert lines[at + 1] == ["first", "42", "0", "1", "2", "39"]


def test_a_source_whose_rows_all_repeat_others_is_a_warning_that_says_what_to_do(
    task: Path, capsys: pytest.CaptureFixture[str]
):
    add(task, "rows", numbered(0, 40))
    add(task, "gold", numbered(5, 15), side="test")
    snapshot = regenerate_data(task)
    assert yields(snapshot) == {"rows": (40, 0, 0, 40), "gold": (10, 0, 10, 0)}
    [warning] = snapshot.warnings
    assert warning == (
        "Source gold adds nothing: its 10 rows repeat rows of the sources that stand before it in data_source.yaml."
        " To have them in test, move it before the others there; or remove it."
    )
    show(snapshot)
    assert warning in " ".join(capsys.readouterr().out.split())
    sources = DataSources.load(task / "data_source.yaml")
    change(task, sources=[source.model_dump() for source in reversed(sources.sources)])
    moved = regenerate_data(task)
    assert (yields(moved), moved.warnings) == ({"gold": (10, 0, 0, 10), "rows": (40, 0, 10, 30)}, [])


def test_a_source_none_of_whose_rows_can_be_used_is_a_warning(task: Path):
    add(task, "rows", numbered(0, 40))
    add(task, "bad", numbered(50, 52))
    (task.parent.parent / "bad.jsonl").write_text('{"text": "x", "label": ""}\n' * 3, encoding="utf-8")
    change(task, skip_bad_rows=True)
    sources = DataSources.load(task / "data_source.yaml").sources
    named = {"columns": {"text": "text", "label": "label"}}
    change(task, sources=[sources[0].model_dump(), sources[1].with_changes(**named).model_dump()])
    snapshot = regenerate_data(task)
    assert yields(snapshot)["bad"] == (3, 3, 0, 0)
    assert snapshot.warnings == [
        "Source bad adds nothing: none of its 3 rows can be used. Set skip_bad_rows: false to see why."
    ]


def test_rows_that_a_fix_drops_are_not_counted_as_used(task: Path):
    add(task, "rows", [*numbered(0, 40), *numbered(0, 5)])
    change(task, deduplicate=False, fixes=["DATA-DUP"])
    snapshot = regenerate_data(task)
    assert yields(snapshot) == {"rows": (45, 0, 0, sum(split.count for split in snapshot.splits.values()))}
    assert snapshot.sources["rows"].used == 40


def test_too_few_rows_for_a_side_are_a_warning_with_the_next_step(task: Path):
    add(task, "rows", numbered(0, 3))
    assert regenerate_data(task).warnings == [
        "valid is empty: 3 rows are too few for split: valid 0.15 of data_source.yaml. Without it nobody sees when"
        " training goes too far. Bring more rows, or ask for a number of them: split: {valid: 1}.",
        "test is empty: 3 rows are too few for split: test 0.15 of data_source.yaml. Without it nothing can be"
        " evaluated. Bring more rows, or ask for a number of them: split: {test: 1}.",
    ]
    change(task, split={"valid": 1, "test": 1})
    assert regenerate_data(task).warnings == []
    change(task, split={"valid": 0, "test": 0})
    assert regenerate_data(task).warnings == [], "nobody asked for them"


def test_sides_that_no_source_is_put_on_or_that_a_group_does_not_fit_into_are_told_apart(task: Path):
    add(task, "rows", numbered(0, 30), side="train")
    assert regenerate_data(task).warnings == [
        f"{side} is empty: no row is divided, and no source with side: {side} has rows. {lost} Give a source"
        f" side: {side}, or leave out side: of one."
        for side, lost in (
            ("valid", "Without it nobody sees when training goes too far."),
            ("test", "Without it nothing can be evaluated."),
        )
    ]
    one_group = [{**row, "thread": "t"} for row in numbered(0, 30)]
    change(task, sources=[])
    add(task, "thread", one_group, group="thread")
    assert [warning.split(".")[0] for warning in regenerate_data(task).warnings] == [
        f"{side} is empty: of 30 rows none could go there: rows of one group, or with one input, stay together"
        for side in ("valid", "test")
    ]
