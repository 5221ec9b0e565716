"""Hardware by name and as it is here; how long a run takes on it."""

from pathlib import Path

import pytest

from nlp_skills.errors import NotFound
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.planning.duration import (
    EFFICIENCY,
    count_validations,
    flops_per_second,
    run_flops,
    run_seconds,
    step_flops_per_token,
)
from nlp_skills.training.planning.gpus import Gpu, chosen_gpus
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


LISTED = """\
0, GPU-8f6a3c1e-0000-1111-2222-333344445555, NVIDIA A100-SXM4-40GB, 40960, 39424
1, GPU-11aa22bb-0000-1111-2222-333344445555, NVIDIA A100-SXM4-40GB, 40960, 1024
2, GPU-dead0000-0000-1111-2222-333344445555, NVIDIA H100, [N/A], [N/A]
"""
PARTS = """\
GPU 0: NVIDIA A100-SXM4-40GB (UUID: GPU-8f6a3c1e-0000-1111-2222-333344445555)
  MIG 3g.20gb     Device  0: (UUID: MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f)
  MIG 1g.5gb+me   Device  1: (UUID: MIG-0d2b2a0e-7d2a-5f2c-8a33-5a5f2b9d6b11)
"""
A100 = "NVIDIA A100-SXM4-40GB"


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        (["1"], [Gpu(A100, 40, 1)]),
        (["1", "0"], [Gpu(A100, 40, 1), Gpu(A100, 40, 38.5)]),
        (["GPU-11aa22bb-0000-1111-2222-333344445555"], [Gpu(A100, 40, 1)]),
        (["GPU-8f6a"], [Gpu(A100, 40, 38.5)]),
        (["MIG-c6d4f1ef-42e4-5de3-91c7-45d71c87eb3f"], [Gpu(f"{A100} MIG 3g.20gb", 20, 20)]),
        (["MIG-0d2b2a0e"], [Gpu(f"{A100} MIG 1g.5gb+me", 5, 5)]),
        (["2", "7", "GPU-none"], []),
    ],
)
def test_gpus_are_found_by_number_by_uuid_and_as_parts(wanted: list[str], found: list[Gpu]) -> None:
    assert chosen_gpus(wanted, LISTED, PARTS) == found


def test_more_looks_at_the_validation_rows_take_their_time(shape: ModelShape) -> None:
    cpu = NAMED["cpu"]
    config = TrainConfig(per_device_train_batch_size=4, gradient_accumulation_steps=1, epochs=2.0)
    assert [count_validations(config.with_changes(eval_steps=n), 100) for n in (None, 5, 50)] == [2, 10, 1]
    seconds = {
        (steps, rows): run_seconds(shape, config.with_changes(eval_steps=steps), ROWS, cpu, rows)
        for steps in (None, 5)
        for rows in (0, 400)
    }
    plain = seconds[None, 0]
    assert plain is not None
    assert seconds[5, 0] == plain
    once, often = ((seconds[steps, 400] or 0) - plain for steps in (None, 5))
    assert once > 0
    assert often == pytest.approx(5 * once, abs=0.5)


def test_time_goes_by_the_dtype_that_is_asked_for(shape: ModelShape) -> None:
    h100 = NAMED["h100"]
    rates = {
        dtype: flops_per_second(TrainConfig.model_validate({"dtype": dtype}), h100)
        for dtype in ("auto", "bfloat16", "float32")
    }
    assert rates["auto"] == rates["bfloat16"] == 989_000e9 * EFFICIENCY["cuda", "bfloat16"]
    assert rates["float32"] == 67_000e9 * EFFICIENCY["cuda", "float32"]
    assert flops_per_second(TrainConfig(dtype="bfloat16"), NAMED["cpu"]) is None, "not computed in hardware"
    assert all(hardware.float32_gflops for hardware in NAMED.values())


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
