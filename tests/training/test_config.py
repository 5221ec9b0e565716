"""config.yaml: the words of TRL and PEFT, refused where they make no sense."""

from pathlib import Path

import pytest

from nlp_skills.errors import NotValid
from nlp_skills.training.config import LoRAConfig, TrainConfig

OTHERS: dict[str, object] = {
    "r": 8,
    "lora_alpha": 64,
    "lora_dropout": 0.1,
    "target_modules": ["q_proj", "v_proj"],
}


def test_the_adapter_of_a_run_and_the_run_with_that_adapter_agree():
    for dora in (False, True):
        lora = LoRAConfig.parse({**OTHERS, "use_dora": dora}, "here")
        config = TrainConfig().with_lora(lora)
        assert config.lora == lora
        assert config.peft == ("dora" if dora else "lora")
    changed = {"peft", "lora_r", "lora_alpha", "lora_dropout", "target_modules"}
    assert config.model_dump(exclude=changed) == TrainConfig().model_dump(exclude=changed)


def test_the_defaults_are_those_of_the_field():
    lora = TrainConfig().lora
    assert (lora.r, lora.lora_alpha, lora.lora_dropout, lora.target_modules) == (16, 32, 0.0, "all-linear")
    assert TrainConfig().learning_rate == 2e-4


def test_a_configuration_is_the_same_after_its_file(tmp_path: Path):
    config = TrainConfig(learning_rate=1e-5, epochs=0.5, target_modules=["q_proj"], threads=2, seed=0)
    for name in ("config.yaml", "config.json"):
        assert TrainConfig.load(config.save(tmp_path / name) and tmp_path / name) == config


def test_numbers_as_people_write_them_are_read(tmp_path: Path):
    file = tmp_path / "config.yaml"
    file.write_text("learning_rate: 1e-5\nepochs: 3\n", encoding="utf-8")
    assert TrainConfig.load(file) == TrainConfig(learning_rate=1e-5, epochs=3.0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("lora_r", 0),
        ("lora_r", 1.5),
        ("lora_alpha", -1),
        ("lora_dropout", 1.0),
        ("epochs", 0),
        ("epochs", float("inf")),
        ("learning_rate", 0),
        ("learning_rate", float("nan")),
        ("learning_rate", 1.0),
        ("learning_rate", 20),
        ("per_device_train_batch_size", 0),
        ("gradient_accumulation_steps", 0),
        ("max_length", 8),
        ("max_grad_norm", 0),
        ("method", "magic"),
        ("peft", "ia3"),
        ("dtype", "float16"),
        ("lr_scheduler_type", "cosin"),
        ("target_modules", "[q_proj"),
        ("target_modules", 3),
        ("eval_steps", 0),
        ("threads", 0),
    ],
)
def test_a_value_that_makes_no_sense_is_refused_by_its_name(field: str, value: object):
    with pytest.raises(NotValid, match=rf"^config: {field}"):
        TrainConfig.parse({field: value}, "config")


def test_a_list_may_be_written_as_on_a_command_line():
    for written in ("q_proj,v_proj", "q_proj, v_proj", "[q_proj, v_proj]", ["q_proj", "v_proj"]):
        assert TrainConfig.parse({"target_modules": written}, "config").target_modules == ["q_proj", "v_proj"]
    assert TrainConfig.parse({"target_modules": "q_proj"}, "config").target_modules == ["q_proj"]
    assert TrainConfig.parse({"report_to": "trackio,wandb"}, "config").report_to == ["trackio", "wandb"]
    with pytest.raises(NotValid, match="report_to"):
        TrainConfig.parse({"report_to": "trackio,paper"}, "config")


def test_a_misspelt_setting_is_refused_with_the_right_name():
    with pytest.raises(NotValid, match="lora_rank: unknown field"):
        TrainConfig.parse({"lora_rank": 8}, "config")
    with pytest.raises(NotValid, match=r'learning_rat: unknown field \(did you mean "learning_rate"\?\)'):
        TrainConfig.parse({"learning_rat": 1}, "config")
    with pytest.raises(NotValid, match=r'lora_alfa: unknown field \(did you mean "lora_alpha"\?\)'):
        LoRAConfig.parse({"lora_alfa": 1}, "lora")
