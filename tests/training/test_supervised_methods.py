"""sft and cpt on a small model with every adapter: that they learn, what they learn, and what is left alone."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.data.tokens import IGNORED, TokenRow
from nlp_skills.errors import NotValid
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.run.metrics_log import read_metrics
from nlp_skills.training.trainer import LoRATrainer
from small_model import save_small_model, small_tokenizer

CONFIG: dict[str, Any] = {
    "learning_rate": 0.02,
    "lora_r": 4,
    "epochs": 3,
    "per_device_train_batch_size": 4,
    "max_length": 64,
    "threads": 1,
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_model(tmp_path_factory.mktemp("base") / "small")


def said(number: int) -> Example:
    turns = [Message("user", f"say {number}"), Message("assistant", "yes" if number % 2 else "no")]
    return Example(meta=Meta(f"s-{number}", "s"), messages=turns)


def text(number: int) -> Example:
    return Example(
        meta=Meta(f"t-{number}", "t"), messages=[Message("assistant", "again and " * (number + 1))]
    )


def trained(
    base: Path, output: Path, rows: Sequence[Example] | None = None, **settings: Any
) -> tuple[Path, list[dict[str, Any]]]:
    """The model's folder and the lines of metrics.jsonl."""
    config = TrainConfig.parse({**CONFIG, "base_model": str(base), **settings}, "config")
    make = text if config.method == "cpt" else said
    rows = rows or [make(number) for number in range(16)]
    model = LoRATrainer(config, output_dir=output).train(rows, valid=rows[:4])
    return model, read_metrics(output / "metrics.jsonl")


def losses(metrics: list[dict[str, Any]]) -> list[float]:
    return [row["eval_loss"] for row in metrics if "eval_loss" in row]


