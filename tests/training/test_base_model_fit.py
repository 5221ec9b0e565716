"""Whether a base model meets what task.yaml says of where it will live, and which known one would."""

from typing import Any

import pytest

from nlp_skills.task.task import Task
from nlp_skills.training.planning.base_model_fit import Serving, judge_base_model, serving_of
from nlp_skills.training.planning.known_models import KNOWN_MODELS, suitable_models
from nlp_skills.training.planning.model_shape import ModelShape, count_shape
from nlp_skills.training.planning.row_lengths import RowLength, RowLengths

ROWS = RowLengths(100, (RowLength(120, 20),) * 100, (RowLength(500, 20),), "made up")

SIZES: dict[str, tuple[str, dict[str, Any]]] = {
    "HuggingFaceTB/SmolLM2-135M-Instruct": (
        "llama",
        {"h": 576, "i": 1536, "n": 30, "a": 9, "k": 3, "v": 49152},
    ),
    "google/gemma-3-270m-it": (
        "gemma3_text",
        {"h": 640, "i": 2048, "n": 18, "a": 4, "k": 1, "v": 262144, "d": 256},
    ),
    "HuggingFaceTB/SmolLM2-360M-Instruct": (
        "llama",
        {"h": 960, "i": 2560, "n": 32, "a": 15, "k": 5, "v": 49152},
    ),
    "Qwen/Qwen3-0.6B": ("qwen3", {"h": 1024, "i": 3072, "n": 28, "a": 16, "k": 8, "v": 151936, "d": 128}),
    "google/gemma-3-1b-it": (
        "gemma3_text",
        {"h": 1152, "i": 6912, "n": 26, "a": 4, "k": 1, "v": 262144, "d": 256},
    ),
    "meta-llama/Llama-3.2-1B-Instruct": (
        "llama",
        {"h": 2048, "i": 8192, "n": 16, "a": 32, "k": 8, "v": 128256},
    ),
    "HuggingFaceTB/SmolLM2-1.7B-Instruct": (
        "llama",
        {"h": 2048, "i": 8192, "n": 24, "a": 32, "k": 32, "v": 49152},
    ),
    "Qwen/Qwen3-1.7B": ("qwen3", {"h": 2048, "i": 6144, "n": 28, "a": 16, "k": 8, "v": 151936, "d": 128}),
    "meta-llama/Llama-3.2-3B-Instruct": (
        "llama",
        {"h": 3072, "i": 8192, "n": 28, "a": 24, "k": 8, "v": 128256},
    ),
    "Qwen/Qwen3-4B": ("qwen3", {"h": 2560, "i": 9728, "n": 36, "a": 32, "k": 8, "v": 151936, "d": 128}),
    "Qwen/Qwen3-8B": ("qwen3", {"h": 4096, "i": 12288, "n": 36, "a": 32, "k": 8, "v": 151936, "d": 128}),
}
"""The sizes in the models' config.json."""


