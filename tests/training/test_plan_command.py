"""The command of a plan: run through the command line, it makes the version that was planned, whatever the parent was."""

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
from small_task import make_small_task
from typer.testing import CliRunner

from nlp_skills.cli import app
from nlp_skills.data.regenerate import regenerate_data
from nlp_skills.data.sources.source import DataSources
from nlp_skills.data.sourcing import add_source
from nlp_skills.task.task import Task, TaskType, create_task
from nlp_skills.task.version import version_names
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.defaults import with_defaults
from nlp_skills.training.new_version import create_version
from nlp_skills.training.planning.plan import Plan, plan_training
from nlp_skills.training.planning.plan_command import needed_settings
from nlp_skills.training.planning.settings import KEPT
from small_model import save_small_model

FAR_OFF: dict[str, Any] = {
    "peft": "dora",
    "lora_r": 64,
    "lora_alpha": 7,
    "lora_dropout": 0.1,
    "use_rslora": True,
    "target_modules": ["q_proj"],
    "epochs": 7,
    "learning_rate": 0.00123456789,
    "lr_scheduler_type": "linear",
    "warmup_steps": 3,
    "weight_decay": 0.1,
    "max_grad_norm": 0.3,
    "per_device_train_batch_size": 4,
    "gradient_accumulation_steps": 3,
    "per_device_eval_batch_size": 2,
    "gradient_checkpointing": True,
    "max_length": 999,
    "assistant_only_loss": False,
    "early_stopping_patience": 2,
    "eval_steps": 2,
    "save_steps": 5,
    "logging_steps": 3,
    "keep": "best",
    "dtype": "float32",
    "num_processes": 2,
    "distributed": "fsdp",
    "replay_file": "data/valid.jsonl",
    "replay_share": 0.25,
    "enable_thinking": False,
    "seed": 99,
    "threads": 2,
}
"""A parent that differs from the plan in all that can differ."""


def made_by(home: Path, plan: Plan) -> TrainConfig:
    """The configuration that the plan's command makes."""
    words = shlex.split(plan.command)
    assert words[0] == "nlp-skills"
    done = CliRunner().invoke(app, [*words[1:], "--home", str(home)])
    assert done.exit_code == 0, done.output
    folder = home / plan.task / "versions"
    newest = version_names(home / plan.task)[-1]
    return TrainConfig.load(folder / newest / "config.yaml")


def planned(plan: Plan, before: TrainConfig) -> dict[str, Any]:
    """All fields as the plan says them; those that it says nothing of are as always, or as they were."""
    config = TrainConfig.model_fields
    said = {choice.setting: choice.value for choice in plan.choices}
    kept = {name: getattr(before, name) for name in KEPT}
    usual = {name: field.get_default(call_default_factory=True) for name, field in config.items()}
    return {name: said.get(name, _shown(kept.get(name, usual[name]))) for name in usual}


def _shown(value: Any) -> str:
    return f"{value:g}" if isinstance(value, float) else str(value)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    make_small_task(tmp_path / "tasks")
    definition = Task.load(tmp_path / "tasks" / "support" / "task.yaml")
    definition.with_changes(base_model=str(tmp_path / "small-model")).save(
        tmp_path / "tasks" / "support" / "task.yaml"
    )
    create_version(tmp_path / "tasks" / "support", settings=FAR_OFF)
    return tmp_path / "tasks"


@pytest.mark.parametrize(
    "asked",
    [{}, {"peft": "dora"}, {"peft": "none"}, {"method": "grpo"}],
    ids=["lora", "dora", "full", "grpo"],
)
def test_the_command_of_a_plan_makes_the_version_that_was_planned(home: Path, asked: dict[str, Any]) -> None:
    task = home / "support"
    before = TrainConfig.load(task / "versions" / "v2" / "config.yaml")
    differs = {name for name in FAR_OFF if getattr(before, name) != TrainConfig.model_fields[name].default}
    assert differs == set(FAR_OFF), "the parent differs in all of it"
    plan = plan_training(task, **asked)
    made = made_by(home, plan)
    expected = planned(plan, before)
    if asked.get("method") == "grpo":
        expected |= {"replay_file": "None", "replay_share": "0.1", "rewards": "['label']"}
    if asked.get("peft") == "none":  # a plan says nothing of an adapter that there is none of
        expected |= {"lora_r": "16", "lora_alpha": "32"}
    found = {name: _shown(value) for name, value in made.model_dump().items() if not name.endswith("sha256")}
    assert found == {name: value for name, value in expected.items() if not name.endswith("sha256")}


