"""The library's own names: what a program imports from nlp_skills."""

import json
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

import nlp_skills
from nlp_skills import (
    LoRAConfig,
    LoRATrainer,
    PresetConfigs,
    TrainConfig,
    TrainingConfig,
    app,
    load_training_data,
    prepare_dataset,
)
from nlp_skills.base_model import BaseModelFiles
from nlp_skills.data.example import Example
from nlp_skills.errors import AlreadyExists, NotFound, NotValid
from nlp_skills.operations import OPERATIONS
from nlp_skills.training.run.metrics_log import read_metrics

ROOT = Path(__file__).resolve().parent.parent


def test_every_name_that_is_exported_is_there_and_is_the_one_of_its_module():
    for name in nlp_skills.__all__:
        assert getattr(nlp_skills, name) is not None
        assert name in dir(nlp_skills)
    assert TrainingConfig is TrainConfig
    for operation in OPERATIONS:
        if operation.name in nlp_skills.__all__:
            assert getattr(nlp_skills, operation.name) is operation.function


def test_a_name_that_is_not_there_is_an_attribute_error():
    with pytest.raises(AttributeError, match="has no attribute 'LoraTrainer'"):
        nlp_skills.LoraTrainer  # noqa: B018


def test_the_version_is_that_of_the_project():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert nlp_skills.__version__ == project["version"]


def test_importing_the_package_imports_nothing_else():
    code = (
        "import sys; before = set(sys.modules); import nlp_skills; import json;"
        "print(json.dumps(sorted(m for m in set(sys.modules) - before if m.startswith(('nlp_skills', 'pydantic')))))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(ran.stdout) == ["nlp_skills"]


def test_the_commands_can_be_mounted_in_another_program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    main_app = typer.Typer()
    main_app.add_typer(app, name="finetune")

    @main_app.command()
    def other() -> None:
        typer.echo("another command")

    runner = CliRunner()
    assert runner.invoke(main_app, ["other"]).stdout == "another command\n"
    assert "create-task" in runner.invoke(main_app, ["finetune", "--help"]).stdout
    assert "quickstart" in runner.invoke(main_app, ["finetune", "examples"]).stdout
    made = runner.invoke(main_app, ["finetune", "create-task", "a", "--type", "qa", "--goal", "g"])
    assert made.exit_code == 0 and (tmp_path / "tasks" / "a" / "task.yaml").is_file()
    failed = runner.invoke(main_app, ["finetune", "show-task", "b"])
    assert failed.exit_code == 1 and failed.stderr.startswith("Error: No task named 'b'")


@pytest.mark.parametrize("name", ["minimal", "rtx_3060", "rtx_4090", "a100", "cpu"])
def test_a_preset_is_a_configuration_whose_steps_see_sixteen_rows(name: str):
    config: TrainConfig = getattr(PresetConfigs, name)()
    assert config.per_device_train_batch_size * config.gradient_accumulation_steps == 16
    assert config.lora_alpha == 2 * config.lora_r
    assert (config.peft, config.lora_dropout, config.learning_rate) == ("lora", 0.0, 2e-4)
    assert 1 <= config.epochs <= 3
    assert getattr(PresetConfigs, name)("owner/model").base_model == "owner/model"


def test_the_preset_of_the_rtx_3060_is_the_usual_one():
    config = PresetConfigs.rtx_3060()
    assert config.lora == LoRAConfig(r=16, lora_alpha=32, lora_dropout=0.0)
    assert (config.per_device_train_batch_size, config.gradient_accumulation_steps) == (2, 8)
    assert (config.max_length, config.gradient_checkpointing) == (2048, True)


def said(example: Example) -> list[tuple[str, str | None]]:
    return [(m.role, m.content) for m in example.messages or []]


def test_rows_of_any_shape_become_conversations(tmp_path: Path):
    alpaca = {"instruction": "Add.", "input": "1+1", "output": "2"}
    sharegpt = {"conversations": [{"from": "human", "value": "hi"}, {"from": "gpt", "value": "hello"}]}
    chat = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}
    assert said(prepare_dataset([alpaca])[0]) == [("user", "Add.\n1+1"), ("assistant", "2")]
    assert said(prepare_dataset([sharegpt])[0]) == said(prepare_dataset([chat])[0])
    assert said(prepare_dataset([chat], instruction="Be kind.")[0])[0] == ("system", "Be kind.")
    file = tmp_path / "reviews.csv"
    file.write_text("text,label\ngood food,yes\nbad food,no\n", encoding="utf-8")
    rows = load_training_data(file)
    assert rows == [{"text": "good food", "label": "yes"}, {"text": "bad food", "label": "no"}]
    examples = prepare_dataset(rows)
    assert said(examples[0])[1:] == [("user", "good food"), ("assistant", "yes")]
    assert "no, yes" in (said(examples[0])[0][1] or "")
    assert prepare_dataset(examples) == examples
    assert prepare_dataset([]) == []


def test_rows_that_cannot_be_used_are_named(tmp_path: Path):
    with pytest.raises(NotValid, match=r"1 row cannot be used\. row 2: "):
        prepare_dataset([{"prompt": "a", "completion": "b"}, {"prompt": "a", "completion": ""}])
    with pytest.raises(NotFound):
        load_training_data(tmp_path / "nowhere.csv")


def test_rows_are_looked_at_before_anything_is_written(tmp_path: Path, smollm2: BaseModelFiles):
    trainer = LoRATrainer(TrainConfig(max_length=16), output_dir=tmp_path / "out")
    with pytest.raises(NotValid, match="no rows to train on"):
        trainer.train([])
    with pytest.raises(NotValid, match=r"max_length 16: 1 row \(.* first: rows-1\)"):
        trainer.train([{"prompt": "a " * 50, "completion": "b"}])
    assert not (tmp_path / "out").exists()
    assert LoRATrainer(name="code").output_dir == Path("finetune_output/code")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`(is_)?gradient_checkpointing` is deprecated:FutureWarning")
def test_a_tiny_training_leaves_an_adapter_that_loads_and_is_never_overwritten(
    tmp_path: Path, smollm2: BaseModelFiles
):
    config = PresetConfigs.cpu().with_changes(
        epochs=1, per_device_train_batch_size=2, gradient_accumulation_steps=1, lora_r=2, threads=1
    )
    rows = [{"text": f"text {n}", "label": ("good", "bad")[n % 2]} for n in range(4)]
    adapter = LoRATrainer(config, output_dir=tmp_path / "out").train(rows, valid=rows[:2])
    assert adapter == tmp_path / "out" / "adapter"
    assert TrainConfig.load(tmp_path / "out" / "config.yaml") == config
    steps = [row for row in read_metrics(tmp_path / "out" / "metrics.jsonl") if "loss" in row]
    assert [row["step"] for row in steps] == [1, 2]

    from peft import PeftModel

    from nlp_skills.base_model import load_base_model

    model = PeftModel.from_pretrained(load_base_model(smollm2), adapter)
    assert model.peft_config["default"].r == 2
    before = (adapter / "adapter_model.safetensors").read_bytes()
    with pytest.raises(AlreadyExists, match="Choose another output_dir"):
        LoRATrainer(config, output_dir=tmp_path / "out").train(rows)
    assert (adapter / "adapter_model.safetensors").read_bytes() == before
