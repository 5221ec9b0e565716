"""Which checkpoint is kept and when a run ends early: by the validation loss and its standard error."""

import math
import random
import statistics
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.methods.validation_loss import mean_and_error
from nlp_skills.training.run.best_checkpoint import (
    Look,
    candidates,
    load_kept,
    looks_without_gain,
    watch_validation,
)
from nlp_skills.training.run.metrics_log import MetricsLog, read_metrics
from nlp_skills.training.trainer import LoRATrainer
from small_model import save_small_model


def looks(*losses: float, error: float) -> list[Look]:
    return [Look(step, loss, error) for step, loss in enumerate(losses, start=1)]


def test_the_earliest_that_is_within_one_standard_error_of_the_lowest_is_kept() -> None:
    found = candidates(looks(0.90, 0.52, 0.50, 0.53, error=0.04))
    assert [look.step for look in found] == [2, 3]
    assert [look.step for look in candidates(looks(0.90, 0.52, 0.50, 0.40, error=0.04))] == [4]
    assert [look.step for look in candidates(looks(0.50, 0.60, 0.70, error=0.04))] == [1]
    assert candidates([]) == []


@given(
    st.lists(st.floats(0, 5, allow_nan=False), min_size=1, max_size=12),
    st.floats(0, 1, allow_nan=False),
)
def test_with_an_equal_error_the_rule_is_that_of_the_book(losses: list[float], error: float) -> None:
    found = candidates(looks(*losses, error=error))
    within = [step for step, loss in enumerate(losses, start=1) if loss <= min(losses) + error]
    assert found[0].step == within[0]
    assert found[-1].loss == min(losses)


@given(st.lists(st.tuples(st.floats(0, 5), st.floats(0, 1)), min_size=1, max_size=12))
def test_a_checkpoint_that_was_given_up_is_never_wanted_again(pairs: list[tuple[float, float]]) -> None:
    seen: list[Look] = []
    given_up: set[int] = set()
    for step, (loss, error) in enumerate(pairs):
        before = {look.step for look in candidates(seen)}
        seen.append(Look(step, loss, error))
        now = {look.step for look in candidates(seen)}
        given_up |= before - now
        assert not now & given_up and now <= before | {step}


def test_only_a_gain_beyond_the_standard_error_counts() -> None:
    assert looks_without_gain(looks(0.90, 0.80, 0.70, error=0.05)) == 0
    assert looks_without_gain(looks(0.90, 0.88, 0.86, error=0.05)) == 2
    assert looks_without_gain(looks(0.90, 0.88, 0.84, error=0.05)) == 0, "small gains add up"
    assert looks_without_gain(looks(0.90, 1.00, 1.10, error=0.05)) == 2


def test_the_error_of_rows_of_equal_weight_is_the_standard_error_of_the_mean() -> None:
    values = [0.3, 0.9, 1.4, 0.2, 0.7]
    mean, error = mean_and_error([(value * 3, 3.0) for value in values])
    assert mean == pytest.approx(statistics.mean(values))
    assert error == pytest.approx(statistics.stdev(values) / math.sqrt(5))
    assert mean_and_error([(2.0, 4.0)]) == (0.5, None)
    assert mean_and_error([]) == (0.0, None)


def test_the_error_of_rows_of_unlike_weight_is_what_repeated_samples_show() -> None:
    chance = random.Random(3)

    def sample() -> list[tuple[float, float]]:
        weights = [float(chance.randint(1, 9)) for _ in range(200)]
        return [(weight * chance.gauss(1.0, 0.5), weight) for weight in weights]

    found = [mean_and_error(sample()) for _ in range(300)]
    errors = [error for _, error in found if error is not None]
    assert statistics.mean(errors) == pytest.approx(statistics.stdev(mean for mean, _ in found), rel=0.1)


CONFIG: dict[str, Any] = {
    "learning_rate": 0.02,
    "lora_r": 4,
    "lr_scheduler_type": "constant",
    "warmup_steps": 0,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 1,
    "per_device_eval_batch_size": 3,
    "max_length": 64,
    "threads": 1,
    "epochs": 4,
    "eval_steps": 1,
    "dtype": "float32",
}


def said(number: int, answer: str) -> Example:
    return Example(
        meta=Meta(f"s-{number}", "s"),
        messages=[Message("user", f"say {number}"), Message("assistant", answer)],
    )