def shape_of(name: str) -> ModelShape:
    from transformers import AutoConfig

    family, sizes = SIZES[name]
    config = AutoConfig.for_model(
        family,
        hidden_size=sizes["h"],
        intermediate_size=sizes["i"],
        num_hidden_layers=sizes["n"],
        num_attention_heads=sizes["a"],
        num_key_value_heads=sizes["k"],
        head_dim=sizes.get("d", sizes["h"] // sizes["a"]),
        vocab_size=sizes["v"],
        tie_word_embeddings=name != "Qwen/Qwen3-8B",
    )
    return count_shape(config, name)


def task(**constraints: Any) -> Task:
    kind = constraints.pop("type", "classification")
    language = constraints.pop("language", None)
    return Task.parse(
        {
            "name": "t",
            "type": kind,
            "goal": "g",
            "created": "2026-11-21",
            "language": language,
            "constraints": constraints,
        },
        "t",
    )


def serving(given: Task, rate: float | None = 1e12) -> Serving:
    return serving_of(given, ROWS, rate, "cpu")


def anything(_: object) -> bool:
    return True


@pytest.fixture(scope="module")
def qwen() -> ModelShape:
    return shape_of("Qwen/Qwen3-1.7B")


@pytest.mark.parametrize("model", KNOWN_MODELS, ids=lambda model: model.id)
def test_the_table_says_what_the_models_are_made_of(model: Any) -> None:
    shape = shape_of(model.id)
    assert (model.parameters, model.cache_bytes) == (shape.parameters, 2 * shape.layers * shape.key_width * 2)


def test_the_table_goes_from_small_to_large_and_has_models_for_every_language_and_for_tools() -> None:
    assert [m.parameters for m in KNOWN_MODELS] == sorted(m.parameters for m in KNOWN_MODELS)
    assert {m.id for m in suitable_models("zh-Hant", tools=False)} == {
        f"Qwen/Qwen3-{size}" for size in ("0.6B", "1.7B", "4B", "8B")
    }
    assert all(m.tools for m in suitable_models("en", tools=True))
    assert len(suitable_models(None, tools=False)) == len(KNOWN_MODELS)


def test_nothing_is_said_where_nothing_is_asked(qwen: ModelShape) -> None:
    found = judge_base_model(task(), qwen, serving(task()), can_be_trained=anything)
    assert (found.fits, found.problems) == ([], [])
    assert found.larger is not None
    assert found.larger.id == "meta-llama/Llama-3.2-3B-Instruct"


def test_memory_is_that_of_the_weights_the_longest_row_and_a_little(qwen: ModelShape) -> None:
    # 1.72e9 x 2 bytes + 500 tokens x 114,688 bytes = 3.26 GiB, and 0.3 around it.
    roomy = task(memory_gb=4)
    found = judge_base_model(roomy, qwen, serving(roomy), can_be_trained=anything)
    assert (found.fits, found.problems) == (["answering takes about 3.6 of memory_gb 4"], [])
    tight = task(memory_gb=2)
    found = judge_base_model(tight, qwen, serving(tight), can_be_trained=anything)
    assert found.fits == []
    assert found.problems == [
        "Answering takes about 3.6 GiB in bfloat16, and memory_gb in task.yaml is 2; in 4 bits (GGUF) it takes 1.3 GiB,"
        " which fits."
    ]
    assert found.larger is None
    assert found.smaller is not None
    assert found.smaller.id == "Qwen/Qwen3-0.6B"


def test_the_smaller_model_fits_memory_language_tools_and_the_hardware(qwen: ModelShape) -> None:
    def smaller(hardware: int = 10**12, **asked: Any) -> str | None:
        given = task(**asked)
        found = judge_base_model(
            given, qwen, serving(given), can_be_trained=lambda model: model.parameters < hardware
        )
        return found.smaller.id if found.smaller else None

    assert smaller(memory_gb=2.5) == "google/gemma-3-1b-it"
    assert smaller(memory_gb=2.5, language="ja") == "Qwen/Qwen3-0.6B"
    assert smaller(memory_gb=3, type="tool_use") == "meta-llama/Llama-3.2-1B-Instruct"
    assert smaller(200_000_000, memory_gb=2.5) == "HuggingFaceTB/SmolLM2-135M-Instruct"
    assert smaller(memory_gb=0.1) is None


def test_latency_is_the_prompt_at_once_and_the_answer_token_by_token(qwen: ModelShape) -> None:
    # 100 tokens x 3.44e9 operations at 1e12 a second, then 20 tokens of at least 20 ms each.
    strict = task(latency_ms=500)
    found = judge_base_model(strict, qwen, serving(strict), can_be_trained=anything)
    assert found.problems == [
        "An answer of 20 tokens takes about 744 ms on the hardware of this plan (by transformers), and latency_ms in"
        " task.yaml is 500."
    ]
    assert found.smaller is not None
    assert found.smaller.id == "HuggingFaceTB/SmolLM2-360M-Instruct"
    patient = task(latency_ms=800)
    assert judge_base_model(patient, qwen, serving(patient), can_be_trained=anything).fits == [
        "an answer of 20 tokens takes about 744 ms on the hardware of this plan, of latency_ms 800"
    ]
    unknown = judge_base_model(strict, qwen, serving(strict, None), can_be_trained=anything)
    assert unknown.problems == []
    assert "not known before evaluate-version measures it" in unknown.fits[0]
