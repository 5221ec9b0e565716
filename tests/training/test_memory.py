"""The memory estimate: its formulas beside what autograd really keeps, and how it answers to the settings."""

import contextlib
from typing import Any

import pytest

from nlp_skills.training.config import Peft, TrainConfig
from nlp_skills.training.planning.memory import Batch, estimate_memory, layer_bytes, longest_batch
from nlp_skills.training.planning.model_shape import ModelShape, count_shape
from nlp_skills.training.planning.row_lengths import RowLength

SMALL = {
    "hidden_size": 96,
    "intermediate_size": 256,
    "num_hidden_layers": 1,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 100,
}


def saved_bytes(config: Any, peft: str, batch: Batch, attention: str, dtype: Any) -> int:
    """What one forward pass keeps for the backward pass, parameters left out."""
    import torch
    from peft import LoraConfig, get_peft_model
    from peft.helpers import disable_input_dtype_casting
    from transformers import AutoModelForCausalLM

    model: Any = AutoModelForCausalLM.from_config(config, attn_implementation=attention).to(dtype)
    adapted = peft != "none"
    if adapted:
        model = get_peft_model(model, LoraConfig(r=16, target_modules="all-linear", use_dora=peft == "dora"))
    own = {t.untyped_storage().data_ptr() for t in (*model.parameters(), *model.buffers())}
    kept: dict[int, Any] = {}

    def pack(tensor: Any) -> Any:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    mixed = adapted and dtype is torch.bfloat16
    with (
        torch.autocast("cpu", torch.bfloat16) if mixed else contextlib.nullcontext(),
        disable_input_dtype_casting(model) if adapted else contextlib.nullcontext(),
        torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor),
    ):
        ids = torch.randint(0, 99, (batch.rows, batch.length))
        mask = torch.ones_like(ids)
        if batch.padded:
            mask[0, : batch.length // 4] = 0
        out = model(input_ids=ids, attention_mask=mask, use_cache=False, logits_to_keep=1)
        out.logits.sum().backward()
    return sum(t.untyped_storage().nbytes() for pointer, t in kept.items() if pointer not in own)


@pytest.mark.parametrize("family", ["llama", "qwen3", "mistral"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
@pytest.mark.parametrize("peft", ["lora", "dora", "none"])
def test_a_layer_keeps_what_the_formula_says(family: str, attention: str, peft: Peft) -> None:
    import torch
    from transformers import AutoConfig

    length = 64 if attention == "eager" else 300
    batch = Batch(rows=4, length=length, labelled=4, columns=1, padded=True)
    sizes = {**SMALL, "num_hidden_layers": 1}
    dtype = torch.float32 if peft == "none" else torch.bfloat16
    made = [AutoConfig.for_model(family, **{**sizes, "num_hidden_layers": n}) for n in (1, 3)]
    kept = [saved_bytes(config, peft, batch, attention, dtype) for config in made]
    shape = count_shape(made[1], "small")
    said = layer_bytes(shape, TrainConfig(peft=peft), batch, "cpu", 4 if peft == "none" else 2)
    assert said == pytest.approx((kept[1] - kept[0]) / 2, rel=0.1)


@pytest.fixture(scope="module")
def shape() -> ModelShape:
    from transformers import AutoConfig

    return count_shape(AutoConfig.for_model("llama", **{**SMALL, "num_hidden_layers": 4}), "small")


ROWS = [RowLength(400, 50), RowLength(300, 40), RowLength(300, 40), RowLength(200, 30)]


def estimate(shape: ModelShape, device: Any = "cpu", **settings: Any) -> Any:
    config = TrainConfig.model_validate({"max_length": 512, "per_device_train_batch_size": 4, **settings})
    return estimate_memory(shape, config, longest_batch(ROWS, config), device, "bfloat16")


def test_the_parts_add_up_to_the_peak(shape: ModelShape) -> None:
    for settings in (
        {},
        {"peft": "none"},
        {"peft": "qlora"},
        {"method": "grpo", "rewards": ["exact_match"]},
        {"method": "dpo", "peft": "none"},
    ):
        found = estimate(shape, **settings)
        assert sum(found.parts.values()) == pytest.approx(found.peak_mb, abs=0.5)


def test_settings_move_the_estimate_as_they_move_the_memory(shape: ModelShape) -> None:
    plain = estimate(shape).peak_mb
    assert estimate(shape, gradient_checkpointing=True).peak_mb < plain
    assert estimate(shape, per_device_train_batch_size=1).peak_mb < plain
    assert estimate(shape, peft="dora").peak_mb > plain
    assert estimate(shape, method="dpo").peak_mb > estimate(shape, method="kto").peak_mb
    assert estimate(shape, peft="qlora").parts["weights"] < estimate(shape).parts["weights"]
    full = estimate(shape, peft="none")
    assert full.parts["optimiser"] == pytest.approx(shape.parameters * 8 / 2**20, abs=0.1)
    assert "reference model" in estimate(shape, method="dpo", peft="none").parts
    assert "reference model" not in estimate(shape, method="dpo").parts


def test_a_gpu_counts_its_own_tensors_and_asks_for_room_for_the_context(shape: ModelShape) -> None:
    found = estimate(shape, "cuda")
    assert "process" not in found.parts
    assert found.needed_mb > found.peak_mb + 700


def test_the_longest_batch_is_made_of_the_longest_rows() -> None:
    config = TrainConfig(per_device_train_batch_size=2, max_length=512)
    assert longest_batch(ROWS, config) == Batch(rows=2, length=400, labelled=90, columns=140, padded=True)
    pairs = TrainConfig(method="dpo", per_device_train_batch_size=2, max_length=512)
    assert longest_batch(ROWS, pairs).rows == 4
    answers = TrainConfig(
        method="grpo", rewards=["exact_match"], per_device_train_batch_size=2, max_completion_length=100
    )
    assert longest_batch(ROWS, answers) == Batch(rows=2, length=450, labelled=200, columns=100, padded=True)
    whole = TrainConfig(assistant_only_loss=False, per_device_train_batch_size=1, max_length=512)
    assert longest_batch(ROWS, whole).labelled == 400


def test_a_model_that_is_converted_while_it_is_read_needs_room_for_its_file(shape: ModelShape) -> None:
    large = shape.model_copy(update={"parameters": 2_000_000_000, "stored_width": 4})
    found = estimate(large)
    assert found.moment == "the weights are read"
    assert found.parts["file of the weights"] == pytest.approx(8e9 / 2**20, abs=0.1)
    assert estimate(large.model_copy(update={"stored_width": 2})).moment == "the backward pass begins"
    assert estimate(large, "cuda").moment == "the backward pass begins"
