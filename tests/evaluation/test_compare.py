"""Comparing two versions: better, worse or cannot tell, on the same rows, pair by pair."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from nlp_skills.data.snapshot import DataSnapshot, SplitSnapshot
from nlp_skills.errors import NotFound, NotReady, NotValid
from nlp_skills.evaluation.compare import ROWS_SHOWN, TOO_FEW, compare_predictions, compare_versions
from nlp_skills.evaluation.metrics import METRICS
from nlp_skills.evaluation.results import EvalResult, Interval, Prediction
from nlp_skills.evaluation.significance import mcnemar
from nlp_skills.records import write_lines
from nlp_skills.task.task import Task, TaskType, create_task
from nlp_skills.task.version import new_version
from nlp_skills.training.config import TrainConfig

TASK = Task(name="news", type=TaskType.CLASSIFICATION, goal="g", metric="accuracy", created="now")


def predictions(right: list[bool]) -> list[Prediction]:
    """Rows whose truth is a or b in turn; where it is wrong, the other one is predicted."""
    rows = []
    for n, ok in enumerate(right):
        truth, other = ("a", "b") if n % 2 else ("b", "a")
        rows.append(
            Prediction(
                id=f"r{n}",
                input=f"text {n}",
                expected=truth,
                predicted=truth if ok else other,
                correct=ok,
            )
        )
    return rows


def pattern(both: int, only_a: int, only_b: int, neither: int) -> tuple[list[Prediction], list[Prediction]]:
    a = [True] * both + [True] * only_a + [False] * only_b + [False] * neither
    b = [True] * both + [False] * only_a + [True] * only_b + [False] * neither
    return predictions(a), predictions(b)


@pytest.mark.parametrize(
    ("counts", "verdict"),
    [
        ((40, 2, 20, 8), "better"),
        ((40, 20, 2, 8), "worse"),
        ((40, 5, 6, 8), "cannot tell"),
        ((60, 0, 0, 10), "cannot tell"),
        ((0, 0, 70, 0), "better"),
        ((5, 0, TOO_FEW - 6, 0), "cannot tell"),
    ],
)
def test_the_interval_of_the_difference_decides(counts: tuple[int, int, int, int], verdict: str):
    rows_a, rows_b = pattern(*counts)
    found = compare_predictions(TASK, "v1", "v2", rows_a, rows_b)
    assert found.verdict == verdict
    assert (found.fixed, found.broken, found.count) == (counts[2], counts[1], sum(counts))
    assert found.p_value == mcnemar(counts[2], counts[1])
    for name in ("accuracy", "macro_f1"):
        row = found.metrics[name]
        assert (row.a, row.b) == (METRICS[name].measure(rows_a), METRICS[name].measure(rows_b))
        assert row.difference == pytest.approx(row.b - row.a)
        assert row.low <= row.difference <= row.high
    assert f"{counts[2]} fixed and {counts[1]} broken" in found.reason
    assert found.p_metric == found.p_value and found.metric == "accuracy"


def test_rows_that_changed_sides_are_shown_with_both_answers():
    rows_a, rows_b = pattern(30, 1, 50, 0)
    found = compare_predictions(TASK, "v1", "v2", rows_a, rows_b)
    assert len(found.fixed_rows) == ROWS_SHOWN and len(found.broken_rows) == 1
    broken = found.broken_rows[0]
    assert (broken.id, broken.input, broken.expected, broken.a, broken.b) == ("r30", "text 30", "b", "b", "a")


def test_rows_of_different_number_are_never_compared():
    with pytest.raises(ValueError, match="answered"):
        compare_predictions(TASK, "v1", "v2", predictions([True] * 40), predictions([True] * 41))


@pytest.fixture
def task(tmp_path: Path) -> Path:
    create_task(tmp_path / "tasks", "news", type=TaskType.CLASSIFICATION, goal="g", metric="accuracy")
    return tmp_path / "tasks" / "news"


def add_version(task: Path, parent: str | None, source: str = "s", **config: Any) -> Path:
    snapshot = DataSnapshot(
        source_hash=source, sources={}, splits={"train": SplitSnapshot(sha256="t", count=1)}, seed=13
    )
    files = {
        "config.yaml": TrainConfig(**config).to_bytes(".yaml"),
        "data_snapshot.json": snapshot.to_bytes(),
    }
    return task / "versions" / new_version(task, files, [], parent).version


def evaluate(folder: Path, rows: list[Prediction], data: str = "d") -> None:
    write_lines(folder / "predictions.jsonl", map(msgspec.json.encode, rows))
    value = Interval(value=0.5, low=0.4, high=0.6)
    EvalResult(metrics={"accuracy": value}, count=len(rows), split="test", data_sha256=data).save(
        folder / "results.json"
    )


def test_the_newest_is_compared_with_its_parent_and_what_differs_is_said(task: Path):
    rows_a, rows_b = pattern(40, 2, 20, 8)
    evaluate(add_version(task, None, lora_r=8), rows_a)
    evaluate(add_version(task, "v1", source="other", lora_r=32, threads=2), rows_b)
    found = compare_versions(task)
    assert (found.task, found.a, found.b, found.verdict) == ("news", "v1", "v2", "better")
    assert found.config_changes == {"lora_r": (8, 32), "threads": (None, 2)}
    assert found.data_changed
    assert compare_versions(task, "v2", "v1").verdict == "worse"
    same = compare_versions(task, "v1", "v1")
    assert (same.verdict, same.config_changes, same.data_changed, same.p_value) == (
        "cannot tell",
        {},
        False,
        1.0,
    )


def test_versions_that_cannot_be_compared_say_why(task: Path):
    with pytest.raises(NotReady, match="has no version yet"):
        compare_versions(task)
    evaluate(add_version(task, None), predictions([True] * 40))
    with pytest.raises(NotValid, match=r"v1 has no parent to compare with\. Versions: v1\."):
        compare_versions(task)
    folder = add_version(task, "v1")
    with pytest.raises(NotReady, match="nlp-skills evaluate-version news --version v2"):
        compare_versions(task)
    for other in (predictions([True] * 41), predictions([True] * 40)[::-1], predictions([True] * 40)):
        other[3].input = "another text"
        evaluate(folder, other)
        with pytest.raises(NotValid, match="were tested on different rows"):
            compare_versions(task)
    evaluate(folder, predictions([True] * 40), data="the same rows after another prompt")
    assert compare_versions(task).count == 40
    with pytest.raises(NotFound, match="has no version 'v7'"):
        compare_versions(task, "v7", "v2")
