"""A trained version becomes a model in Ollama, and answers there as llama.cpp does: a real SmolLM2, a real chat template.

What a command does besides is tried with a small model of random weights.
"""

import shutil
from pathlib import Path
from typing import Any

import pytest
import small_gguf
from gguf_header import read_header
from llama_runner import LlamaRunner, running
from ollama_stand_in import OllamaStandIn, ollama_serving
from ollama_store import Stored
from small_gguf import CLOSE, write_gguf
from tuned_smollm2 import link

from nlp_skills.base_model import BaseModelFiles, load_tokenizer
from nlp_skills.data.example import read_examples
from nlp_skills.data.tokens import as_dicts
from nlp_skills.deployment.ollama.adapter_file import base_gguf, lora_alpha, write_adapter
from nlp_skills.deployment.ollama.candidate import candidate, name_candidate
from nlp_skills.deployment.ollama.creating import ollama_create
from nlp_skills.deployment.ollama.rendering import render_chat
from nlp_skills.deployment.ollama.uploading import weight_files
from nlp_skills.deployment.ollama.version_modelfile import settings
from nlp_skills.errors import AlreadyExists, NotReady, NotValid, RunFailed
from nlp_skills.evaluation.predictors import Decoding, open_predictor, predict
from nlp_skills.records import sha256_file, silent
from nlp_skills.tables import render
from nlp_skills.training.model_info import ModelInfo

STOPS = ["<|endoftext|>", "<|im_end|>"]
GREEDY = {"temperature": 0, "repeat_penalty": 1, "num_ctx": 4096}


@pytest.fixture
def exported(tickets: Path, smollm2_gguf: Path) -> Path:
    """The task with its GGUF file of 16 bits, as export-model would have made it."""
    file = tickets / "models" / "v1" / "f16.gguf"
    link(smollm2_gguf, file)
    trained = ModelInfo.load(tickets / "versions" / "v1" / "model_info.json")
    changes = {"path": "models/v1/f16.gguf", "format": "gguf", "sha256": sha256_file(file)}
    made = trained.with_changes(**changes, made_from_sha256=trained.sha256, quantization="f16")
    made.save(tickets / "models" / "v1" / "f16.json")
    return tickets


