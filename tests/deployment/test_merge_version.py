"""Merging: what is saved says what base and adapter say, and what does not is refused."""

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_adapter import make_adapted_task, save_adapter
from transformers import AutoModelForCausalLM

from nlp_skills.base_model import BaseModelFiles, load_tokenizer
from nlp_skills.data.example import read_examples
from nlp_skills.data.tokens import prompt_ids
from nlp_skills.deployment.artefact import artefact
from nlp_skills.deployment.equivalence import Looked, difference, look, probes
from nlp_skills.deployment.merge import MOST_KL, judge_merge, merge_version
from nlp_skills.errors import NotReady, NotValid, RunFailed
from nlp_skills.evaluation.predictors import open_predictor
from nlp_skills.evaluation.predictors.local import LocalPredictor
from nlp_skills.evaluation.predictors.reply import prompt_hash
from nlp_skills.records import sha256_file, sha256_tree
from nlp_skills.task.version import version_folder
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.model_info import ModelInfo
from nlp_skills.training.version_model import base_of, load_adapted, resolve_model
from small_model import save_small_model, small_tokenizer

load: Any = AutoModelForCausalLM.from_pretrained


@pytest.fixture
def small(tmp_path: Path) -> Path:
    return make_adapted_task(tmp_path)


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_real_merge_is_whole_and_says_what_base_and_adapter_say(exported_tickets: Path):
    folder, info = artefact(exported_tickets, "v1", "merged")
    assert files(folder) == [
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    ]
    trained = ModelInfo.load(exported_tickets / "versions" / "v1" / "model_info.json")
    changed = {"path", "format", "sha256", "size_bytes", "made_from_sha256", "created", "checks"}
    assert info.model_dump(exclude=changed) == trained.model_dump(exclude=changed)
    assert (info.path, info.format, info.made_from_sha256) == ("models/v1/merged", "merged", trained.sha256)
    (check,) = info.checks
    assert (check.id, check.passed, check.measured["other_best_token"]) == ("EXP-MERGE", True, 0)
    assert (check.measured["texts"], check.measured["other_greedy_texts"]) == (8, 0)
    assert 0 < float(check.measured["mean_kl"]) < 1e-6  # float32, as the base model's file is
    assert check.message == (
        "The merged model says what base and adapter say: mean KL"
        f" {float(check.measured['mean_kl']):.2g} nats a token, 8 of 8 greedy texts are equal."
    )


def test_the_real_weights_merged_in_4_bits_are_refused_with_the_cause(exported_tickets: Path, tmp_path: Path):
    from bitsandbytes.functional import dequantize_4bit, quantize_4bit

    merged, _ = artefact(exported_tickets, "v1", "merged")
    wrong = Path(shutil.copytree(merged, tmp_path / "wrong", ignore=lambda *_: ["model.safetensors"]))
    weights = load_file(merged / "model.safetensors")
    for name, weight in weights.items():
        if "_proj" in name and name < "model.layers.2":  # 0, 1 and 10 to 19 are enough, and quicker
            packed, state = quantize_4bit(weight, quant_type="nf4")
            weights[name] = dequantize_4bit(packed, state).contiguous()
    save_file(weights, wrong / "model.safetensors", metadata={"format": "pt"})
    tokenizer = load_tokenizer(BaseModelFiles(name="merged", path=str(merged)))
    rows = list(read_examples(exported_tickets / "data" / "test.jsonl"))[:2]
    config = TrainConfig.load(version_folder(exported_tickets, "v1") / "config.yaml")
    asked = probes(tokenizer, rows, config)
    right, rounded = (look(load(folder, dtype=torch.float32), tokenizer, asked) for folder in (merged, wrong))
    check = judge_merge(difference(right, rounded), wrong)
    assert check.passed is False
    assert float(check.measured["mean_kl"]) > 0.1
    assert check.message.startswith("The merged model does not say what base and adapter say: mean KL ")
    assert check.message.endswith(
        "Its weights were rounded to 4 bits (at most 16 numbers in a block): merge into the 16-bit base model."
    )


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_the_merged_weights_have_the_type_of_the_base_models_file(small: Path, dtype: torch.dtype):
    base = small.parent.parent / "base"
    load(base, dtype=dtype).save_pretrained(base)
    info = ModelInfo.load(small / "versions" / "v1" / "model_info.json")
    info.with_changes(base_sha256=sha256_file(base / "model.safetensors")).save(
        small / "versions" / "v1" / "model_info.json"
    )
    made = merge_version(small)
    weights = load_file(small / made.path / "model.safetensors")
    assert {weight.dtype for weight in weights.values()} == {dtype}
    assert made.checks[0].passed


