"""The plan of a training: settings with reasons that make a version, figures that fit, and what would fit instead."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from small_task import make_small_task

from nlp_skills.data.replacement import settle_data
from nlp_skills.errors import NotReady
from nlp_skills.records import to_yaml, write_atomic
from nlp_skills.tables import render
from nlp_skills.task.task import Task, TaskType, create_task
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.job import read_job
from nlp_skills.training.new_version import create_version
from nlp_skills.training.planning.forecast import forecast_version
from nlp_skills.training.planning.hardware import NAMED
from nlp_skills.training.planning.model_shape import approximate_shape
from nlp_skills.training.planning.plan import Plan, plan_training
from nlp_skills.training.planning.reasons import OF_SOME, REASONS
from nlp_skills.training.planning.row_lengths import RowLength, RowLengths
from nlp_skills.training.planning.settings import KEPT, fitted_configs, wanted_config
from nlp_skills.training.presets import PresetConfigs
from nlp_skills.training.train import StartingPlan, start_training, train_model
from small_model import save_small_model


@pytest.fixture(scope="module", autouse=True)
def no_gpu() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CUDA_VISIBLE_DEVICES", "")
        yield


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task of 32 rows with a model of random weights."""
    folder = make_small_task(tmp_path_factory.mktemp("home") / "tasks")
    definition = Task.load(folder / "task.yaml")
    model = str(folder.parent.parent / "small-model")
    definition.with_changes(base_model=model).save(folder / "task.yaml")
    return folder


