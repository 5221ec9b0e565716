"""Ollama's results as people read them, in a terminal of 80 columns."""

import io

from rich.console import Console

from nlp_skills.deployment.ollama.coding import Block, Code
from nlp_skills.deployment.ollama.creating import OllamaCreation
from nlp_skills.deployment.ollama.generating import Generation
from nlp_skills.deployment.ollama.models import OllamaDetails, OllamaModel, OllamaModels
from nlp_skills.deployment.ollama.recommended import recommend_models
from nlp_skills.deployment.ollama.removing import OllamaRemoval
from nlp_skills.deployment.ollama.status import GpuMemory, LoadedModel, Machine, OllamaStatus
from nlp_skills.records import Record
from nlp_skills.tables import render

MODEL = OllamaModel(
    name="entity-sentiment:v2",
    size_bytes=4_683_000_000,
    manifest="ab" * 32,
    family="qwen2",
    parameters="7.6B",
    quantization="Q4_K_M",
    modified="2026-11-21T08:00:00+00:00",
)
CODE = Code(
    model="m:latest",
    code="def f():\n    return [1]\n",
    language="python",
    fenced=True,
    other_blocks=[Block(language="python", code="f()\n")],
    tokens=9,
    seconds=0.5,
    cut=False,
)


def lines(record: Record) -> list[str]:
    console = Console(width=80, highlight=False, markup=False, record=True, file=io.StringIO())
    console.print(render(record))
    return [line.rstrip() for line in console.export_text().splitlines()]


def test_models_are_lines() -> None:
    loaded = MODEL.model_copy(update={"name": "small:v1", "size_bytes": 98_362_432, "loaded": True})
    assert lines(OllamaModels(host="http://127.0.0.1:11434", models=[MODEL, loaded])) == [
        "model                  size  parameters  quantization  changed (UTC)     loaded",
        "entity-sentiment:v2  4.7 GB        7.6B  Q4_K_M        2026-11-21 08:00",
        "small:v1              98 MB        7.6B  Q4_K_M        2026-11-21 08:00  yes",
    ]
    none = lines(OllamaModels(host="http://127.0.0.1:11434", models=[]))
    assert " ".join(none) == (
        "Ollama at http://127.0.0.1:11434 has no model yet. See which fits: nlp-skills recommend-models"
    )
    assert lines(MODEL) == ["entity-sentiment:v2 is in Ollama: 4.7 GB (7.6B, Q4_K_M)."]


def test_a_model_is_shown_with_its_settings_and_its_template_as_it_is() -> None:
    found = OllamaDetails(
        model=MODEL,
        capabilities=["completion", "tools"],
        context_length=32_768,
        template="{{ .Prompt }}\n[x]",
        settings={"stop": ["<|im_end|>"]},
        license="Apache License",
    )
    assert lines(found) == [
        "model        entity-sentiment:v2, 4.7 GB",
        "made of      qwen2 7.6B Q4_K_M",
        "can          completion, tools",
        "context      32,768 tokens",
        "stop         <|im_end|>",
        "license      Apache License",
        "",
        "template",
        "{{ .Prompt }}",
        "[x]",
    ]
    long = found.model_copy(update={"template": "x" * 1000})
    assert len(long.brief().template or "") == 401
    assert found.brief() == found


def test_the_status_names_models_machine_and_gpus() -> None:
    loaded = LoadedModel(
        name="entity-sentiment:v2",
        size_bytes=6_000_000_000,
        gpu_bytes=3_000_000_000,
        gpu_share=0.5,
        context_length=8192,
        until="2026-11-21T08:05:00+00:00",
    )
    machine = Machine(
        cores=16,
        load_average=None,
        memory_gb=64.0,
        free_gb=40.0,
        gpus=[GpuMemory(name="NVIDIA RTX 4090", memory_gb=24.0, free_gb=18.5)],
    )
    found = OllamaStatus(
        host="http://127.0.0.1:11434",
        version="0.33.0",
        client="0.6.3",
        loaded=[loaded],
        machine=machine,
        note="N.",
    )
    assert lines(found) == [
        "Ollama 0.33.0 at http://127.0.0.1:11434",
        "model                memory  on GPU  window  until (UTC)",
        "entity-sentiment:v2  6.0 GB     50%   8,192  2026-11-21 08:05",
        "This machine: 16 cores; 40.0 of 64.0 GiB are free",
        "NVIDIA RTX 4090: 18.5 of 24.0 GiB are free",
        "N.",
    ]


def test_a_recommendation_ends_with_the_commands_that_fetch_it() -> None:
    shown = lines(recommend_models(memory_gb=1))
    assert shown[:3] == [
        "For 1 GB (as given)",
        "role    model               fetches   needs  window  license",
        "worker  qwen2.5-coder:0.5b   0.4 GB  0.8 GB   8,192  Apache-2.0",
    ]
    assert shown[-2:] == ["Fetch them with:", "nlp-skills ollama-pull qwen2.5-coder:0.5b"]
    assert lines(recommend_models(memory_gb=0.5)) == [
        "For 0.5 GB (as given)",
        "There is no room for a coordinator beside a worker: that takes 7.7 GB.",
        "No model of the list fits; the smallest takes 0.8 GB.",
    ]


def test_code_is_shown_alone_so_that_it_can_go_into_a_file() -> None:
    assert lines(CODE) == ["def f():", "    return [1]"]
    assert lines(CODE.model_copy(update={"cut": True}))[-1] == "It was cut: give more --max-new-tokens."


def test_an_answer_is_followed_by_what_it_took() -> None:
    found = Generation(
        model="m:v1",
        text="Paris [/INST]",
        thinking="France …",
        tokens=1,
        seconds=0.25,
        tokens_per_second=8,
        cut=True,
    )
    assert lines(found) == [
        "France …",
        "",
        "Paris [/INST]",
        "",
        "m:v1: 1 token in 0.2 s, 8 tokens/s; cut by --max-new-tokens",
    ]


def test_what_was_created_says_how_it_renders_and_where_it_stops() -> None:
    found = OllamaCreation(
        task="t",
        version="v2",
        artefact="adapter",
        model=MODEL,
        renders_with="chat_template",
        stops=[],
        limits=["one thing"],
        modelfile=None,
        note="Ask it.",
    )
    assert lines(found) == [
        "entity-sentiment:v2 is in Ollama: adapter of t v2, 4.7 GB.",
        "Prompts are made by the chat template in its weights; it stops at: its end",
        "token.",
        "Not as the chat template: one thing",
        "Ask it.",
    ]


def test_a_removal_says_what_becomes_free() -> None:
    asked = OllamaRemoval(
        name="m:v1", removed=False, size_bytes=98_362_432, same_model=[], note="It would go."
    )
    assert lines(asked) == ["It would go. 98 MB would be free."]