def test_what_was_merged_stays_and_is_what_a_further_version_begins_with(small: Path):
    first = merge_version(small)
    assert merge_version(small, version="v1") == first
    assert resolve_model(small, "v1").path == str(small / "models" / "v1" / "merged")
    assert files(small / "models" / "v1") == [".merged.lock", "adapter", "merged", "merged.json"]


def test_a_folder_without_a_record_and_what_a_killed_process_left_are_replaced(small: Path):
    place = small / "models" / "v1"
    shutil.copytree(small.parent.parent / "base", place / "merged")
    shutil.copytree(place / "adapter", place / ".merged.0123456789ab.tmp")
    info = merge_version(small)
    assert sha256_tree(place / "merged") == info.sha256
    assert files(place) == [".merged.lock", "adapter", "merged", "merged.json"]


def test_the_generation_config_ends_where_the_template_ends_an_answer(small: Path):
    base = small.parent.parent / "base"
    config = base / "generation_config.json"
    said = json.loads(config.read_bytes())
    said["eos_token_id"] = 256  # <|endoftext|>, which ends no turn
    config.write_text(json.dumps(said), encoding="utf-8")
    made = merge_version(small)
    saved = json.loads((small / made.path / "generation_config.json").read_bytes())
    assert saved["eos_token_id"] == [256, 258]


def test_a_merge_that_says_something_else_is_refused_and_leaves_nothing(small: Path):
    """Half precision ends at 65,504: base and adapter add up to more, which float32 holds and the file does not."""
    base, adapter = small.parent.parent / "base", small / "models" / "v1" / "adapter"
    load(base, dtype=torch.float16).save_pretrained(base)
    large = adapter / "adapter_model.safetensors"
    save_file({name: weight * 4e3 for name, weight in load_file(large).items()}, large)
    record = small / "versions" / "v1" / "model_info.json"
    known = {"base_sha256": sha256_file(base / "model.safetensors"), "sha256": sha256_tree(adapter)}
    ModelInfo.load(record).with_changes(**known).save(record)
    with pytest.raises(RunFailed) as error:
        merge_version(small)
    assert str(error.value).startswith(
        "small v1: The merged model does not say what base and adapter say: mean KL inf nats a token where 0.001 is allowed"
    )
    assert str(error.value).endswith("Nothing was kept.")
    assert files(small / "models" / "v1") == [".merged.lock", "adapter"]


def test_weights_that_are_no_numbers_are_not_merged(small: Path):
    record = small / "versions" / "v1" / "model_info.json"
    ModelInfo.load(record).with_changes(base_sha256=None).save(record)
    weights = small.parent.parent / "base" / "model.safetensors"
    broken = {name: torch.full_like(weight, float("nan")) for name, weight in load_file(weights).items()}
    save_file(broken, weights, metadata={"format": "pt"})
    with pytest.raises(NotValid, match=r"v1/adapter cannot be merged into .*: NaNs detected"):
        merge_version(small)
    assert files(small / "models" / "v1") == [".merged.lock", "adapter"]


def test_an_adapter_is_not_merged_into_another_base_model(small: Path):
    save_small_model(small.parent.parent / "base", seed=5)
    with pytest.raises(NotValid) as error:
        merge_version(small)
    assert "was trained on" in str(error.value)
    assert str(error.value).endswith(
        "Put the base model back that it was trained on: merged into another, the adapter means nothing."
    )


def test_without_rows_nothing_is_compared_and_so_nothing_is_merged(small: Path):
    for split in ("train", "valid", "test"):
        (small / "data" / f"{split}.jsonl").unlink()
    with pytest.raises(NotReady) as error:
        merge_version(small)
    assert str(error.value) == (
        "small: data/ has no rows to compare the merged model with base and adapter on. Make them with: nlp-skills"
        " regenerate-data small"
    )
    assert files(small / "models" / "v1") == [".merged.lock", "adapter"]


def test_other_weights_are_told_from_the_same(small: Path):
    base = base_of(small, "v1")
    adapter = small / "models" / "v1" / "adapter"
    tokenizer = load_tokenizer(BaseModelFiles(name="adapter", path=str(adapter)))
    rows = list(read_examples(small / "data" / "test.jsonl"))
    asked = probes(tokenizer, rows, TrainConfig.load(version_folder(small, "v1") / "config.yaml"))
    adapted = look(load_adapted(base, adapter), tokenizer, asked)
    plain = look(load(base.path), tokenizer, asked)
    assert len(asked) == 8
    same = difference(adapted, adapted)
    assert (same.mean_kl, same.highest, same.other_best, same.other_texts) == (0, 0, 0, 0)
    other = difference(adapted, plain)
    assert other.mean_kl > MOST_KL
    assert (other.tokens, other.texts) == (same.tokens, 8)
    unknown = Looked([part * float("nan") for part in adapted.log_probs], adapted.greedy)
    assert difference(adapted, unknown).mean_kl == float("inf")


