"""Coordinator, worker and fallback by the memory at hand."""

import pytest

from nlp_skills.deployment.ollama.recommended import CODING_MODELS, Role, recommend_models
from nlp_skills.errors import NotValid


@pytest.mark.parametrize(
    ("memory_gb", "names"),
    [
        (64, ["qwen2.5-coder:32b", "qwen2.5-coder:1.5b", "deepseek-coder:1.3b"]),
        (24, ["qwen2.5-coder:14b", "qwen2.5-coder:1.5b", "deepseek-coder:1.3b"]),
        (12, ["qwen2.5-coder:7b", "qwen2.5-coder:1.5b", "deepseek-coder:1.3b"]),
        (8, ["qwen2.5-coder:7b", "qwen2.5-coder:0.5b", "deepseek-coder:1.3b"]),
        (4, ["qwen2.5-coder:1.5b", "deepseek-coder:1.3b"]),
        (1, ["qwen2.5-coder:0.5b"]),
        (0.5, []),
    ],
)
def test_the_largest_set_that_has_room_is_recommended(memory_gb: float, names: list[str]) -> None:
    found = recommend_models(memory_gb=memory_gb)
    assert [model.name for model in found.models] == names
    assert (found.together_gb is not None) == (memory_gb >= 8)
    assert (found.together_gb or 0) <= memory_gb
    assert all(model.needs_gb <= memory_gb for model in found.models)


def test_a_recommendation_says_what_is_fetched_what_it_needs_and_under_which_terms() -> None:
    coordinator, worker, fallback = recommend_models(memory_gb=12).models
    assert coordinator.model_dump() == {
        "role": "coordinator",
        "name": "qwen2.5-coder:7b",
        "download_gb": 4.7,
        "needs_gb": 6.9,
        "window": 32_768,
        "license": "Apache-2.0",
        "terms": None,
        "model_card": "https://huggingface.co/Qwen/Qwen2.5-Coder-7B-Instruct",
        "command": "nlp-skills ollama-pull qwen2.5-coder:7b",
    }
    assert (worker.window, fallback.window) == (8_192, 8_192)
    assert fallback.license == "DeepSeek License Agreement"
    assert fallback.terms is not None


def test_what_does_not_fit_is_said() -> None:
    assert recommend_models(memory_gb=4).notes == [
        "There is no room for a coordinator beside a worker: that takes 7.7 GB."
    ]
    assert (
        recommend_models(memory_gb=0.5).notes[-1] == "No model of the list fits; the smallest takes 0.8 GB."
    )


def test_without_a_memory_this_machines_is_taken_and_another_machines_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OLLAMA_HOST", "127.0.0.1")
    here = recommend_models()
    assert here.memory_gb > 0
    assert all("another machine" not in note for note in here.notes)
    monkeypatch.setenv("OLLAMA_HOST", "gpu-box")
    assert recommend_models().notes[0].startswith("Ollama runs on another machine (http://gpu-box:11434).")
    with pytest.raises(NotValid, match="give the memory that there is"):
        recommend_models(memory_gb=0)


def test_the_table_holds_each_role_with_the_best_first() -> None:
    for role in Role:
        sizes = [model.bytes for model in CODING_MODELS if model.role is role]
        assert sizes
        assert sizes == sorted(sizes, reverse=True)
