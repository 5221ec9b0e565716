"""Hardware by name and as it is here; how long a run takes on it."""

from pathlib import Path

import pytest

from nlp_skills.errors import NotFound
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.planning.duration import run_flops, run_seconds, step_flops_per_token
from nlp_skills.training.planning.hardware import NAMED, find_hardware
from nlp_skills.training.planning.machine_speed import machine_speed
from nlp_skills.training.planning.model_shape import ModelShape, approximate_shape
from nlp_skills.training.planning.row_lengths import RowLength, RowLengths
from nlp_skills.training.presets import PresetConfigs

LLAMA = {
    "model_type": "llama",
    "hidden_size": 512,
    "intermediate_size": 1024,
    "num_hidden_layers": 8,
    "num_attention_heads": 8,
    "vocab_size": 1000,
    "tie_word_embeddings": True,
}
ROWS = RowLengths(100, (RowLength(200, 20),) * 100, (RowLength(200, 20),) * 64, "made up")


@pytest.fixture
def shape() -> ModelShape:
    return approximate_shape(LLAMA, "small")


def test_every_named_hardware_has_a_preset_of_its_name_and_a_dated_price_or_none() -> None:
    assert set(NAMED) == {"cpu", "minimal", "rtx_3060", "rtx_4090", "a100", "h100", "h200", "apple"}
    for name, hardware in NAMED.items():
        assert isinstance(getattr(PresetConfigs, name)(), TrainConfig)
        assert hardware.free_gb < hardware.memory_gb
        assert hardware.price is None or (hardware.price.source and len(hardware.price.date) == 10)


def test_presets_see_sixteen_rows_a_step_everywhere() -> None:
    for name in NAMED:
        config = getattr(PresetConfigs, name)()
        assert config.per_device_train_batch_size * config.gradient_accumulation_steps == 16


def test_hardware_is_found_however_it_is_spelled_and_a_wrong_name_says_what_there_is() -> None:
    assert find_hardware("RTX-3060") == NAMED["rtx_3060"]
    with pytest.raises(
        NotFound, match=r"no hardware 'h10' \(did you mean \"h100\"\?\).*leave it out for this machine"
    ):
        find_hardware("h10")


def test_this_machine_is_measured_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NLP_SKILLS_CACHE", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    here = find_hardware()
    assert here.measured
    assert here.gflops is not None
    assert here.gflops > 0
    assert here.machine is not None
    assert here.machine.endswith("1 threads") or here.device == "cuda"
    assert 0 < here.free_gb <= here.memory_gb
    kept = list((tmp_path / "speed").iterdir())
    assert len(kept) == 1
    before = kept[0].stat().st_mtime_ns
    assert find_hardware().gflops == here.gflops
    assert kept[0].stat().st_mtime_ns == before
    if here.device == "cpu":
        assert machine_speed(1, "") is not None


def test_an_adapter_takes_four_operations_a_weight_and_full_training_six(shape: ModelShape) -> None:
    weights = shape.parameters - shape.embedding_parameters
    attention = 4 * shape.layers * shape.query_width * 200
    full = step_flops_per_token(shape, TrainConfig(peft="none"), 200)
    assert full == 3 * (2 * weights + attention)
    lora = step_flops_per_token(shape, TrainConfig(lora_r=8), 200)
    assert lora == 2 * (2 * weights + attention) + 6 * shape.adapter_parameters(8)
    again = step_flops_per_token(shape, TrainConfig(peft="none", gradient_checkpointing=True), 200)
    assert again / full == pytest.approx(4 / 3)


def test_preference_methods_pay_for_their_passes(shape: ModelShape) -> None:
    flops = {
        method: run_flops(shape, TrainConfig.model_validate({"method": method}), ROWS)
        for method in ("sft", "dpo", "orpo", "kto")
    }
    assert flops["sft"] < flops["orpo"] < flops["dpo"]
    assert flops["sft"] < flops["kto"] < flops["dpo"]


def test_twice_the_rows_take_twice_the_time_and_unknown_speed_gives_none(shape: ModelShape) -> None:
    twice = RowLengths(200, ROWS.sample, ROWS.longest, "made up")
    cpu = NAMED["cpu"]
    one, two = (run_seconds(shape, TrainConfig(), lengths, cpu) for lengths in (ROWS, twice))
    assert one is not None
    assert two is not None
    assert two - 3 == pytest.approx(2 * (one - 3), abs=0.2)
    unknown = cpu.with_changes(gflops=None, float32_gflops=None)
    assert run_seconds(shape, TrainConfig(), ROWS, unknown) is None
