"""Folds: each row is held out once, what belongs together stays together, and the test rows are never touched."""

from collections import Counter
from pathlib import Path

import pytest
from small_task import make_small_task

from nlp_skills.data.example import Example, Message, Meta, read_examples
from nlp_skills.data.sources.source import SplitSettings
from nlp_skills.errors import NotValid
from nlp_skills.evaluation.cross_validate import FoldResult, Spread, cross_validate, spread
from nlp_skills.training.folds import divide


def rows(count: int, *, groups: int | None = None) -> list[Example]:
    """Two labels, one three times as frequent; in groups of neighbours where asked."""
    return [
        Example(
            meta=Meta(
                id=str(n),
                source="made",
                label="a" if n % 4 else "b",
                group=None if groups is None else f"group {n * groups // count}",
            ),
            messages=[Message(role="user", content=f"text {n}"), Message(role="assistant", content="x")],
        )
        for n in range(count)
    ]


def test_each_row_is_held_out_once_and_labels_keep_their_shares() -> None:
    examples = rows(40)
    found = divide(examples, 5, SplitSettings(seed=7))
    assert sorted(row for fold in found for row in fold) == list(range(40))
    assert [Counter(examples[row].meta.label for row in fold) for fold in found] == [{"a": 6, "b": 2}] * 5
    assert found == divide(examples, 5, SplitSettings(seed=7))
    assert found != divide(examples, 5, SplitSettings(seed=8))


def test_rows_of_one_group_are_in_one_fold() -> None:
    examples = rows(60, groups=12)
    found = divide(examples, 4, SplitSettings(seed=7, stratify=False))
    groups = [{examples[row].meta.group for row in fold} for fold in found]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 12
    assert sorted(row for fold in found for row in fold) == list(range(60))


def test_one_group_of_all_rows_cannot_be_divided() -> None:
    with pytest.raises(NotValid, match="Take fewer folds"):
        divide(rows(12, groups=1), 3, SplitSettings())


def test_spread_is_mean_deviation_and_standard_error() -> None:
    assert spread([1.0, 2.0, 3.0, 4.0]) == Spread(mean=2.5, deviation=1.290994, error=0.645497)


def test_folds_that_were_measured_with_metrics_are_not_trained_again_without(tmp_path: Path) -> None:
    task = make_small_task(tmp_path / "tasks", rows=16)
    place = task / "benchmarks" / f"folds-{cross_validate(task, folds=2).key}"
    for number, metrics in ((1, {"accuracy": 0.5, "brier_score": 0.2}), (2, {"accuracy": 0.7})):
        (place / f"fold-{number}").mkdir(parents=True)
        result = FoldResult(
            fold=number, train_rows=12, held_out_rows=12, loss=0.4, metrics=metrics, seconds=1.0
        )
        result.save(place / f"fold-{number}" / "result.json")
    found = cross_validate(task, folds=2, metrics=True)
    assert (found.state, list(found.spread)) == ("complete", ["loss", "accuracy"])
    assert cross_validate(task, folds=2) == found
    FoldResult(fold=2, train_rows=12, held_out_rows=12, loss=0.4, seconds=1.0).save(
        place / "fold-2" / "result.json"
    )
    assert cross_validate(task, folds=2, metrics=True).state == "planned"
    assert list(cross_validate(task, folds=2).spread) == ["loss"]


@pytest.mark.slow
def test_folds_are_trained_as_runs_and_go_on_after_an_interruption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NLP_SKILLS_QUEUE", str(tmp_path / "queue"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    task = make_small_task(tmp_path / "tasks", rows=16)
    plan = cross_validate(task, folds=2)
    assert (plan.state, plan.rows, list((task / "benchmarks").iterdir())) == ("planned", 24, [])
    with pytest.raises(NotValid, match="2 to 24 folds, not 25"):
        cross_validate(task, folds=25)

    def interrupt(message: str, done: float, total: float | None) -> None:
        if message.startswith("fold 2"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cross_validate(task, folds=2, confirm=True, progress=interrupt)
    place = task / "benchmarks" / f"folds-{plan.key}"
    first = (place / "fold-1" / "result.json").read_bytes()
    found = cross_validate(task, folds=2, confirm=True)
    assert (place / "fold-1" / "result.json").read_bytes() == first
    assert found.spread["loss"] == spread([result.loss for result in found.results])
    assert [(r.fold, r.train_rows, r.held_out_rows) for r in found.results] == [(1, 12, 12), (2, 12, 12)]
    assert not list(place.glob("*/models"))
    test = {e.meta.id for e in read_examples(task / "data" / "test.jsonl")}
    for fold in ("fold-1", "fold-2"):
        sides = [
            {e.meta.id for e in read_examples(place / fold / "data" / f"{s}.jsonl")}
            for s in ("train", "valid")
        ]
        assert not (sides[0] & sides[1]) and not ((sides[0] | sides[1]) & test)
    assert cross_validate(task, folds=2) == found