def tensors(model: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return load_file(model / ("model.safetensors" if model.name == "model" else "adapter_model.safetensors"))


KINDS: dict[str, dict[str, Any]] = {
    "lora": {},
    "rslora": {"use_rslora": True, "lora_alpha": 8},
    "dora": {"peft": "dora"},
    "qlora": {"peft": "qlora"},
    "none": {"peft": "none", "learning_rate": 0.005},
    "one kind of module": {"target_modules": ["q_proj"], "learning_rate": 0.1},
    "float32": {"dtype": "float32"},
    "checkpointing": {"gradient_checkpointing": True},
}


@pytest.mark.parametrize("method", ["sft", "cpt"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_adapter_learns_with_both_methods(base: Path, tmp_path: Path, kind: str, method: str) -> None:
    model, metrics = trained(base, tmp_path, method=method, **KINDS[kind])
    found = losses(metrics)
    assert len(found) == 3
    assert found[-1] < found[0] < 5.6  # log 259, what a model without any knowledge has
    weights = tensors(model)
    assert all(bool(tensor.isfinite().all()) for tensor in weights.values())
    names = {name.rsplit(".", 3)[-3] for name in weights if "lora_B" in name}
    every = {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    assert names == ({"q_proj"} if kind == "one kind of module" else set() if kind == "none" else every)
    assert any("lora_magnitude_vector" in name for name in weights) == (kind == "dora")
    assert {str(tensor.dtype) for tensor in weights.values()} == {"torch.float32"}


def test_checkpointing_changes_no_adapter(base: Path, tmp_path: Path) -> None:
    plain, _ = trained(base, tmp_path / "plain", dtype="float32", epochs=1)
    recomputed, _ = trained(base, tmp_path / "again", dtype="float32", epochs=1, gradient_checkpointing=True)
    assert (plain / "adapter_model.safetensors").read_bytes() == (
        recomputed / "adapter_model.safetensors"
    ).read_bytes()


def test_four_bit_weights_are_nf4_with_double_quantisation_and_stay_as_they_are(
    base: Path, tmp_path: Path
) -> None:
    from nlp_skills.base_model import resolve_base_model
    from nlp_skills.training.preflight.trainable_model import load_trainable_model

    model = load_trainable_model(resolve_base_model(str(base)), TrainConfig(peft="qlora"))
    weight = model.model.layers[0].mlp.down_proj.weight
    assert (weight.quant_type, weight.quant_state.nested, weight.requires_grad) == ("nf4", True, False)
    assert model.is_loaded_in_4bit


def test_with_accumulation_the_loss_is_that_of_the_batch(base: Path, tmp_path: Path) -> None:
    """RUN-SCALE (P24): rows of unlike length, so a mean of means would differ."""
    rows = [
        Example(
            meta=Meta(f"s-{n}", "s"),
            messages=[Message("user", "say"), Message("assistant", "yes " * (1 + 3 * n))],
        )
        for n in range(4)
    ]
    first = [
        trained(
            base,
            tmp_path / str(size),
            rows,
            epochs=2,
            dtype="float32",
            per_device_train_batch_size=size,
            gradient_accumulation_steps=4 // size,
        )[1]
        for size in (4, 1)
    ]
    together, one_by_one = ([row["loss"] for row in rows if "loss" in row] for rows in first)
    assert one_by_one == pytest.approx(together, rel=0.02)


def test_the_whole_row_is_learned_without_assistant_only_loss(base: Path) -> None:
    from nlp_skills.training.methods import sft

    tokenizer = small_tokenizer()
    [answers] = sft.tokenize(tokenizer, [said(1)], TrainConfig())
    [whole] = sft.tokenize(tokenizer, [said(1)], TrainConfig(assistant_only_loss=False))
    assert tokenizer.decode([label for label in answers.labels if label != IGNORED]) == "yes<|im_end|>"
    assert whole == TokenRow(answers.input_ids, [IGNORED, *answers.input_ids[1:]])
    marked = Example(
        meta=Meta("s-9", "s"), messages=[Message("user", "a"), Message("assistant", "b", weight=0)]
    )
    with pytest.raises(NotValid, match="Row s-9 has an answer of weight 0"):
        sft.tokenize(tokenizer, [marked], TrainConfig(assistant_only_loss=False))


@pytest.mark.parametrize("length", [1, 14, 15, 16, 17, 30, 31, 32, 200])
def test_a_long_text_is_cut_into_pieces_and_every_token_but_the_first_is_learned_once(length: int) -> None:
    from nlp_skills.training.methods import cpt

    tokenizer = small_tokenizer()
    words = "abcdefghij" * 20
    row = Example(
        meta=Meta("t-1", "t"), messages=[Message("system", "Write."), Message("assistant", words[:length])]
    )
    pieces = cpt.tokenize(tokenizer, [row], TrainConfig(method="cpt", max_length=16))
    assert max(piece.length for piece in pieces) <= 16
    whole = [*tokenizer(words[:length])["input_ids"], tokenizer.eos_token_id]
    assert [label for piece in pieces for label in piece.labels if label != IGNORED] == whole[1:]
    assert pieces[0].input_ids[0] == whole[0]
    assert all(piece.labels[1:] == piece.input_ids[1:] for piece in pieces)


def test_a_conversation_is_no_plain_text() -> None:
    from nlp_skills.training.methods import cpt

    with pytest.raises(NotValid, match=r"Row s-1 is no plain text.*Train conversations with sft"):
        cpt.tokenize(small_tokenizer(), [said(1)], TrainConfig(method="cpt"))


def test_a_pack_holds_every_token_and_its_rows_begin_anew() -> None:
    from datasets import Dataset
    from trl.trainer.sft_trainer import DataCollatorForLanguageModeling

    from nlp_skills.training.methods.sft import packed, tokenize

    tokenizer = small_tokenizer()
    rows = tokenize(tokenizer, [said(n) for n in range(7)], TrainConfig())
    pack = packed(
        Dataset.from_dict({"input_ids": [r.input_ids for r in rows], "labels": [r.labels for r in rows]}), 128
    )
    assert len(pack) < 7
    assert sorted(size for sizes in pack["seq_lengths"] for size in sizes) == sorted(r.length for r in rows)
    collate = DataCollatorForLanguageModeling(tokenizer.pad_token_id, padding_free=True)
    batch = collate([pack[i] for i in range(len(pack))])
    starts = [int(place) for place in (batch["position_ids"][0] == 0).nonzero()]
    assert batch["cu_seq_lens_q"].tolist()[:-1] == starts and len(starts) == 7
    kept = [label for label in batch["labels"][0].tolist() if label != IGNORED]
    assert sorted(kept) == sorted(label for row in rows for label in row.labels if label != IGNORED)