def shape_only(folder: Path, **settings: Any) -> str:
    """A base model of which only config.json is there: nothing else may be needed."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"model_type": "qwen3", **settings}), encoding="utf-8")
    return str(folder)


QWEN3_8B = {
    "hidden_size": 4096,
    "intermediate_size": 12288,
    "num_hidden_layers": 36,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "head_dim": 128,
    "vocab_size": 151936,
    "tie_word_embeddings": False,
}


def test_every_setting_of_a_plan_has_its_reason_and_an_alternative(task: Path) -> None:
    plan = plan_training(task)
    assert [c.setting for c in plan.choices] == [name for name in REASONS if name not in OF_SOME]
    for choice in plan.choices:
        assert choice.reason
        assert choice.alternative
    assert plan.parameters_are_exact
    assert plan.lengths.rows == 32
    assert plan.lengths.longest >= plan.lengths.p95 >= plan.lengths.p50
    assert plan.forecast.fits
    assert {place.name for place in plan.elsewhere} == set(NAMED)


def test_a_plan_changes_nothing(task: Path) -> None:
    before = sorted(path for path in task.rglob("*") if "cache" not in path.parts)
    plan_training(task)
    assert sorted(path for path in task.rglob("*") if "cache" not in path.parts) == before


def test_a_large_model_is_fitted_by_steps_and_what_does_not_fit_says_what_would(
    task: Path, tmp_path: Path
) -> None:
    large = shape_only(tmp_path / "Qwen3-8B", **QWEN3_8B)
    plans = {
        name: plan_training(task, hardware=name, base_model=large) for name in ("minimal", "rtx_3060", "h100")
    }  # type: ignore[arg-type]
    assert plans["h100"].parameters == 8_190_735_360

    def value(plan: Plan, setting: str) -> str:
        return next(choice.value for choice in plan.choices if choice.setting == setting)

    assert value(plans["h100"], "peft") == "lora"
    assert value(plans["rtx_3060"], "peft") == "qlora"
    assert plans["rtx_3060"].forecast.fits
    assert not plans["minimal"].forecast.fits
    note = plans["minimal"].notes[0]
    assert note.startswith("HW-FIT: it does not fit: ")
    assert "It would fit on: " in note
    assert "h200" in note
    assert "A smaller base_model would take less: Qwen/Qwen3-4B." in note
    assert "estimated at 3 bytes a token" in plans["h100"].lengths.counted


def test_cost_is_the_users_own_price_or_the_dated_one_and_is_held_against_the_budget(
    task: Path, tmp_path: Path
) -> None:
    large = shape_only(tmp_path / "Qwen3-8B", **QWEN3_8B)
    dated = plan_training(task, hardware="h100", base_model=large).forecast
    assert dated.price == NAMED["h100"].price
    assert dated.usd is not None
    assert dated.seconds is not None
    own = plan_training(task, hardware="h100", base_model=large, usd_per_hour=3600.0)
    assert own.forecast.usd == pytest.approx(dated.seconds, rel=0.01)
    definition = Task.load(task / "task.yaml")
    poor = definition.with_changes(constraints={"budget_usd": 0.01, "privacy": "stays in the house"})
    poor.save(task / "task.yaml")
    try:
        notes = plan_training(task, hardware="h100", base_model=large, usd_per_hour=3600.0).notes
    finally:
        definition.save(task / "task.yaml")
    assert any("more than the budget of 0.01 USD" in note for note in notes)
    assert any("stays in the house" in note for note in notes)


def test_a_task_without_rows_has_no_plan(tmp_path: Path) -> None:
    create_task(
        tmp_path,
        "empty",
        type=TaskType.CLASSIFICATION,
        goal="Route.",
        base_model=str(save_small_model(tmp_path / "m")),
    )
    settle_data(tmp_path / "empty")
    with pytest.raises(NotReady, match="empty has no rows to train on yet"):
        plan_training(tmp_path / "empty")


def test_what_was_predicted_is_said_before_and_recorded_beside_what_it_took(task: Path) -> None:
    plan = start_training(task)
    assert isinstance(plan, StartingPlan)
    assert plan.predicted is not None
    assert plan.predicted.words() in plan.message
    assert plan.predicted == forecast_version(task).model_copy(update={"free_mb": plan.predicted.free_mb})
    train_model(task)
    job = read_job(task / "versions" / "v1")
    assert job is not None
    assert job.predicted == plan.predicted.prediction()
    assert job.cost is not None
    after = forecast_version(task)
    # A version as base model has the shape of what it was made of; its weights are not merged for that.
    create_version(task, base_model="v1")
    onward = plan_training(task, base_model="v1")
    assert (onward.base_model, onward.parameters) == ("v1", plan_training(task).parameters)
    assert "--base-model" not in onward.command, "v2 has it already"
    assert forecast_version(task, "v2").family == "llama"
    assert not (task / "models" / "v1" / "merged").exists()
    assert after.correction.runs == 1
    assert after.correction.memory_error == pytest.approx(
        abs(plan.predicted.peak_mb / (job.cost.peak_gpu_memory_mb or job.cost.peak_memory_mb) - 1), abs=1e-3
    )


def test_what_a_target_will_take_is_predicted_from_the_hardware_that_it_names(task: Path) -> None:
    declared = [
        {"name": "box", "type": "ssh", "host": "gpu1", "hardware": "rtx_3060", "usd_per_hour": 3600},
        {"name": "plain", "type": "ssh", "host": "gpu2"},
    ]
    write_atomic(task / "configs" / "targets.yaml", to_yaml({"targets": declared}))
    create_version(task, settings={"num_processes": 64, "seed": 5})
    box, plain, here = (start_training(task, target=name) for name in ("box", "plain", "local"))
    assert isinstance(box, StartingPlan)
    assert isinstance(plain, StartingPlan)
    assert isinstance(here, StartingPlan)
    assert box.predicted is not None
    assert (box.predicted.hardware, box.predicted.memory.device) == ("rtx_3060", "cuda")
    assert box.predicted.usd == pytest.approx(box.predicted.seconds)
    assert box.predicted.words() in box.message
    assert plain.predicted is None
    assert "What it takes there is not known: put hardware into configs/targets.yaml." in plain.message
    assert "num_processes is 64, and there is no GPU here" in here.message
    assert "num_processes" not in box.message, "how many GPUs there are is not known here"


def test_a_start_is_shown_as_a_table(task: Path) -> None:
    plan = start_training(task)
    assert isinstance(plan, StartingPlan)
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(render(plan))
    shown = console.export_text()
    assert f"{plan.version} of support" in shown
    assert "this machine" in shown
    assert "peak, when" in shown
    assert "predicted:" not in shown, "no YAML"


def test_every_setting_that_a_preset_or_a_plan_changes_has_a_reason() -> None:
    assert set(REASONS) <= set(TrainConfig.model_fields), "a reason is for a field that there is"
    usual = TrainConfig().model_dump()
    for name in NAMED:
        preset = getattr(PresetConfigs, name)().model_dump()
        assert {field for field in usual if preset[field] != usual[field]} <= set(REASONS)
    explained = set(REASONS) | {"base_revision", *KEPT}
    config = wanted_config(
        Task(name="t", type=TaskType.TOOL_USE, goal="g", created="2026-11-21"),
        RowLengths(60_000, (RowLength(40, 9),), (RowLength(900, 9),), "made up"),
        approximate_shape({"model_type": "qwen3", **QWEN3_8B}, "large"),
        method="grpo",
        peft="none",
        tools_in_prompt=True,
    )
    for fitted in fitted_configs(config, NAMED["h100"].with_changes(gpus=4), 60_000):
        made = fitted.model_dump()
        assert {field for field in usual if made[field] != usual[field]} <= explained
