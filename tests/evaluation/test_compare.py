"""Comparing two versions: better, worse or cannot tell, on the same rows, pair by pair."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from nlp_skills.data.snapshot import DataSnapshot, SplitSnapshot
from nlp_skills.errors import NotFound, NotReady, NotValid
from nlp_skills.evaluation.compare import compare_versions
from nlp_skills.evaluation.metrics import METRICS
from nlp_skills.evaluation.noise import spread_of
from nlp_skills.evaluation.paired_answers import ROWS_SHOWN, TOO_FEW, compare_predictions
from nlp_skills.evaluation.results import EvalResult, Forgetting, Interval, Latency, Prediction, Sanity
from nlp_skills.evaluation.significance import holm, mcnemar, share
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


def evaluate(folder: Path, rows: list[Prediction], data: str = "d", **more: Any) -> None:
    write_lines(folder / "predictions.jsonl", map(msgspec.json.encode, rows))
    value = share(sum(row.correct for row in rows), len(rows))
    EvalResult(metrics={"accuracy": value}, count=len(rows), split="test", data_sha256=data, **more).save(
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


def test_a_difference_as_another_seed_makes_it_is_not_called_real(task: Path) -> None:
    rows_a, rows_b = pattern(40, 2, 20, 8)
    evaluate(add_version(task, None), rows_a)
    evaluate(add_version(task, "v1", lora_r=32), rows_b)
    found = compare_versions(task, "v1", "v2")
    assert (found.verdict, found.noise) == ("better", None)
    assert "was not measured" in found.reason
    evaluate(add_version(task, "v2", lora_r=32, seed=14), predictions([True] * 38 + [False] * 32))
    found = compare_versions(task, "v1", "v2")
    assert found.noise is not None
    assert found.noise.versions == ["v2", "v3"]
    # Of two runs the standard deviation is their difference divided by √2.
    assert found.noise.floor == pytest.approx(1.96 * 22 / 70)
    assert found.verdict == "cannot tell"
    assert "another seed alone changes it by up to 0.616 (2 runs: v2, v3)" in found.reason


def test_the_floor_is_pooled_over_all_settings_and_never_below_what_was_seen() -> None:
    one, other = {"v1": 0.80, "v2": 0.82, "v3": 0.84}, {"v4": 0.70, "v5": 0.70}
    found = spread_of([one, other])
    assert found is not None
    deviation = (2 * 0.02**2 / 3) ** 0.5
    assert found.deviation == pytest.approx(deviation)
    assert found.floor == pytest.approx(1.96 * 2**0.5 * deviation)
    far = spread_of([{"v1": 0.5, "v2": 0.6}, *({f"w{n}": 0.5, f"x{n}": 0.5} for n in range(20))])
    assert far is not None and far.floor == pytest.approx(0.1)
    assert spread_of([]) is None


def test_one_of_many_attempts_has_to_be_better_by_more(task: Path) -> None:
    rows_a, rows_b = pattern(40, 2, 10, 18)
    evaluate(add_version(task, None), rows_a)
    evaluate(add_version(task, "v1", lora_r=32), rows_b)
    alone = compare_versions(task, "v1", "v2")
    assert (alone.verdict, alone.against, alone.p_metric) == ("better", 1, mcnemar(10, 2))
    for rank in (4, 64):
        evaluate(add_version(task, "v1", lora_r=rank), rows_a)
    among = compare_versions(task, "v1", "v2")
    assert (among.verdict, among.against) == ("cannot tell", 3)
    assert among.p_metric == holm([mcnemar(10, 2), 1.0, 1.0])[0]
    assert "corrected for 3 versions that were tried" in among.reason


def remembering(lost: list[str], won: list[str], verdict: Any) -> Forgetting:
    same = Interval(value=0.6, low=0.5, high=0.7)
    return Forgetting(
        count=120,
        base=same,
        tuned=share(72 - len(lost) + len(won), 120),
        change=Interval(value=-0.2, low=-0.3, high=-0.1),
        p_value=0.001,
        verdict=verdict,
        reason="It has forgotten a lot.",
        lost=lost,
        won=won,
    )


def test_a_version_that_is_better_and_has_forgotten_is_a_cannot_tell(task: Path) -> None:
    rows_a, rows_b = pattern(40, 2, 20, 8)
    many = [f"q{n}" for n in range(30)]
    fast, slow = Latency(p50=40, p95=90, p99=99), Latency(p50=50, p95=80, p99=99)
    evaluate(add_version(task, None), rows_a, forgetting=remembering(["q1"], ["x"], "kept"), latency=fast)
    evaluate(
        add_version(task, "v1", lora_r=32),
        rows_b,
        forgetting=remembering(many, [], "forgotten"),
        latency=slow,
    )
    found = compare_versions(task)
    assert (found.verdict, found.figures) == (
        "cannot tell",
        {"latency_p50_ms": (40, 50), "latency_p95_ms": (90, 80)},
    )
    assert found.reason.endswith("But v2 has forgotten what its base model knew. It has forgotten a lot.")
    assert found.forgetting is not None
    assert (found.forgetting.a, found.forgetting.b) == (72 / 120, 42 / 120)
    assert found.forgetting.difference == pytest.approx(-30 / 120)
    assert compare_versions(task, "v2", "v1").verdict == "worse"


def test_general_questions_of_two_base_models_are_not_subtracted(task: Path) -> None:
    rows_a, rows_b = pattern(40, 2, 20, 8)
    evaluate(add_version(task, None), rows_a, forgetting=remembering(["q1"], [], "kept"))
    evaluate(
        add_version(task, "v1", base_model="another"), rows_b, forgetting=remembering(["q2"], [], "kept")
    )
    assert compare_versions(task).forgetting is None


def test_the_noise_is_that_of_the_metric_that_both_were_judged_by(task: Path) -> None:
    """Only v2's answers have probabilities, so that the task's Brier score cannot decide."""
    definition = Task.load(task / "task.yaml").with_changes(metric="brier_score")
    definition.save(task / "task.yaml")
    rows_a, rows_b = pattern(40, 2, 20, 8)
    sure = [msgspec.structs.replace(row, scores={"a": 0.5, "b": 0.5}) for row in rows_b]
    evaluate(add_version(task, None), rows_a)
    evaluate(add_version(task, "v1", lora_r=32), sure)
    evaluate(add_version(task, "v1", lora_r=32, seed=14), sure)
    for name, brier in (("v2", 0.1), ("v3", 0.9)):
        file = task / "versions" / name / "results.json"
        found = EvalResult.load(file)
        value = Interval(value=brier, low=0, high=1)
        macro = found.metrics["accuracy"]
        found.with_changes(metrics={"macro_f1": macro.model_dump(), "brier_score": value.model_dump()}).save(
            file
        )
    found = compare_versions(task, "v1", "v2")
    assert (found.metric, found.verdict) == ("macro_f1", "better")
    assert found.noise is not None and found.noise.floor == 0
    assert found.against == 2
    assert found.reason.endswith("Another seed alone changes it by less: by up to 0.000, as 2 runs tell.")


def test_a_faulty_harness_decides_nothing(task: Path) -> None:
    rows_a, rows_b = pattern(40, 2, 20, 8)
    evaluate(add_version(task, None), rows_a)
    fault = Sanity(verdict="harness error", reason="Nobody can read it.", unreadable=0.4)
    evaluate(add_version(task, "v1", lora_r=32), rows_b, sane=fault)
    found = compare_versions(task)
    assert found.verdict == "cannot tell"
    assert found.reason.endswith("But the measurement is at fault. v2: Nobody can read it.")


def test_kinds_of_rows_that_got_worse_are_named_though_the_whole_got_better() -> None:
    rows_a, rows_b = pattern(40, 12, 60, 8)
    for rows in (rows_a, rows_b):
        for place, row in enumerate(rows):
            row.slices = {"language": "ja" if 36 <= place < 52 else "en"}
    found = compare_predictions(TASK, "v1", "v2", rows_a, rows_b)
    assert found.verdict == "better"
    assert [(s.name, s.count, s.a, s.b) for s in found.worse_slices] == [("language=ja", 16, 1.0, 0.25)]
    assert "language=en" in [s.name for s in found.better_slices]
    assert "It got worse on language=ja." in found.reason