def test_an_artefact_is_found_by_name_and_its_files_are_those_of_the_record(small: Path):
    with pytest.raises(NotReady) as error:
        artefact(small, "v1", "merged")
    assert str(error.value) == (
        "small v1 has no merged yet. Make it with: nlp-skills merge-version small --version v1"
    )
    with pytest.raises(NotReady, match="export-model small --version v1 --quantization q8_0"):
        artefact(small, "v1", "q8_0")
    made = merge_version(small)
    assert artefact(small, "v1", "merged") == (small / "models" / "v1" / "merged", made)
    assert artefact(small, "v1", "trained") == artefact(small, "v1", "adapter")
    config = small / "models" / "v1" / "merged" / "config.json"
    config.write_bytes(config.read_bytes() + b"\n")
    with pytest.raises(NotReady) as error:
        artefact(small, "v1", "merged")
    assert str(error.value) == (
        "small: models/v1/merged is not what was made of v1: files are missing or were changed. Make it again:"
        " nlp-skills merge-version small --version v1"
    )
    assert merge_version(small).sha256 == made.sha256


def test_what_was_made_of_other_weights_is_not_used(small: Path):
    merge_version(small)
    adapter = small / "models" / "v1" / "adapter"
    record = small / "versions" / "v1" / "model_info.json"
    (adapter / "note.txt").write_text("trained again", encoding="utf-8")
    ModelInfo.load(record).with_changes(sha256=sha256_tree(adapter)).save(record)
    with pytest.raises(NotReady, match="was made of other weights than those that v1 has now"):
        artefact(small, "v1", "merged")
    assert merge_version(small).made_from_sha256 == sha256_tree(adapter)


def test_a_version_without_an_adapter_is_whole_already(small: Path):
    place = small / "models" / "v1"
    shutil.rmtree(place / "adapter")
    save_small_model(place / "model", seed=2)
    record = small / "versions" / "v1" / "model_info.json"
    info = ModelInfo.load(record).with_changes(
        path="models/v1/model", format="merged", sha256=sha256_tree(place / "model")
    )
    info.save(record)
    assert merge_version(small) == info
    assert artefact(small, "v1", "merged") == (place / "model", info)
    with pytest.raises(
        NotReady, match=r"trained without an adapter: its weights are whole \(models/v1/model\)"
    ):
        artefact(small, "v1", "adapter")


@pytest.fixture
def other_template(small: Path) -> Path:
    """The same task; its adapter was saved with another chat template than the base model has by now."""
    tokenizer = copy.deepcopy(small_tokenizer())
    tokenizer.chat_template = tokenizer.chat_template.replace("<|im_start|>", "<|im_start|> ")
    adapter = save_adapter(small.parent.parent / "base", small / "models" / "v1" / "adapter", tokenizer)
    record = small / "versions" / "v1" / "model_info.json"
    ModelInfo.load(record).with_changes(sha256=sha256_tree(adapter)).save(record)
    return small


def test_the_adapters_own_tokenizer_goes_into_the_merged_model(other_template: Path):
    folder = other_template / merge_version(other_template).path
    saved = load_tokenizer(BaseModelFiles(name="merged", path=str(folder)))
    assert "<|im_start|> {{" in saved.chat_template


def test_a_version_is_evaluated_with_the_tokenizer_that_was_saved_beside_its_adapter(other_template: Path):
    row = next(read_examples(other_template / "data" / "test.jsonl"))
    merge_version(other_template)
    asked = [open_predictor(other_template, name) for name in ("base", "v1", "models/v1/merged")]
    assert isinstance(asked[1], LocalPredictor)
    ids = prompt_ids(
        load_tokenizer(BaseModelFiles(name="v1", path=str(other_template / "models/v1/adapter"))), row
    )
    hashes = [predictor.prompt_hashes([row])[0] for predictor in asked]
    assert hashes[1:] == [prompt_hash(ids)] * 2
    assert hashes[0] != hashes[1]


def test_an_adapter_that_comes_without_a_tokenizer_is_asked_with_the_base_models(small: Path):
    row = next(read_examples(small / "data" / "test.jsonl"))
    bare = small / "bare"
    bare.mkdir()
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        shutil.copy(small / "models" / "v1" / "adapter" / name, bare)
    hashes = [open_predictor(small, name).prompt_hashes([row]) for name in ("bare", "base")]
    assert hashes[0] == hashes[1]
