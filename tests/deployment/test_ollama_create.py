"""A trained version becomes a model in Ollama, and answers there as llama.cpp does: a real SmolLM2, a real chat template."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from gguf_header import read_header
from llama_runner import LlamaRunner, running
from ollama_stand_in import OllamaStandIn, ollama_serving
from ollama_store import Stored
from tuned_smollm2 import link, link_tree

from nlp_skills.base_model import BaseModelFiles, load_tokenizer
from nlp_skills.data.example import read_examples
from nlp_skills.data.tokens import as_dicts
from nlp_skills.deployment.ollama.adapter_file import base_gguf, lora_alpha, write_adapter
from nlp_skills.deployment.ollama.creating import ollama_create, settings
from nlp_skills.deployment.ollama.generating import ollama_generate
from nlp_skills.deployment.ollama.rendering import render_chat
from nlp_skills.deployment.ollama.uploading import weight_files
from nlp_skills.errors import AlreadyExists, NotReady, NotValid, RunFailed
from nlp_skills.evaluation.predictors import Decoding, open_predictor, predict
from nlp_skills.records import sha256_file, sha256_tree, silent
from nlp_skills.training.model_info import ModelInfo

QUESTION = "Where is my parcel?"
STOPS = ["<|endoftext|>", "<|im_end|>"]


def keep(task: Path, name: str, path: Path, format: str) -> None:
    """What an operation would have made, with its record."""
    trained = ModelInfo.load(task / "versions" / "v1" / "model_info.json")
    changes = {
        "path": path.relative_to(task).as_posix(),
        "format": format,
        "sha256": sha256_tree(path) if path.is_dir() else sha256_file(path),
        "made_from_sha256": trained.sha256,
    }
    trained.with_changes(**changes).save(task / "models" / "v1" / f"{name}.json")


@pytest.fixture
def exported(tickets: Path, smollm2_gguf: Path) -> Path:
    """The task with its f16 GGUF file."""
    file = tickets / "models" / "v1" / "f16.gguf"
    link(smollm2_gguf, file)
    keep(tickets, "f16", file, "gguf")
    return tickets


def test_a_version_in_ollama_is_asked_with_the_prompts_it_was_trained_with(
    ollama: OllamaStandIn, exported: Path, smollm2_adapter: Path
) -> None:
    heard: list[str] = []
    made = ollama_create(exported, what="f16", progress=lambda message, *_: heard.append(message))
    assert (made.task, made.version, made.artefact) == ("tickets", "v1", "f16")
    assert made.model.name == "tickets:v1-f16"
    assert (made.model.size_bytes, made.model.quantization) == (
        (exported / "models/v1/f16.gguf").stat().st_size,
        "F16",
    )
    assert (made.renders_with, made.stops) == ("template", STOPS)
    assert heard[0] == "sending f16.gguf to Ollama"
    assert heard[-1] == "tickets:v1-f16: success"

    tokenizer = load_tokenizer(BaseModelFiles(name="v1", path=str(smollm2_adapter)))
    for row in read_examples(exported / "data" / "test.jsonl"):
        turns = as_dicts(row.context)
        trained = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
        assert render_chat(made.model.name, turns) == trained


def test_its_answer_is_greedy_and_llama_cpps_own_to_that_prompt(
    ollama: OllamaStandIn, exported: Path, smollm2_adapter: Path
) -> None:
    name = ollama_create(exported, what="f16").model.name
    found = ollama_generate(name, QUESTION, max_new_tokens=16)
    tokenizer = load_tokenizer(BaseModelFiles(name="v1", path=str(smollm2_adapter)))
    turns = [{"role": "user", "content": QUESTION}]
    prompt = tokenizer.apply_chat_template(turns, tokenize=False, add_generation_prompt=True)
    runner = ollama.runner(name, ollama.store.models[name])
    said = runner.complete(prompt, {"temperature": 0, "num_predict": 16})
    assert found.text == "".join(piece["content"] for piece in said)
    assert found.prompt_tokens == len(tokenizer(prompt, add_special_tokens=False)["input_ids"])
    assert ollama.store.models[name].parameters == {
        "temperature": 0,
        "repeat_penalty": 1,
        "num_ctx": 4096,
        "stop": STOPS,
    }


def test_the_modelfile_beside_the_weights_says_the_same(ollama: OllamaStandIn, exported: Path) -> None:
    made = ollama_create(exported, what="f16", system="Be brief.")
    stored = ollama.store.models[made.model.name]
    assert made.modelfile == "models/v1/Modelfile"
    text = (exported / "models/v1/Modelfile").read_text(encoding="utf-8")
    assert text == (
        f'FROM ./f16.gguf\nTEMPLATE """{stored.template}"""\nSYSTEM """Be brief."""\nPARAMETER temperature 0\n'
        'PARAMETER repeat_penalty 1\nPARAMETER num_ctx 4096\nPARAMETER stop "<|endoftext|>"\nPARAMETER stop "<|im_end|>"\n'
    )
    assert stored.system == "Be brief."


def test_rows_are_answered_by_what_is_in_ollama(ollama: OllamaStandIn, exported: Path) -> None:
    name = ollama_create(exported, what="f16").model.name
    rows = list(read_examples(exported / "data" / "test.jsonl"))[:2]
    predictor = open_predictor(exported, f"ollama/{name}")
    answers = predict(predictor, rows, Decoding(max_new_tokens=4, batch_size=1))
    assert predictor.identity == f"ollama {name} {ollama.store.models[name].digest}"
    predictor.close()
    runner = ollama.runner(name, ollama.store.models[name])
    for row, answer in zip(rows, answers, strict=True):
        prompt = render_chat(name, as_dicts(row.context))
        said = runner.complete(prompt, {"temperature": 0, "num_predict": 4})
        assert answer.text == "".join(piece["content"] for piece in said).strip()
        assert answer.prompt_tokens == len(runner.tokens(prompt))


def test_a_file_that_is_there_already_is_not_sent_again(ollama: OllamaStandIn, exported: Path) -> None:
    for _ in range(2):
        ollama_create(exported, what="f16")
    assert [path for path, _ in ollama.asked if path != "/api/show"] == [
        "/api/blobs",
        "/api/create",
        "/api/create",
    ]


def test_a_name_of_somebody_elses_is_left_alone(
    ollama: OllamaStandIn, exported: Path, packaged_gguf: Path
) -> None:
    theirs = Stored(ollama.store.keep(packaged_gguf))
    ollama.store.put("llama3.2", theirs)
    with pytest.raises(AlreadyExists, match=r"has a model llama3\.2:latest already\. .* --replace$"):
        ollama_create(exported, what="f16", name="llama3.2")
    assert ollama.store.models["llama3.2:latest"] == theirs
    assert ollama_create(exported, what="f16", name="llama3.2", replace=True).model.name == "llama3.2:latest"
    assert ollama.store.models["llama3.2:latest"] != theirs


def test_what_ollama_did_not_finish_is_not_called_done(ollama: OllamaStandIn, exported: Path) -> None:
    ollama.stops_short.add("/api/create")
    with pytest.raises(RunFailed, match="without Ollama saying that it is done"):
        ollama_create(exported, what="f16")
    assert not (exported / "models/v1/Modelfile").exists()


def test_a_missing_stop_token_is_not_called_done(
    ollama: OllamaStandIn, exported: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = ollama.store.put
    monkeypatch.setattr(ollama.store, "put", lambda name, stored: kept(name, Stored(stored.weights)))
    with pytest.raises(
        RunFailed, match=r"made tickets:v1-f16 without the stop tokens <\|endoftext\|>, <\|im_end\|>"
    ):
        ollama_create(exported, what="f16")


def test_what_is_not_made_yet_says_which_command_makes_it(ollama: OllamaStandIn, exported: Path) -> None:
    with pytest.raises(NotReady, match="nlp-skills export-model tickets --version v1 --quantization q8_0"):
        ollama_create(exported)
    assert ollama.asked == []


def test_ollama_quantizes_what_is_in_16_bits_and_nothing_else(ollama: OllamaStandIn, exported: Path) -> None:
    made = ollama_create(exported, what="f16", quantize="q4_K_M")
    assert made.model.name == "tickets:v1-q4_k_m"
    assert [body["quantize"] for path, body in ollama.asked if path == "/api/create"] == ["q4_K_M"]
    keep(exported, "q8_0", exported / "models/v1/f16.gguf", "gguf")
    with pytest.raises(NotValid, match="--quantize takes weights in 16 or 32 bits"):
        ollama_create(exported, what="q8_0", quantize="q4_K_M")


def test_a_merged_model_goes_with_all_that_ollama_needs_to_convert_it(
    tickets: Path, tmp_path: Path, merged_smollm2: Path, smollm2_gguf: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merged = tickets / "models" / "v1" / "merged"
    link_tree(merged_smollm2, merged)
    keep(tickets, "merged", merged, "merged")
    arrived: list[str] = []

    def convert(folder: Path) -> Path:
        arrived.extend(sorted(file.name for file in folder.iterdir()))
        assert all(sha256_file(folder / name) == sha256_file(merged / name) for name in arrived)
        return smollm2_gguf

    with ollama_serving(tmp_path / "served", convert) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        made = ollama_create(tickets, what="merged")
    assert made.model.name == "tickets:v1-merged"
    assert arrived == sorted(weight_files(merged))
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= {*arrived}


def test_an_adapter_beside_its_base_model_answers_as_the_merged_model_does(
    ollama: OllamaStandIn, tickets: Path, smollm2_gguf: Path
) -> None:
    made = ollama_create(tickets, what="adapter")
    assert (made.model.name, made.modelfile) == ("tickets:v1-adapter", None)
    stored = ollama.store.models[made.model.name]
    (digest,) = stored.adapters
    keys = read_header(ollama.store.path(digest)).keys
    assert (keys["general.type"], keys["adapter.type"], keys["adapter.lora.alpha"]) == (
        "adapter",
        "lora",
        16.0,
    )
    both = ollama.runner(made.model.name, stored)
    merged = running((sha256_file(smollm2_gguf),), [smollm2_gguf])
    base = running((stored.weights,), [ollama.store.path(stored.weights)])
    prompt = render_chat(made.model.name, [{"role": "user", "content": QUESTION}])
    first, second, third = (top_tokens(runner, prompt) for runner in (both, merged, base))
    assert max(abs(first[token] - second[token]) for token in first.keys() & second.keys()) < 0.05
    assert max(abs(first[token] - third[token]) for token in first.keys() & third.keys()) > 0.2


def top_tokens(runner: LlamaRunner, prompt: str) -> dict[str, float]:
    """The log-probabilities of the ten likeliest next tokens."""
    reply = runner.post("/completion", {"prompt": prompt, "n_predict": 1, "n_probs": 10})
    return {one["token"]: one["logprob"] for one in reply["completion_probabilities"][0]["top_logprobs"]}


def test_an_adapter_that_is_more_than_a_plain_lora_is_refused(
    smollm2: BaseModelFiles, smollm2_adapter: Path, tmp_path: Path
) -> None:
    plain: dict[str, Any] = {"peft_type": "LORA", "lora_alpha": 16, "r": 4, "bias": "none"}
    assert lora_alpha(plain) == 16.0
    assert lora_alpha({**plain, "use_rslora": True}) == 32.0
    for field, value, words in (
        ("use_dora", True, "DoRA's magnitudes"),
        ("modules_to_save", ["lm_head"], "whole modules beside the matrices"),
        ("rank_pattern", {"q_proj": 2}, "ranks that differ by layer"),
        ("bias", "all", "biases"),
        ("peft_type", "IA3", "the kind IA3"),
    ):
        with pytest.raises(NotValid, match=f"The adapter has {words}, .* nlp-skills merge-version"):
            lora_alpha({**plain, field: value})
    broken = tmp_path / "adapter"
    shutil.copytree(smollm2_adapter, broken)
    config = json.loads((broken / "adapter_config.json").read_bytes())
    (broken / "adapter_config.json").write_text(json.dumps(config), encoding="utf-8")
    (broken / "adapter_model.safetensors").write_bytes(b"\0" * 8)
    with pytest.raises(NotValid, match="cannot be written as GGUF"):
        write_adapter(smollm2, broken, tmp_path / "adapter.gguf", silent)


def test_the_base_model_is_converted_once(smollm2: BaseModelFiles) -> None:
    first = base_gguf(smollm2, silent)
    made = first.stat().st_mtime_ns
    assert base_gguf(smollm2, silent) == first
    assert first.stat().st_mtime_ns == made
    assert read_header(first).keys["general.architecture"] == "llama"


def test_the_window_holds_a_row_of_the_longest_kind_with_its_answer() -> None:
    assert settings(512) == {"temperature": 0, "repeat_penalty": 1, "num_ctx": 4096}
    assert settings(2049)["num_ctx"] == 8192
