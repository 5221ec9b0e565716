"""A run is a success only when what it has saved is what was meant: finite, learned, whole, loadable elsewhere."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from nlp_skills.base_model import BaseModelFiles
from nlp_skills.errors import RunFailed
from nlp_skills.training.run.verify import (
    check_changed,
    check_difference,
    check_fresh_load,
    check_model,
    load_saved,
)
from small_model import save_small_model, small_tokenizer


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_small_model(tmp_path_factory.mktemp("base") / "model")


@pytest.fixture
def model(base: Path) -> Any:
    """The base model with an adapter that has learned something."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    made: Any = get_peft_model(
        AutoModelForCausalLM.from_pretrained(base),
        LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"),
    )
    with torch.no_grad():
        for name, parameter in made.named_parameters():
            if "lora_B" in name:
                parameter.fill_(0.01)
    return made


@pytest.fixture
def adapter(model: Any, tmp_path: Path) -> Path:
    model.save_pretrained(tmp_path / "adapter")
    small_tokenizer().save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def change_weights(adapter: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    from safetensors.torch import load_file, save_file

    weights = load_file(adapter / "adapter_model.safetensors")
    change(weights)
    save_file(weights, adapter / "adapter_model.safetensors", metadata={"format": "pt"})


def test_an_adapter_as_a_run_saves_it_passes(adapter: Path, base: Path) -> None:
    check_model(adapter)
    load_saved(adapter, str(base))
    check_fresh_load(adapter, str(base))


def test_a_full_model_passes(base: Path) -> None:
    check_model(base)
    load_saved(base, "")


def test_an_adapter_that_is_the_identity_is_no_success(adapter: Path) -> None:
    change_weights(adapter, lambda weights: [w.zero_() for name, w in weights.items() if "lora_B" in name])
    with pytest.raises(RunFailed, match="RUN-DELTA: nothing was learned"):
        check_model(adapter)


def test_a_weight_that_is_no_number_is_named(adapter: Path) -> None:
    key = "base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight"
    change_weights(adapter, lambda weights: weights[key].fill_(float("inf")))
    with pytest.raises(RunFailed, match=f"RUN-NAN: {key} holds NaN or infinity"):
        check_model(adapter)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda w: w.pop(min(w)), "is missing"),
        (
            lambda w: w.update({"base_model.model.lora_A.weight": w[min(w)].clone()}),
            "has no place in the model",
        ),
        (lambda w: w.update({min(w): w[min(w)][:2].clone()}), r"has shape \(2, \d+\) instead of \(4, \d+\)"),
    ],
)
def test_keys_that_do_not_match_on_load_are_named(
    adapter: Path, base: Path, change: Callable[[dict[str, Any]], Any], told: str
) -> None:
    change_weights(adapter, change)
    with pytest.raises(RunFailed, match=told):
        load_saved(adapter, str(base))


def test_a_process_of_its_own_says_why_it_cannot_load(adapter: Path, base: Path) -> None:
    (adapter / "tokenizer.json").unlink()
    with pytest.raises(
        RunFailed, match=r"TOK-RESIZE: what was saved cannot be loaded again: .* lacks tokenizer\.json"
    ):
        check_fresh_load(adapter, str(base))


class Row:
    """A training row."""

    input_ids = list(range(10, 40))


class Trainer:
    """What of a trainer is looked at."""

    def __init__(self, model: Any) -> None:
        self.model = model


def test_an_adapter_that_changes_no_answer_is_no_success(model: Any) -> None:
    import torch

    check_difference(Trainer(model), [Row()])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_A" in name:
                parameter.zero_()
    with pytest.raises(RunFailed, match="RUN-DELTA: on training rows the trained model gives exactly"):
        check_difference(Trainer(model), [Row()])


def test_dora_has_a_key_more_for_each_module(base: Path, tmp_path: Path) -> None:
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    lora = LoraConfig(r=2, target_modules=["q_proj"], use_dora=True, task_type="CAUSAL_LM")
    made: Any = get_peft_model(AutoModelForCausalLM.from_pretrained(base), lora)
    made.save_pretrained(tmp_path)
    small_tokenizer().save_pretrained(tmp_path)
    load_saved(tmp_path, str(base))
    settings = json.loads((tmp_path / "adapter_config.json").read_text(encoding="utf-8"))
    (tmp_path / "adapter_config.json").write_text(
        json.dumps({**settings, "use_dora": False}), encoding="utf-8"
    )
    with pytest.raises(RunFailed, match=r"lora_magnitude_vector.* has no place in the model"):
        load_saved(tmp_path, str(base))


def test_a_fully_trained_model_has_to_differ_from_the_base_model(base: Path, tmp_path: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    files, saved = BaseModelFiles(name="small", path=str(base)), tmp_path / "model"
    made: Any = AutoModelForCausalLM.from_pretrained(base)
    made.save_pretrained(saved)
    with pytest.raises(
        RunFailed, match=r"RUN-DELTA: nothing was learned: all 20 weights are those of the base"
    ):
        check_changed(saved, files)
    old = tmp_path / "old"
    old.mkdir()
    torch.save(made.state_dict(), old / "pytorch_model.bin")
    with pytest.raises(RunFailed, match="RUN-DELTA: nothing was learned"):
        check_changed(saved, BaseModelFiles(name="old", path=str(old)))
    with torch.no_grad():
        made.model.norm.weight[3] += 1e-7
    made.save_pretrained(saved)
    assert check_changed(saved, files)
    assert not check_changed(saved, BaseModelFiles(name="empty", path=str(tmp_path)))