# Half of what the validation wants is what the training teaches; beyond that it only gets surer of the wrong answer.
TRAIN = [said(n, "yes") for n in range(16)]
VALID = [said(n, "yes" if n % 2 else "no") for n in range(8)]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_model(tmp_path_factory.mktemp("base") / "small")


def train(base: Path, output: Path, **settings: Any) -> tuple[bytes, list[dict[str, Any]]]:
    config = TrainConfig.parse({**CONFIG, "base_model": str(base), **settings}, "config")
    model = LoRATrainer(config, output_dir=output).train(TRAIN, valid=VALID)
    return (model / "adapter_model.safetensors").read_bytes(), read_metrics(output / "metrics.jsonl")


def evaluations(metrics: Sequence[dict[str, Any]]) -> list[Look]:
    return [Look(r["step"], r["eval_loss"], r["eval_loss_se"]) for r in metrics if "eval_loss" in r]


def test_what_is_saved_is_the_checkpoint_that_is_kept(base: Path, tmp_path: Path) -> None:
    adapter, metrics = train(base, tmp_path / "best", keep="best")
    kept = candidates(evaluations(metrics))[0].step
    assert 1 < kept < 16
    until_then, _ = train(base, tmp_path / "last", epochs=kept / 4)
    assert adapter == until_then


def test_the_validation_loss_is_the_same_in_any_batches(base: Path, tmp_path: Path) -> None:
    found = [
        evaluations(train(base, tmp_path / str(size), epochs=0.5, per_device_eval_batch_size=size)[1])
        for size in (1, 3, 8)
    ]
    for other in found[1:]:
        assert [value for look in other for value in look] == pytest.approx(
            [value for look in found[0] for value in look], rel=1e-4
        )


def test_a_run_ends_when_its_patience_does(base: Path, tmp_path: Path) -> None:
    _, metrics = train(base, tmp_path, epochs=20, early_stopping_patience=3)
    seen = evaluations(metrics)
    assert looks_without_gain(seen) == 3
    assert all(looks_without_gain(seen[:count]) < 3 for count in range(len(seen)))
    assert metrics[-1]["step"] < 80


def test_a_run_that_goes_on_keeps_the_checkpoint_that_an_undisturbed_one_keeps(
    base: Path, tmp_path: Path
) -> None:
    adapter, metrics = train(base, tmp_path / "undisturbed", keep="best")
    kept = candidates(evaluations(metrics))[0].step
    for stop in (kept + 2, None):
        again = interrupted(base, tmp_path / "again", stop)
    assert (again / "adapter_model.safetensors").read_bytes() == adapter


def interrupted(base: Path, output: Path, stop: int | None) -> Path:
    """The run as LoRATrainer makes it, ended after a step, or gone on with from its newest checkpoint."""
    import torch
    import transformers

    from nlp_skills.base_model import load_tokenizer, resolve_base_model
    from nlp_skills.training.checkpoints import checkpoints, step_of
    from nlp_skills.training.environment import Stopwatch
    from nlp_skills.training.methods import sft
    from nlp_skills.training.preflight.trainable_model import load_trainable_model

    class Stop(transformers.TrainerCallback):
        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            control.should_training_stop = state.global_step == stop

    config = TrainConfig.parse({**CONFIG, "base_model": str(base), "keep": "best"}, "config")
    torch.set_num_threads(1)
    transformers.set_seed(config.seed)
    files = resolve_base_model(config.base_model)
    tokenizer = load_tokenizer(files)
    rows = {"train": sft.tokenize(tokenizer, TRAIN, config), "valid": sft.tokenize(tokenizer, VALID, config)}
    work = output / "checkpoints"
    work.mkdir(parents=True, exist_ok=True)
    newest = next(iter(reversed(checkpoints(work))), None)
    log = MetricsLog(output / "metrics.jsonl", resumed_at=step_of(newest) if newest else 0)
    callbacks = [log.callback(Stopwatch()), Stop()]
    model = load_trainable_model(files, config)
    trainer = sft.build_trainer(config, model, tokenizer, rows, work, callbacks)
    watch_validation(trainer, config, log.path)
    trainer.train(resume_from_checkpoint=str(newest) if newest else None)
    said: list[str] = []
    if stop is None:
        assert load_kept(trainer, config, log.path, said.append) is not None
        assert "is within one standard error" in said[0]
    trainer.model.save_pretrained(output / "model")
    return output / "model"
