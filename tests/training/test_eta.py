"""The time left is a matter of medians: no slow step, resume or evaluation throws it off."""

import pytest

from nlp_skills.training.eta import evaluations_left, seconds_left


def run(
    steps: int, *, each: float = 2.0, slow: dict[int, float] | None = None, evaluate: int = 0
) -> list[dict]:
    """The lines of a run; an evaluation takes 5 seconds."""
    rows, clock = [], 10.0
    for step in range(1, steps + 1):
        clock += (slow or {}).get(step, each)
        rows.append({"step": step, "loss": 1.0, "seconds": clock})
        if evaluate and step % evaluate == 0:
            clock += 5.0
            rows.append({"step": step, "eval_loss": 1.0, "seconds": clock})
    return rows


def test_no_time_is_told_before_there_are_two_steps() -> None:
    assert seconds_left([], 10, steps_between_evaluations=None) is None
    assert seconds_left(run(1), 10, steps_between_evaluations=None) is None


def test_loading_and_a_busy_minute_do_not_count() -> None:
    rows = run(8, slow={1: 300.0, 5: 60.0})
    assert seconds_left(rows, 20, steps_between_evaluations=None) == 24.0


def test_evaluations_still_to_come_are_counted_with_what_the_last_ones_took() -> None:
    rows = run(8, evaluate=4)
    assert seconds_left(rows, 20, steps_between_evaluations=4) == 12 * 2.0 + 3 * 5.0


def test_first_evaluation_is_estimated_from_the_rows_it_reads() -> None:
    # Three times the rows of a step, forward only: a third of the work each, so as long as a step.
    assert seconds_left(run(4), 8, steps_between_evaluations=8, evaluation_ratio=3.0) == pytest.approx(
        4 * 2 + 2
    )


def test_time_since_the_last_line_is_taken_off_and_never_below_nothing() -> None:
    assert seconds_left(run(4), 10, steps_between_evaluations=None, since_last=1.5) == 10.5
    assert seconds_left(run(4), 10, steps_between_evaluations=None, since_last=500) == 0.0


def test_lines_of_warnings_have_no_clock_and_do_no_harm() -> None:
    rows = [*run(4), {"step": 4, "warning": "RUN-STALL", "message": "…"}]
    assert seconds_left(rows, 10, steps_between_evaluations=None) == 12.0


@pytest.mark.parametrize(("done", "left"), [(0, 5), (3, 5), (4, 4), (20, 0)])
def test_evaluations_left_are_those_after_the_newest(done: int, left: int) -> None:
    assert evaluations_left(run(done, evaluate=4), 20, 4) == left
