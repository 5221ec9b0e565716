"""What another method, adapter or rank changes along with it, and what cannot be meant."""

import pytest

from nlp_skills.errors import NotValid
from nlp_skills.task.task import Task, TaskType
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.defaults import default_config, with_defaults


def task(kind: TaskType) -> Task:
    return Task(name="t", type=kind, goal="Do it.", created="2026-11-21T00:00:00Z")


def test_the_first_version_is_an_adapter_by_the_method_of_the_task() -> None:
    assert default_config(task(TaskType.CLASSIFICATION), 5000) == TrainConfig(learning_rate=2e-4)
    few = default_config(task(TaskType.CLASSIFICATION), 300)
    assert few == TrainConfig(learning_rate=3e-4, gradient_accumulation_steps=1)
    assert default_config(task(TaskType.PREFERENCE), 5000).method == "dpo"
    assert default_config(task(TaskType.PREFERENCE), 300).learning_rate == 5e-5


def test_all_weights_take_a_tenth_of_the_learning_rate_unless_it_is_given() -> None:
    before = TrainConfig(learning_rate=2e-4)
    assert with_defaults(before, {"peft": "none"}, 5000) == TrainConfig(peft="none", learning_rate=2e-5)
    assert with_defaults(before, {"peft": "none"}, 300).learning_rate == 2e-5
    assert with_defaults(before, {"peft": "none", "learning_rate": 3e-6}, 300).learning_rate == 3e-6


def test_another_kind_of_adapter_keeps_the_learning_rate() -> None:
    before = TrainConfig(learning_rate=7e-4)
    for peft in ("dora", "qlora"):
        assert with_defaults(before, {"peft": peft}, 300) == TrainConfig(peft=peft, learning_rate=7e-4)


@pytest.mark.parametrize(
    ("before", "wanted", "alpha"),
    [
        ({}, {"lora_r": 8}, 16),
        ({}, {"lora_r": 64, "lora_alpha": 5}, 5),
        ({}, {"use_rslora": True}, 8),
        ({"use_rslora": True, "lora_alpha": 8}, {"use_rslora": False}, 32),
        ({"use_rslora": True, "lora_alpha": 8}, {"lora_r": 64}, 16),
        ({}, {"epochs": 1.0}, 32),
    ],
)
def test_another_rank_or_rule_keeps_the_scale_of_the_adapter(
    before: dict[str, object], wanted: dict[str, object], alpha: int
) -> None:
    found = with_defaults(TrainConfig.parse(before, "before"), wanted, 5000)
    assert found == TrainConfig.parse({**before, **wanted, "lora_alpha": alpha}, "after")


def test_what_only_the_old_method_or_adapter_reads_is_left_behind() -> None:
    before = TrainConfig(
        assistant_only_loss=False, target_modules=["q_proj"], use_rslora=True, enable_thinking=False
    )
    cpt = with_defaults(before, {"method": "cpt"}, 5000)
    assert (cpt.assistant_only_loss, cpt.enable_thinking, cpt.target_modules) == (True, None, ["q_proj"])
    answers = TrainConfig(
        method="grpo", rewards=["label"], num_generations=4, temperature=0.7, max_completion_length=64
    )
    assert with_defaults(answers, {"method": "sft"}, 5000) == TrainConfig()
    mixed = TrainConfig(replay_file="data/general.jsonl", replay_share=0.3)
    assert with_defaults(mixed, {"method": "dpo"}, 5000) == TrainConfig(method="dpo", learning_rate=5e-5)
    assert with_defaults(mixed, {"replay_file": None}, 5000) == TrainConfig()
    shared = TrainConfig(num_processes=4, distributed="fsdp")
    assert with_defaults(shared, {"num_processes": 1}, 5000) == TrainConfig()
    full = with_defaults(before, {"peft": "none"}, 5000)
    assert (full.target_modules, full.use_rslora, full.assistant_only_loss) == ("all-linear", False, False)


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"peft": "none", "target_modules": ["q_proj"]}, "target_modules belong to an adapter"),
        ({"target_modules": []}, "target_modules is empty"),
        ({"peft": "none", "use_rslora": True}, "use_rslora belongs to an adapter"),
        ({"method": "dpo", "packing": True}, "packing is for sft and cpt; dpo compares whole rows"),
        ({"method": "cpt", "assistant_only_loss": False}, "assistant_only_loss: false is for sft; cpt"),
        (
            {"method": "dpo", "replay_file": "data/general.jsonl"},
            "replay_file is for sft and cpt, not for dpo",
        ),
        ({"beta": 0.1}, "beta is for dpo, orpo, kto and grpo; sft has none"),
        ({"method": "kto", "sft_weight": 1.0}, "sft_weight is for dpo; kto has none"),
        ({"rewards": ["label"]}, "rewards are for grpo; sft has none"),
        ({"method": "grpo"}, "grpo needs rewards"),
        ({"method": "cpt", "enable_thinking": True}, "enable_thinking is for chat templates"),
        ({"method": "grpo", "rewards": ["label"], "keep": "best"}, "go by the validation loss, which grpo"),
        ({"peft": "qlora", "num_processes": 2, "distributed": "fsdp"}, "4-bit weights cannot be divided"),
        ({"num_generations": 4}, "num_generations is for grpo; sft has none"),
        ({"temperature": 0.7}, "temperature is for grpo; sft has none"),
        ({"method": "dpo", "max_completion_length": 64}, "max_completion_length is for grpo; dpo has none"),
        ({"replay_share": 0.3}, "there is no replay_file"),
        ({"distributed": "fsdp"}, "and num_processes is 1; set both"),
    ],
)
def test_a_combination_that_makes_no_sense_is_refused_with_its_reason(
    settings: dict[str, object], reason: str
) -> None:
    with pytest.raises(NotValid, match=reason):
        with_defaults(TrainConfig(), settings, 5000)