def test_another_base_model_stands_in_the_command(home: Path, tmp_path: Path) -> None:
    other = str(save_small_model(tmp_path / "another model"))
    assert made_by(home, plan_training(home / "support", base_model=other)).base_model == other
    # And back to the one of task.yaml, which the newest version no longer has.
    assert made_by(home, plan_training(home / "support")).base_model == str(tmp_path / "small-model")


def test_a_plan_for_grpo_leaves_room_for_the_answers(home: Path) -> None:
    plan = plan_training(home / "support", method="grpo")
    made = made_by(home, plan)
    assert made.max_length >= plan.lengths.longest + made.max_completion_length
    answers = made.per_device_train_batch_size * made.gradient_accumulation_steps
    assert answers % made.num_generations == 0


def make(tmp_path: Path, type: TaskType, rows: list[dict[str, Any]]) -> Path:
    base = save_small_model(tmp_path / "base")
    create_task(tmp_path / "tasks", "small", type=type, goal="Answer.", instruction="", base_model=str(base))
    task = tmp_path / "tasks" / "small"
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows), encoding="utf-8")
    sources = DataSources.load(task / "data_source.yaml")
    sources.with_changes(split={"train": 16, "valid": 4, "test": 4}).save(task / "data_source.yaml")
    add_source(task, str(tmp_path / "rows.jsonl"))
    regenerate_data(task)
    return task


def test_marked_answers_are_planned_for_kto_in_batches_that_it_can_compare(tmp_path: Path) -> None:
    rows = [{"prompt": f"say {n}?", "completion": f"yes {n}", "label": n % 2 == 0} for n in range(24)]
    task = make(tmp_path, TaskType.PREFERENCE, rows)
    large = tmp_path / "large"
    large.mkdir()
    sizes = {"hidden_size": 4096, "num_hidden_layers": 36, "num_attention_heads": 32, "vocab_size": 151936}
    (large / "config.json").write_text(json.dumps({"model_type": "qwen3", **sizes}), encoding="utf-8")
    small = made_by(task.parent, plan_training(task))
    assert (small.method, small.per_device_train_batch_size) == ("kto", 8)
    unfit = {
        c.setting: c.value for c in plan_training(task, hardware="minimal", base_model=str(large)).choices
    }
    assert (unfit["method"], unfit["per_device_train_batch_size"]) == ("kto", "2")


def test_tools_that_the_template_does_not_show_are_planned_into_the_prompt(tmp_path: Path) -> None:
    call = {"type": "function", "function": {"name": "add", "arguments": {"a": 1}}}
    tool = {
        "type": "function",
        "function": {
            "name": "add",
            "description": "Adds numbers. " * 20,
            "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}},
        },
    }
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"Call {n}"},
                {"role": "assistant", "tool_calls": [call]},
            ],
            "tools": [tool],
        }
        for n in range(24)
    ]
    task = make(tmp_path, TaskType.TOOL_USE, rows)
    plan = plan_training(task)
    made = made_by(task.parent, plan)
    assert made.tools_in_prompt
    assert plan.lengths.longest > len(tool["function"]["description"]), "the tools are counted"
    assert made.max_length >= plan.lengths.longest


@pytest.mark.parametrize(
    ("before", "wanted"),
    [
        ({}, {}),
        ({"lora_r": 64, "lora_alpha": 64}, {"lora_r": 16, "lora_alpha": 32}),
        ({"learning_rate": 2e-5, "peft": "none"}, {"learning_rate": 2e-5, "peft": "lora"}),
        ({"method": "dpo", "learning_rate": 5e-5, "beta": 0.3}, {"learning_rate": 5e-5}),
        ({"lora_alpha": 8, "use_rslora": True}, {"lora_alpha": 8}),
    ],
)
def test_what_a_setting_changes_along_with_it_is_said_where_that_is_not_wanted(
    before: dict[str, Any], wanted: dict[str, Any]
) -> None:
    old, goal = TrainConfig.parse(before, "before"), TrainConfig.parse(wanted, "wanted")
    asked = needed_settings(old, goal, 5000)
    assert with_defaults(old, asked, 5000) == goal
    assert bool(asked) == (old != goal)
