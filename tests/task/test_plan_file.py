"""How far a plan is, whoever wrote it."""

from pathlib import Path

import pytest

from nlp_skills.task.plan import PlanState, read_plan


def plan(folder: Path, text: str) -> PlanState | None:
    (folder / "plan.md").write_text(text, encoding="utf-8")
    return read_plan(folder)


def test_a_task_without_a_plan_has_no_state(tmp_path: Path) -> None:
    assert read_plan(tmp_path) is None


def test_a_plan_without_steps_has_no_state(tmp_path: Path) -> None:
    assert plan(tmp_path, "# Plan\n\nWe will see. [x] is a cross.\n") is None


def test_the_first_open_step_is_the_next_one_wherever_it_stands(tmp_path: Path) -> None:
    text = "# Plan\n\n- [x] rows\n* [ ] v1 trained\n  - [X] its data\n- [ ] v2\n"
    assert plan(tmp_path, text) == PlanState(done=2, steps=4, next="v1 trained", stop=False)


@pytest.mark.parametrize(
    "text", ["- [ ] STOP: go on?", "1 [ ] no\n- [ ] **STOP** go on?", "- [ ] stop: 要繼續嗎？"]
)
def test_a_stop_point_is_told_from_a_step(text: str, tmp_path: Path) -> None:
    found = plan(tmp_path, text)
    assert found is not None
    assert found.stop


def test_a_word_that_begins_like_stop_is_no_stop_point(tmp_path: Path) -> None:
    assert plan(tmp_path, "- [ ] Stopwords removed") == PlanState(
        done=0, steps=1, next="Stopwords removed", stop=False
    )


def test_a_finished_plan_has_no_next_step(tmp_path: Path) -> None:
    assert plan(tmp_path, "- [x] all") == PlanState(done=1, steps=1, next=None, stop=False)
