"""What a version says to the rows of a file: the same questions as in training, and a run that goes on after a kill."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from filelock import FileLock

from nlp_skills.data.example import encode, read_examples
from nlp_skills.deployment.serving import predict as predicting
from nlp_skills.deployment.serving.asked_rows import read_asked
from nlp_skills.deployment.serving.predict import predict
from nlp_skills.errors import AlreadyExists, NotReady, NotValid
from nlp_skills.records import to_json
from nlp_skills.tables import render
from nlp_skills.task.task import TaskType
from small_version import make_version

SHAPES: dict[str, tuple[TaskType, dict[str, Any]]] = {
    "labels": (TaskType.CLASSIFICATION, {"Headline": "Sales rose {}", "Sentiment": "good"}),
    "entities": (TaskType.ENTITY_CLASSIFICATION, {"text": "A beat B {}", "entity": "B", "label": "bad"}),
    "questions": (TaskType.QA, {"question": "Who? {}", "context": "It was Zoë.", "answer": "Zoë"}),
    "alpaca": (TaskType.GENERATION, {"instruction": "Say it", "input": "louder {}", "output": "IT"}),
    "chat": (
        TaskType.GENERATION,
        {
            "messages": [
                {"role": "system", "content": "Own {}"},
                {"role": "user", "content": "Hi"},
                {"role": "assistant", "content": "Ho"},
                {"role": "user", "content": "And?"},
                {"role": "assistant", "content": "So"},
            ]
        },
    ),
}


def make_task(home: Path, type: TaskType, row: dict[str, Any], count: int = 12) -> Path:
    rows = [json.loads(json.dumps(row).replace("{}", str(n))) for n in range(count)]
    for place, made in enumerate(rows):
        for name in ("Sentiment", "label"):
            if name in made and place % 2:
                made[name] = "other"
    return make_version(home, type, rows, peft="none", settings={"dtype": "float32", "threads": 1})


@pytest.mark.parametrize("shape", SHAPES)
def test_a_row_is_asked_as_the_training_rows_are(tmp_path: Path, shape: str):
    task = make_task(tmp_path, *SHAPES[shape])
    sides = [task / "data" / f"{side}.jsonl" for side in ("train", "valid", "test")]
    learned = {example.meta.line: example for file in sides for example in read_examples(file)}
    asked = {example.meta.line: example for example in read_asked(task, tmp_path / "rows.jsonl")}
    assert {line: e.context for line, e in asked.items()} == {line: e.context for line, e in learned.items()}
    assert len(asked) == 12


def test_texts_one_a_line_are_questions_too(tmp_path: Path):
    task = make_task(tmp_path, *SHAPES["labels"])
    (tmp_path / "new.txt").write_text("Sales rose 3\nSales fell\n", encoding="utf-8")
    asked = [example.context for example in read_asked(task, tmp_path / "new.txt")]
    learned = next(e for e in read_asked(task, tmp_path / "rows.jsonl") if e.meta.line == 4)
    assert asked[0] == learned.context
    assert [turns[-1].content for turns in asked] == ["Sales rose 3", "Sales fell"]


def test_a_column_that_is_not_known_is_asked_for_by_name(tmp_path: Path):
    task = make_task(tmp_path, *SHAPES["labels"])
    (tmp_path / "new.csv").write_text("when,body\nMay,Sales rose\n", encoding="utf-8")
    with pytest.raises(
        NotValid, match=r"Which column holds the text\? Name it with --text\. Columns: when, body"
    ):
        list(read_asked(task, tmp_path / "new.csv"))
    with pytest.raises(NotValid, match=r'There is no column \'bdy\' \(did you mean "body"\?\)'):
        list(read_asked(task, tmp_path / "new.csv", "bdy"))
    assert [e.input_text for e in read_asked(task, tmp_path / "new.csv", "body")] == ["Sales rose"]


def test_a_run_that_was_cut_off_goes_on_and_its_result_is_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(predicting, "WINDOW", 4)
    task = make_task(tmp_path, *SHAPES["labels"])
    file = str(tmp_path / "rows.jsonl")
    whole = predict(task, file, out=str(tmp_path / "whole.jsonl"))
    asked = 0

    def stop(message: str, done: float, total: float | None) -> None:
        nonlocal asked
        asked += message.endswith("answering")
        if asked == 3:  # in the middle of the second window
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(task, file, out=str(tmp_path / "again.jsonl"), batch_size=2, progress=stop)
    part = tmp_path / "again.jsonl.part"
    beside = tmp_path / "again.jsonl.part.rows"
    assert (part.read_bytes().count(b"\n"), beside.read_bytes().count(b"\n")) == (5, 2)  # a head in the first
    # And a kill in the middle of a line.
    with part.open("ab") as stream:
        stream.write(b'{"row": 1, "inp')
    before = part.read_bytes()
    with FileLock(tmp_path / ".again.jsonl.lock"):  # as another predict holds it
        with pytest.raises(NotReady, match=r"again\.jsonl is being written by another predict"):
            predict(task, file, out=str(tmp_path / "again.jsonl"))
    assert part.read_bytes() == before
    again = predict(task, file, out=str(tmp_path / "again.jsonl"))
    # Batches are others after a cut, and sums of floats with them in their last digits.
    first, second = (read_lines(tmp_path / name) for name in ("whole.jsonl", "again.jsonl"))
    assert [row.pop("scores") for row in second] == [
        pytest.approx(row.pop("scores"), abs=1e-6) for row in first
    ]
    assert [row.pop("probability") for row in second] == pytest.approx(
        [row.pop("probability") for row in first]
    )
    assert second == first
    assert (again.rows, again.kept) == (12, 6)
    told = str(render(again)).splitlines()
    assert told[0].startswith(f"12 rows of {file} answered by small v1 (trained) in ")
    assert told[1] == "6 of them had been answered before, by a run that was cut off."
    assert (whole.rows, whole.kept, whole.method) == (12, 0, "label scoring")
    assert not [path.name for path in tmp_path.iterdir() if "again" in path.name and path.suffix != ".jsonl"]
    with pytest.raises(AlreadyExists, match="is there already"):
        predict(task, file, out=str(tmp_path / "whole.jsonl"))


def read_lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def test_answers_of_another_model_are_not_gone_on_with(tmp_path: Path):
    task = make_task(tmp_path, *SHAPES["questions"])
    out = tmp_path / "out.jsonl"
    (tmp_path / "out.jsonl.part").write_bytes(to_json({"model": "other"}) + b'{"row": 1}\n')
    found = predict(task, str(tmp_path / "rows.jsonl"), out=str(out), max_new_tokens=3)
    assert (found.rows, found.kept, found.cut, found.method) == (12, 0, 12, "greedy")
    assert [json.loads(line)["row"] for line in out.read_text(encoding="utf-8").splitlines()] == [
        *range(1, 13)
    ]


def test_answers_to_another_column_are_not_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(predicting, "WINDOW", 1)
    task = make_task(tmp_path, *SHAPES["labels"])
    (tmp_path / "new.csv").write_text(
        "subject,body\nSales rose,a\nSales fell,b\nSales rose,c\n", encoding="utf-8"
    )
    out = tmp_path / "out.jsonl"

    def stop(message: str, done: float, total: float | None) -> None:
        if done >= 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        predict(task, str(tmp_path / "new.csv"), out=str(out), text="subject", progress=stop)
    assert (tmp_path / "out.jsonl.part").read_bytes().count(b"\n") == 2  # the head and a row
    assert predict(task, str(tmp_path / "new.csv"), out=str(out), text="body").kept == 0
    assert [row["input"] for row in read_lines(out)] == ["a", "b", "c"]


def test_a_table_comes_out_for_a_spreadsheet(tmp_path: Path):
    task = make_task(tmp_path, *SHAPES["entities"])
    out = tmp_path / "answers.csv"
    predict(task, str(tmp_path / "rows.jsonl"), out=str(out))
    with out.open(encoding="utf-8-sig", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["row"] for row in rows] == [str(n) for n in range(1, 13)]
    assert rows[0]["input"] == "Entity: B\nText: A beat B 0"
    assert {row["answer"] for row in rows} <= {"bad", "other"}
    assert all(0.5 <= float(row["probability"]) <= 1 for row in rows)
    with pytest.raises(NotValid, match=r"has to end in \.jsonl or \.csv"):
        predict(task, str(tmp_path / "rows.jsonl"), out=str(tmp_path / "x.xlsx"))


def test_a_row_that_is_no_question_is_named(tmp_path: Path):
    task = make_task(tmp_path, *SHAPES["questions"])
    (tmp_path / "bad.jsonl").write_bytes(b'{"question": "a"}\n{"question": ""}\n')
    with pytest.raises(NotValid, match=r"bad\.jsonl, row 2: the question is empty"):
        predict(task, str(tmp_path / "bad.jsonl"))
    assert encode(next(read_asked(task, tmp_path / "bad.jsonl")))
