"""The shape of a base model from its config.json: exact where transformers knows the family, and said otherwise."""

import json
from pathlib import Path
from typing import Any

import pytest

from nlp_skills.errors import NotReady, NotValid
from nlp_skills.training.planning.model_shape import LinearLayer, approximate_shape, model_shape, read_shape

QWEN = {"hidden_size": 1024, "intermediate_size": 3072, "num_hidden_layers": 28, "num_attention_heads": 16}
SMALL = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 3, "num_attention_heads": 4}


def config(folder: Path, **settings: Any) -> Path:
    file = folder / "config.json"
    file.write_text(json.dumps(settings), encoding="utf-8")
    return file


def test_the_parameters_of_known_models_are_those_that_their_makers_count(tmp_path: Path) -> None:
    qwen = {
        **QWEN,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "vocab_size": 151936,
        "tie_word_embeddings": True,
    }
    assert read_shape(config(tmp_path, model_type="qwen3", **qwen), "Qwen3-0.6B").parameters == 596_049_920
    mistral = {
        "model_type": "mistral",
        "hidden_size": 4096,
        "intermediate_size": 14336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 32768,
        "tie_word_embeddings": False,
    }
    shape = read_shape(config(tmp_path, **mistral), "Mistral-7B-v0.3")
    assert (shape.parameters, shape.exact, shape.tied) == (7_248_023_552, True, False)


@pytest.mark.parametrize(
    "settings",
    [
        {"model_type": "llama", "num_key_value_heads": 2},
        {"model_type": "qwen2", "num_key_value_heads": 2, "tie_word_embeddings": True},
        {"model_type": "qwen3", "num_key_value_heads": 2, "head_dim": 32},
        {"model_type": "gemma3_text", "num_key_value_heads": 1, "head_dim": 32},
        {"model_type": "mistral", "num_key_value_heads": 2},
        {"model_type": "phi3", "num_key_value_heads": 4, "pad_token_id": 0},
        {"model_type": "gpt_neox", "rotary_pct": 0.5},
        {"model_type": "gpt2", "n_embd": 64, "n_layer": 3, "n_head": 4, "bos_token_id": 0, "eos_token_id": 0},
    ],
    ids=lambda settings: settings["model_type"],
)
def test_counts_are_those_of_the_real_model(tmp_path: Path, settings: dict[str, Any]) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    file = config(tmp_path, **SMALL, vocab_size=500, **settings)
    shape = read_shape(file, "small")
    model: Any = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tmp_path))
    assert shape.exact
    assert shape.parameters == sum(p.numel() for p in model.parameters())
    assert (shape.layers, shape.hidden, shape.vocabulary) == (3, 64, 500)
    is_conv = settings["model_type"] == "gpt2"
    made = LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM", fan_in_fan_out=is_conv)
    adapted = get_peft_model(model, made)
    trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert shape.adapter_parameters(4) == trained


def test_dora_adds_a_magnitude_for_each_output(tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, AutoModelForCausalLM

    shape = read_shape(config(tmp_path, **SMALL, model_type="llama", vocab_size=500), "small")
    model: Any = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(tmp_path))
    made = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], use_dora=True, task_type="CAUSAL_LM")
    adapted = get_peft_model(model, made)
    trained = sum(p.numel() for p in adapted.parameters() if p.requires_grad)
    assert shape.adapter_parameters(4, ["q_proj", "down_proj"], dora=True) == trained


def test_of_experts_only_those_that_a_token_passes_are_active(tmp_path: Path) -> None:
    experts = {
        "num_experts": 8,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 32,
        "num_key_value_heads": 2,
    }
    shape = read_shape(config(tmp_path, **SMALL, model_type="qwen3_moe", vocab_size=500, **experts), "moe")
    # Three matrices of 64 x 32 for each of 8 experts in 3 layers, of which a quarter is passed.
    assert shape.parameters - shape.active_parameters == 3 * 8 * 3 * 64 * 32 * 3 // 4


def test_a_family_that_is_not_known_is_approximated_and_said_to_be(tmp_path: Path) -> None:
    shape = read_shape(config(tmp_path, **SMALL, model_type="brand_new", vocab_size=500), "brand-new")
    assert not shape.exact
    assert shape == approximate_shape({**SMALL, "model_type": "brand_new", "vocab_size": 500}, "brand-new")
    assert shape.linear[0] == LinearLayer(name="q_proj", inputs=64, outputs=64, count=3)
    llama = read_shape(
        config(tmp_path, **SMALL, model_type="llama", vocab_size=500, tie_word_embeddings=False), "x"
    )
    assert shape.parameters == llama.parameters


def test_a_config_of_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(NotValid, match="does not say num_attention_heads, vocab_size"):
        read_shape(config(tmp_path, hidden_size=64, num_hidden_layers=2, model_type="new"), "unet")


def test_a_hub_model_that_cannot_be_fetched_names_the_command(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(NotReady, match=r"hf download nobody/nothing config\.json$"):
        model_shape("nobody/nothing")
