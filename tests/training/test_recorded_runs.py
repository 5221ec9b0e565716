"""Estimates learn from what runs really took: of the same machine and family, and never from one run alone."""

import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp_skills.records import to_yaml, write_atomic
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import Cost, Job, Prediction
from nlp_skills.training.planning.forecast import forecast
from nlp_skills.training.planning.hardware import NAMED
from nlp_skills.training.planning.model_shape import approximate_shape
from nlp_skills.training.planning.recorded_runs import Correction, RecordedRun, correction, recorded_runs
from nlp_skills.training.planning.row_lengths import RowLength, RowLengths

MACHINE = "a processor, 1 threads"
SHAPE = approximate_shape(
    {
        "model_type": "llama",
        "hidden_size": 256,
        "intermediate_size": 512,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "vocab_size": 1000,
    },
    "small",
)
ROWS = RowLengths(64, (RowLength(100, 10),) * 64, (RowLength(100, 10),) * 64, "made up")
CONFIG = TrainConfig(max_length=128)


def record(home: Path, number: int, seconds: float, peak: float, **changes: object) -> None:
    """A run that took so much, with the prediction that is made at its beginning."""
    here = NAMED["cpu"].with_changes(machine=MACHINE)
    said = forecast(CONFIG, SHAPE, ROWS, here, home=home).prediction()
    folder = home / "task" / "versions" / f"v{number}"
    folder.mkdir(parents=True)
    write_atomic(folder / "config.yaml", to_yaml(CONFIG.model_dump(mode="json")))
    cost = Cost(seconds=seconds, peak_memory_mb=peak)
    job = Job(
        id=f"{number}",
        status="succeeded",
        started=f"2026-11-{number:02d}T08:00:00Z",
        log="x",
        predicted=said,
        cost=cost,
    )
    job.with_changes(**changes).save(folder / "job.json")


def test_after_three_runs_the_estimate_is_closer_than_before_them(tmp_path: Path) -> None:
    here = NAMED["cpu"].with_changes(machine=MACHINE)
    before = forecast(CONFIG, SHAPE, ROWS, here, home=tmp_path)
    assert before.seconds is not None
    took, peak = before.seconds * 1.8, before.peak_mb * 1.2
    errors = [(took - before.seconds, peak - before.peak_mb)]
    now = before
    for number, noise in enumerate((1.03, 0.96, 1.01), start=1):
        record(tmp_path, number, took * noise, peak * noise)
        now = forecast(CONFIG, SHAPE, ROWS, here, home=tmp_path)
        assert now.seconds is not None
        errors.append((abs(took - now.seconds), abs(peak - now.peak_mb)))
    for of in (0, 1):
        assert errors[3][of] < 0.4 * errors[0][of]
        assert errors[1][of] < errors[0][of]
    assert now.correction.runs == 3
    assert now.correction.words().startswith("estimates on this machine were off by ")
    assert now.correction.words().endswith(" over 3 runs")


def test_only_whole_runs_of_the_same_machine_and_family_count(tmp_path: Path) -> None:
    record(tmp_path, 1, 10, 2000)
    record(tmp_path, 2, 10, 2000, resumed=1)
    record(tmp_path, 3, 10, 2000, adjusted={"max_length": 64})
    record(tmp_path, 4, 10, 2000, status="failed")
    (tmp_path / "task" / "versions" / "v5").mkdir()
    (tmp_path / "task" / "versions" / "v5" / "job.json").write_text("{", encoding="utf-8")
    assert [run.started for run in recorded_runs(tmp_path, MACHINE, "llama")] == ["2026-11-01T08:00:00Z"]
    assert recorded_runs(tmp_path, "another machine", "llama") == []
    assert recorded_runs(tmp_path, MACHINE, "qwen3") == []


def run(ratio: float, method: str = "sft", factor: float = 1.0) -> RecordedRun:
    said = Prediction(
        seconds=100 * factor, peak_memory_mb=1000 * factor, seconds_factor=factor, memory_factor=factor
    )
    return RecordedRun(method, "lora", said, 100 * ratio, 1000 * ratio, "2026-11-21T08:00:00Z")


def test_runs_of_the_same_method_are_preferred_once_there_are_three() -> None:
    mixed = [run(2.0), run(2.0), run(1.0, "dpo"), run(1.0, "dpo"), run(1.0, "dpo")]
    assert correction(mixed, TrainConfig(method="dpo")).seconds == 1.0
    assert correction(mixed[:4], TrainConfig(method="dpo")).seconds > 1.0
    assert correction([], CONFIG) == Correction()


@given(st.lists(st.floats(0.3, 3.0), min_size=1, max_size=20), st.floats(0.5, 2.0))
def test_a_correction_stays_between_none_and_the_median_and_does_not_feed_on_itself(
    ratios: list[float], factor: float
) -> None:
    plain = correction([run(ratio) for ratio in ratios], CONFIG)
    ordered = sorted(ratios)
    middle = math.sqrt(ordered[(len(ordered) - 1) // 2] * ordered[len(ordered) // 2])
    assert min(1.0, middle) - 1e-3 <= plain.seconds <= max(1.0, middle) + 1e-3
    # What was said then was corrected already; the raw estimate was the same, so the correction is too.
    again = correction([run(ratio, factor=factor) for ratio in ratios], CONFIG)
    assert again.seconds == pytest.approx(plain.seconds, rel=1e-3)
