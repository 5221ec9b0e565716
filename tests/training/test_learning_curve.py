"""A learning curve: three runs on parts of the rows, in a folder of their own; versions and test rows stay as they are."""

from pathlib import Path

import pytest
from small_task import make_small_task

from nlp_skills.errors import NotValid
from nlp_skills.evaluation.diagnosis.curve import LearningCurve
from nlp_skills.evaluation.diagnosis.diagnose import diagnose
from nlp_skills.evaluation.diagnosis.learning_curve import measure_learning_curve
from nlp_skills.records import sha256_tree

WHAT = "whether more rows would help"


@pytest.mark.slow
def test_a_curve_is_three_runs_that_go_on_after_an_interruption_and_touch_no_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NLP_SKILLS_QUEUE", str(tmp_path / "queue"))
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    task = make_small_task(tmp_path / "tasks", rows=24, per_device_train_batch_size=2)
    before = sha256_tree(task / "versions"), sha256_tree(task / "data")
    plan = measure_learning_curve(task)
    assert (plan.state, plan.points, list((task / "benchmarks").iterdir())) == ("planned", [], [])
    assert "on 25, 50, 100 % of the training rows" in plan.message

    def interrupt(message: str, done: float, total: float | None) -> None:
        if message.startswith("50 %"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_learning_curve(task, confirm=True, progress=interrupt)
    place = task / "benchmarks" / f"learning-curve-{plan.key}"
    first = (place / "25" / "predictions.jsonl").read_bytes()
    assert [reason.why for reason in diagnose(task).unchecked if reason.what == WHAT] == [
        "no learning curve was measured: nlp-skills measure-learning-curve support --version v1"
    ]
    (task / "versions" / "v1" / "diagnosis.json").unlink()
    found = measure_learning_curve(task, confirm=True)
    assert (place / "25" / "predictions.jsonl").read_bytes() == first
    assert [point.rows for point in found.points] == [6, 12, 24]
    assert found.forecast is not None
    assert found == LearningCurve.load(place / "curve.json") == measure_learning_curve(task)
    assert not list(place.glob("*/models"))
    assert (sha256_tree(task / "versions"), sha256_tree(task / "data")) == before
    looked = diagnose(task)
    named = "MORE-ROWS-HELP" in {cause.id for cause in looked.causes}
    assert named is (found.forecast.verdict == "more rows help")
    assert (WHAT in looked.ruled_out) is not named


def test_too_few_rows_are_not_divided(tmp_path: Path) -> None:
    task = make_small_task(tmp_path / "tasks", rows=16)
    with pytest.raises(NotValid, match="16 training rows are too few for a curve: 25 % of them are 1 step"):
        measure_learning_curve(task)
