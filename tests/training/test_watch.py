"""Planted curves are seen, at the step where they can be, and healthy ones are let be."""

import json
import math
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp_skills.errors import RunFailed
from nlp_skills.training.run.metrics_log import MetricsLog, read_metrics
from nlp_skills.training.run.repetition import Probe, repeated, repetition
from nlp_skills.training.run.watch import new_warnings, silence

RECORDED = json.loads((Path(__file__).parent / "recorded_runs.json").read_text(encoding="utf-8"))
"""metrics.jsonl of real runs of SmolLM2-135M: by name, the method and the lines (four digits)."""

Rows = list[dict[str, Any]]


def told(rows: Rows, method: str = "sft") -> list[tuple[int, str, bool]]:
    """(step, check, whether it stops) as a run would say it, line by line."""
    seen: Rows = []
    found = []
    for row in rows:
        seen.append(row)
        for warning in new_warnings(seen, method):
            found.append((row["step"], warning.check, warning.stops))
            seen.append({"step": row["step"], "warning": warning.check})
            if warning.stops:
                return found
    return found


def curve(values: list[float], key: str = "loss", **others: float) -> Rows:
    return [{"step": step, key: value, **others} for step, value in enumerate(values, 1)]


def falling(
    count: int, start: float = 2.5, end: float = 0.8, noise: float = 0.2, seed: int = 1
) -> list[float]:
    chance = random.Random(seed)
    return [end + (start - end) * math.exp(-4 * n / count) + chance.gauss(0, noise) for n in range(count)]


@pytest.mark.parametrize("name", [name for name in RECORDED if name != "support, 5 epochs"])
def test_real_runs_that_went_well_are_let_be(name: str):
    assert told(RECORDED[name]["rows"], RECORDED[name]["method"]) == []


def test_a_real_run_that_learned_216_rows_by_heart_is_told():
    """Five epochs: the validation loss is .341 after two, .362, .388 and .394 afterwards."""
    assert told(RECORDED["support, 5 epochs"]["rows"]) == [(108, "RUN-OVERFIT", False)]


@given(
    count=st.integers(5, 300),
    start=st.floats(0.5, 8),
    share=st.floats(0.05, 0.8),
    noise=st.floats(0, 0.1),
    seed=st.integers(0, 1000),
)
def test_a_loss_that_falls_under_noise_is_let_be(
    count: int, start: float, share: float, noise: float, seed: int
):
    assert told(curve(falling(count, start, start * share, noise * start, seed))) == []


@given(at=st.integers(0, 60), key=st.sampled_from(["loss", "grad_norm", "eval_loss"]))
def test_a_figure_that_is_no_number_stops_the_run_at_once(at: int, key: str):
    rows = curve(falling(61))
    rows[at][key] = math.nan
    assert (at + 1, "RUN-NAN", True) in told(rows[: at + 1])


@given(after=st.integers(20, 100), height=st.floats(6, 50), seed=st.integers(0, 1000))
def test_a_loss_that_jumps_far_up_and_stays_there_stops_the_run_ten_steps_later(
    after: int, height: float, seed: int
):
    chance = random.Random(seed)
    rows = curve(falling(after, noise=0.05, seed=seed) + [height + chance.gauss(0, 0.1) for _ in range(15)])
    assert told(rows)[-1] == (max(30, after + 10), "RUN-DIVERGE", True)


def test_a_model_that_is_destroyed_in_its_first_steps_is_no_success():
    """The losses of a real run with a learning rate of 5: they end at ln(vocabulary), where no gradient is left."""
    first = [6.86, 6.19, 60.81, 117.85, 18.18, 24.26, 22.37, 20.7, 21.26, 19.56, 19.92, 21.98, 23.04, 24.76]
    assert told(curve([*first, *[10.803] * 30])) == [(30, "RUN-DIVERGE", True)]


def test_one_hard_batch_is_no_divergence():
    losses = falling(100, noise=0.05)
    for hard in (30, 60, 61, 62):
        losses[hard] = 12.0
    assert told(curve(losses)) == []


def test_a_loss_that_does_not_fall_is_a_stall_and_goes_on():
    chance = random.Random(3)
    rows = curve([2.5 + chance.gauss(0, 0.2) for _ in range(90)])
    assert [(check, stops) for _, check, stops in told(rows)] == [("RUN-STALL", False)]
    assert told(rows[:59]) == []


def test_a_validation_loss_that_rises_twice_beyond_its_noise_is_overfitting():
    def looks(*losses: float, error: float = 0.01) -> Rows:
        return [{"step": n, "eval_loss": loss, "eval_loss_se": error} for n, loss in enumerate(losses, 1)]

    assert told(looks(2.0, 1.0, 0.9, 1.0, 1.1)) == [(5, "RUN-OVERFIT", False)]
    assert told(looks(2.0, 1.0, 0.9, 1.0, 1.1, error=0.2)) == []  # chance does as much
    assert told(looks(2.0, 1.0, 0.9, 0.91, 0.92)) == []
    assert told(looks(2.0, 1.0, 0.9, 1.0, 0.95, 1.0)) == []