@pytest.fixture(scope="module")
def small_task(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A task of random weights with a GGUF file, which nothing changes but its Modelfile."""
    task = small_gguf.make_task(tmp_path_factory.mktemp("small"))
    write_gguf(task)
    return task


@pytest.fixture
def small(small_task: Path) -> Path:
    """The same without a Modelfile."""
    (small_task / "models" / "v1" / "Modelfile").unlink(missing_ok=True)
    return small_task


def test_a_version_in_ollama_answers_the_prompts_it_was_trained_with_as_llama_cpp_does(
    ollama: OllamaStandIn, exported: Path, smollm2_adapter: Path
) -> None:
    heard: list[str] = []
    made = ollama_create(exported, what="f16", progress=lambda message, *_: heard.append(message))
    name = made.model.name
    size = (exported / "models/v1/f16.gguf").stat().st_size
    assert (made.task, made.version, made.artefact, name) == ("tickets", "v1", "f16", "tickets:v1-f16")
    assert (made.model.size_bytes, made.model.quantization) == (size, "F16")
    assert (made.renders_with, made.stops) == ("template", STOPS)
    assert heard == [
        "sending f16.gguf to Ollama",
        *(f"{name}: {step}" for step in ("parsing GGUF", "writing manifest", "success")),
    ]
    assert ollama.store.models[name].parameters == {**GREEDY, "stop": STOPS}

    tokenizer = load_tokenizer(BaseModelFiles(name="v1", path=str(smollm2_adapter)))
    rows = list(read_examples(exported / "data" / "test.jsonl"))[:2]
    prompts = [
        tokenizer.apply_chat_template(as_dicts(row.context), tokenize=False, add_generation_prompt=True)
        for row in rows
    ]
    assert [render_chat(name, as_dicts(row.context)) for row in rows] == prompts

    predictor = open_predictor(exported, f"ollama/{name}")
    answers = predict(predictor, rows, Decoding(max_new_tokens=6, batch_size=1))
    assert predictor.identity == f"ollama {name} {ollama.store.models[name].digest}"
    predictor.close()
    runner = ollama.runner(name, ollama.store.models[name])
    for prompt, answer in zip(prompts, answers, strict=True):
        said = runner.complete(prompt, {"temperature": 0, "num_predict": 6})
        assert answer.text == "".join(piece["content"] for piece in said).strip()
        assert answer.prompt_tokens == len(tokenizer(prompt, add_special_tokens=False)["input_ids"])


def test_an_adapter_beside_its_base_model_answers_as_the_merged_model_does(
    ollama: OllamaStandIn, tickets: Path, smollm2_gguf: Path
) -> None:
    made = ollama_create(tickets, what="adapter")
    assert (made.model.name, made.modelfile) == ("tickets:v1-adapter", None)
    stored = ollama.store.models[made.model.name]
    (digest,) = stored.adapters
    keys = read_header(ollama.store.path(digest)).keys
    assert (keys["general.type"], keys["adapter.type"]) == ("adapter", "lora")
    prompt = render_chat(made.model.name, [{"role": "user", "content": "Where is my parcel?"}])
    both = top_tokens(ollama.runner(made.model.name, stored), prompt)
    merged = top_tokens(running((sha256_file(smollm2_gguf),), [smollm2_gguf]), prompt)
    assert len(both.keys() & merged.keys()) >= 8
    # The base model alone is more than 0.2 away.
    assert max(abs(both[token] - merged[token]) for token in both.keys() & merged.keys()) < 0.05


def top_tokens(runner: LlamaRunner, prompt: str) -> dict[str, float]:
    """The log-probabilities of the ten likeliest next tokens."""
    reply = runner.post("/completion", {"prompt": prompt, "n_predict": 1, "n_probs": 10})
    return {one["token"]: one["logprob"] for one in reply["completion_probabilities"][0]["top_logprobs"]}


def test_the_modelfile_beside_the_weights_says_what_ollama_was_told(
    ollama: OllamaStandIn, small: Path
) -> None:
    made = ollama_create(small, what="f32", system="Be brief.")
    stored = ollama.store.models[made.model.name]
    assert made.modelfile == "models/v1/Modelfile"
    stops = "".join(f'PARAMETER stop "{stop}"\n' for stop in stored.parameters["stop"])
    assert f'"{CLOSE}"' in stops
    text = (small / "models/v1/Modelfile").read_text(encoding="utf-8")
    assert text == (
        f'FROM ./f32.gguf\nTEMPLATE """{stored.template}"""\nSYSTEM """Be brief."""\nPARAMETER temperature 0\n'
        f"PARAMETER repeat_penalty 1\nPARAMETER num_ctx 4096\n{stops}"
    )
    assert stored.system == "Be brief."


def test_a_file_that_is_there_already_is_not_sent_again(ollama: OllamaStandIn, small: Path) -> None:
    for _ in range(2):
        ollama_create(small, what="f32")
    sent = [path for path, _ in ollama.asked if path in ("/api/blobs", "/api/create")]
    assert sent == ["/api/blobs", "/api/create", "/api/create"]


def test_what_does_not_answer_does_not_take_the_place_of_what_does(
    ollama: OllamaStandIn, small: Path
) -> None:
    before = ollama.store.models[ollama_create(small, what="f32").model.name]
    ollama.fails["/api/chat"] = "llama runner process has terminated: exit status 2"
    with pytest.raises(
        RunFailed,
        match=r"^Trying the new small:v1-f32, before it takes that name: Ollama says: llama runner process",
    ):
        ollama_create(small, what="f32", system="Be brief.")
    assert ollama.store.models == {"small:v1-f32": before}


def test_two_who_create_one_name_at_once_have_a_candidate_each_and_only_what_was_looked_at_gets_the_name(
    ollama: OllamaStandIn, small: Path, packaged_gguf: Path
) -> None:
    path = small / "models" / "v1" / "f32.gguf"
    with (
        candidate(small, "v1", path, "small:v1", progress=silent) as one,
        candidate(small, "v1", path, "small:v1", system="Be brief.", progress=silent) as other,
    ):
        assert one.name != other.name
        assert set(ollama.store.models) == {one.name, other.name}
        wanted = ollama.store.models[other.name]
        ollama.store.put(one.name, Stored(ollama.store.keep(packaged_gguf)))
        with pytest.raises(RunFailed, match=f"Somebody has put another model under {one.name}"):
            name_candidate(one, ["small:v1"])
        name_candidate(other, ["small:v1", "small:dev"])
    assert ollama.store.models == {"small:v1": wanted, "small:dev": wanted}


def test_an_architecture_that_ollama_renders_by_itself_is_named(ollama: OllamaStandIn, small: Path) -> None:
    assert ollama_create(small, what="f32").renderer is None
    ollama.renderers["llama"] = "gemma4"
    made = ollama_create(small, what="f32")
    assert made.renderer == "gemma4"
    assert "Ollama's own renderer gemma4 for this architecture" in str(render(made))


def test_a_name_of_somebody_elses_is_left_alone(
    ollama: OllamaStandIn, small: Path, packaged_gguf: Path
) -> None:
    theirs = Stored(ollama.store.keep(packaged_gguf))
    ollama.store.put("llama3.2", theirs)
    with pytest.raises(AlreadyExists, match=r"has a model llama3\.2:latest already\. .* --replace$"):
        ollama_create(small, what="f32", name="llama3.2")
    assert ollama.store.models["llama3.2:latest"] == theirs
    assert ollama_create(small, what="f32", name="llama3.2", replace=True).model.name == "llama3.2:latest"
    assert ollama.store.models["llama3.2:latest"] != theirs


def test_what_ollama_did_not_finish_is_not_called_done(ollama: OllamaStandIn, small: Path) -> None:
    ollama.stops_short.add("/api/create")
    with pytest.raises(RunFailed, match="without Ollama saying that it is done"):
        ollama_create(small, what="f32")
    assert not (small / "models/v1/Modelfile").exists()


def test_a_missing_stop_token_is_not_called_done(
    ollama: OllamaStandIn, small: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = ollama.store.put
    monkeypatch.setattr(ollama.store, "put", lambda name, stored: kept(name, Stored(stored.weights)))
    with pytest.raises(RunFailed, match=r"made small:v1-f32 without the stop tokens .*<\|close\|>"):
        ollama_create(small, what="f32")


def test_what_is_not_made_yet_says_which_command_makes_it(ollama: OllamaStandIn, small: Path) -> None:
    with pytest.raises(NotReady, match="nlp-skills export-model small --version v1 --quantization q8_0"):
        ollama_create(small)
    assert ollama.asked == []


def test_ollama_quantizes_what_is_in_16_or_32_bits_and_nothing_else(
    ollama: OllamaStandIn, small: Path
) -> None:
    made = ollama_create(small, what="f32", quantize="q4_K_M")
    assert made.model.name == "small:v1-q4_k_m"
    assert [body["quantize"] for path, body in ollama.asked if path == "/api/create"] == ["q4_K_M"]
    write_gguf(small, name="q8_0")
    with pytest.raises(NotValid, match="--quantize takes weights in 16 or 32 bits"):
        ollama_create(small, what="q8_0", quantize="q4_K_M")
    for name in ("q8_0.gguf", "q8_0.json"):
        (small / "models" / "v1" / name).unlink()


def test_a_merged_model_goes_with_all_that_ollama_needs_to_convert_it(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    merged = small / "models" / "v1" / "model"
    arrived: list[str] = []

    def convert(folder: Path) -> Path:
        arrived.extend(sorted(file.name for file in folder.iterdir()))
        assert all(sha256_file(folder / name) == sha256_file(merged / name) for name in arrived)
        return small / "models" / "v1" / "f32.gguf"

    with ollama_serving(tmp_path, convert) as server:
        monkeypatch.setenv("OLLAMA_HOST", server.url)
        made = ollama_create(small, what="merged")
    assert made.model.name == "small:v1-merged"
    assert arrived == sorted(weight_files(merged))
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja"} <= {*arrived}


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
    assert settings(512) == GREEDY
    assert settings(2049)["num_ctx"] == 8192
