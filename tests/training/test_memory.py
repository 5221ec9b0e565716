"""The memory estimate: its formulas beside what autograd really keeps, and how it answers to the settings."""

import contextlib
from typing import Any

import pytest

from nlp_skills.training.config import Peft, TrainConfig
from nlp_skills.training.planning.memory import (
    Batch,
    estimate_memory,
    layer_bytes,
    longest_batch,
    validation_batch,
)
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


MIB = 2**20


def test_what_is_kept_through_a_run_is_counted_number_by_number(shape: ModelShape) -> None:
    adapter = shape.adapter_parameters(16)
    # 4 layers: q 96x96, o 96x96, k and v 96x32, gate, up and down 96x256; r x (inputs + outputs) each.
    assert adapter == 4 * 16 * (2 * (96 + 96) + 2 * (96 + 32) + 3 * (96 + 256))
    lora = estimate(shape).parts
    assert lora["weights"] == pytest.approx(shape.parameters * 2 / MIB, abs=0.1)
    assert lora["adapter"] == pytest.approx(adapter * 4 / MIB, abs=0.1)
    assert lora["optimiser"] == pytest.approx(adapter * 8 / MIB, abs=0.1)
    full = estimate(shape, method="dpo", peft="none").parts
    assert "adapter" not in full
    for part, width in (("weights", 4), ("optimiser", 8), ("reference model", 4)):
        assert full[part] == pytest.approx(shape.parameters * width / MIB, abs=0.1)


def test_models_in_parts_lie_on_every_gpu_only_in_part(shape: ModelShape) -> None:
    whole = estimate(shape, "cuda", num_processes=4).parts
    assert whole == estimate(shape, "cuda").parts, "with ddp each GPU has it all"
    shared = estimate(shape, "cuda", num_processes=4, distributed="fsdp").parts
    for part in ("weights", "adapter", "optimiser"):
        assert shared[part] == pytest.approx(whole[part] / 4, abs=0.1)
    assert shared["activations"] == whole["activations"]
    layer = (2 * 96 * 96 + 2 * 96 * 32 + 3 * 96 * 256) * 2
    assert shared["layers put together"] == pytest.approx(
        (2 * layer + 100 * 96 * 2 + shape.adapter_parameters(16)) / MIB, abs=0.05
    )


def test_a_pack_is_as_long_as_max_length(shape: ModelShape) -> None:
    packed = {"packing": True, "per_device_train_batch_size": 2, "max_length": 512}
    config = TrainConfig.model_validate(packed)
    assert longest_batch(ROWS, config) == Batch(rows=2, length=512, labelled=136, columns=512, padded=False)
    learned = config.with_changes(assistant_only_loss=False)
    assert longest_batch(ROWS, learned) == Batch(rows=2, length=512, labelled=1024, columns=512, padded=False)
    plain = {**packed, "packing": False}
    assert estimate(shape, "cuda", **packed).peak_mb > estimate(shape, "cuda", **plain).peak_mb


def test_rows_that_are_validated_at_once_need_room_for_their_logits(shape: ModelShape) -> None:
    wide = shape.model_copy(update={"vocabulary": 150_000})

    def found(rows: int, device: Any) -> Any:
        config = TrainConfig(per_device_train_batch_size=1, per_device_eval_batch_size=rows, max_length=512)
        seen = longest_batch(ROWS, config), validation_batch(ROWS, config)
        return estimate_memory(wide, config, seen[0], device, "bfloat16", validated=seen[1])

    assert validation_batch(ROWS, TrainConfig(per_device_eval_batch_size=6)).rows == 6
    assert found(1, "cpu").moment == "the backward pass begins"
    many = found(16, "cpu")
    assert many.moment == "rows are validated"
    # 50 learned tokens of 400, 40 of 300 twice, 30 of 200, and the shortest again; 140 columns of 16 rows.
    learned = 50 + 40 + 40 + 13 * 30
    logits = 150_000 * (2 * 16 * 230 + 12 * learned)
    assert many.parts["logits"] == pytest.approx(logits / MIB, abs=0.1)
    assert found(16, "cuda").parts["logits"] < many.parts["logits"] / 10, "TRL's head goes by tiles there"


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
    assert sum(found.parts.values()) == pytest.approx(found.peak_mb, abs=0.5)
    assert found.peak_mb + sum(found.beside.values()) == pytest.approx(found.needed_mb, abs=0.5)
    assert list(found.beside) == ["allocator's reserve (6 %)", "CUDA context"]


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