def test_rewards_without_spread_stop_a_run_that_never_had_any():
    flat = [{"step": n, "loss": 0.0, "reward": 0.0, "frac_reward_zero_std": 1.0} for n in range(1, 20)]
    assert told(flat, "grpo") == [(10, "RL-FLAT", True)]
    once = [{**row, "frac_reward_zero_std": 0.5 if row["step"] == 3 else 1.0} for row in flat]
    assert told(once, "grpo") == [(10, "RL-FLAT", False)]
    mixed = [{**row, "frac_reward_zero_std": 0.5} for row in flat]
    assert told(mixed, "grpo") == []


def test_chosen_answers_that_get_less_likely_are_told():
    chance = random.Random(5)

    def pairs(slope: float) -> Rows:
        return [
            {
                "step": n,
                "loss": 0.69 - 0.005 * n,
                "logps/chosen": -200 + chance.gauss(0, 40),
                "rewards/chosen": slope * n + chance.gauss(0, 0.02),
            }
            for n in range(1, 60)
        ]

    assert [check for _, check, _ in told(pairs(-0.02), "dpo")] == ["RL-CHOSEN"]
    assert told(pairs(0.01), "dpo") == []


def test_a_run_that_writes_nothing_is_told_after_ten_times_its_longest_pause():
    rows = [{"step": n, "loss": 1.0, "seconds": 100.0 * n} for n in range(1, 5)]
    assert silence(rows, 999) is None
    warning = silence(rows, 1001)
    assert warning is not None
    assert (warning.check, warning.stops) == ("RUN-STALL", False)
    assert "no step for 17 minutes" in warning.message
    assert silence([{"step": 1, "loss": 1.0, "seconds": 1.0}], 599) is None


def test_repeated_grams_are_counted():
    assert repeated([1, 2, 3]) == 0.0
    assert repeated(list(range(40))) == 0.0
    assert repeated([1, 2, 3, 4] * 10) == pytest.approx(33 / 37)


def test_answers_that_loop_are_told_where_the_rows_do_not():
    loop, plain = [7, 8, 9] * 20, list(range(60))
    warning = repetition([loop, loop, plain], [plain, plain])
    assert warning is not None
    assert (warning.check, warning.stops) == ("RUN-REPEAT", False)
    assert repetition([plain, plain], [plain]) is None
    assert repetition([loop, loop], [loop]) is None  # tables and code repeat themselves
    assert repetition([loop[:15], loop[:15]], [plain]) is None


def test_a_warning_is_a_line_of_the_file_and_is_said_once(tmp_path: Path):
    from nlp_skills.training.run.watch import RunWarning

    log = MetricsLog(tmp_path / "metrics.jsonl", resumed_at=0)
    log.append({"step": 1, "loss": 2.0, "seconds": 1.0})
    log.warn(1, RunWarning(check="RUN-STALL", message="nothing is learned"))
    with pytest.raises(RunFailed, match=r"^RUN-DIVERGE: too high\.$"):
        log.warn(2, RunWarning(check="RUN-DIVERGE", message="too high", stops=True))
    rows = read_metrics(tmp_path / "metrics.jsonl")
    assert rows[1:] == [
        {"step": 1, "warning": "RUN-STALL", "message": "nothing is learned"},
        {"step": 2, "warning": "RUN-DIVERGE", "message": "too high"},
    ]
    again = MetricsLog(tmp_path / "metrics.jsonl", resumed_at=1)
    assert (again.seconds_before, len(again.rows)) == (1.0, 2)


def test_answers_are_made_without_drawing_random_numbers(tmp_path: Path):
    import torch
    from transformers import AutoModelForCausalLM

    from nlp_skills.data.example import Example, Message, Meta
    from small_model import save_small_model, small_tokenizer

    model = AutoModelForCausalLM.from_pretrained(save_small_model(tmp_path)).train()
    rows = [
        Example(
            meta=Meta(id=f"rows-{n}", source="rows"),
            messages=[Message("user", "say " * n), Message("assistant", "something that is long enough")],
        )
        for n in (1, 2, 5)
    ]
    probe = Probe(small_tokenizer(), rows, None)
    before = torch.get_rng_state()
    warning = probe.look(model)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    # Random weights say the same thing again and again.
    assert warning is not None
    assert warning.check == "RUN-REPEAT"
    assert Probe(small_tokenizer(), rows[:1], None).look(model) is None
