"""Prompts answered in Ollama's stand-in by the real SmolLM2; the prompts are rendered by Go, or by llama.cpp."""

from pathlib import Path

import pytest
from go_renderer import go_render
from ollama_stand_in import OllamaStandIn
from ollama_store import Stored

from nlp_skills.deployment.ollama.coding import (
    INSTRUCTION,
    Block,
    choose_block,
    fenced_blocks,
    ollama_code,
)
from nlp_skills.deployment.ollama.generating import ollama_generate, window
from nlp_skills.deployment.ollama.rendering import render_chat
from nlp_skills.errors import NotFound, NotReady, NotValid, RunFailed

CHATML = """{{- range .Messages }}<|im_start|>{{ .Role }}
{{ .Content }}<|im_end|>
{{ end }}<|im_start|>assistant
"""
WITH_TOOLS = """{{- if .Tools }}Tools: {{ range .Tools }}{{ . }}{{ end }}
{{ end }}{{ range .Messages }}<|im_start|>{{ .Role }}
{{ if eq .Role "tool" }}{{ .ToolName }}: {{ end }}{{ .Content }}{{ if .ToolCalls }}<call>{{ range .ToolCalls }}{{ .Function }}{{ end }}{{ end }}<|im_end|>
{{ end }}<|im_start|>assistant
"""
WEATHER = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "The weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
    },
}
QUESTION = "What is the capital of France? Answer in one sentence."
STOP = "<|im_end|>"
HELLO = [{"role": "user", "content": "Hello"}]


@pytest.fixture
def smol(ollama: OllamaStandIn, packaged_gguf: Path) -> str:
    """SmolLM2 with a TEMPLATE, greedy."""
    stored = Stored(
        ollama.store.keep(packaged_gguf), template=CHATML, parameters={"temperature": 0, "stop": [STOP]}
    )
    ollama.store.put("smollm2:135m", stored)
    return "smollm2:135m"


def test_an_answer_is_llama_cpps_own_to_the_prompt_that_go_renders(ollama: OllamaStandIn, smol: str) -> None:
    heard: list[tuple[str, float, float | None]] = []
    found = ollama_generate(
        smol, QUESTION, system="Be brief.", max_new_tokens=24, progress=lambda *said: heard.append(said)
    )
    turns = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}]
    prompt = go_render(CHATML, {"messages": turns})
    assert prompt == (
        f"<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n{QUESTION}<|im_end|>\n<|im_start|>assistant\n"
    )
    runner = ollama.runner(smol, ollama.store.models[smol])
    own = runner.complete(prompt, {"temperature": 0, "num_predict": 24, "stop": [STOP]})
    assert found.text == "".join(piece["content"] for piece in own)
    assert "Paris" in found.text
    assert found.prompt_tokens == len(runner.tokens(prompt))
    assert found.tokens is not None
    assert (found.model, found.cut, found.thinking) == (smol, False, None)
    assert heard[0] == (f"{smol} answers", 1, 24)


def test_an_answer_that_the_limit_ends_says_so(smol: str) -> None:
    found = ollama_generate(smol, "Tell me a long story.", max_new_tokens=4)
    assert (found.tokens, found.cut) == (4, True)


def test_what_is_not_given_is_left_to_the_models_own_settings(ollama: OllamaStandIn, smol: str) -> None:
    ollama_generate(smol, "Hello", max_new_tokens=1)
    ollama_generate(smol, "Hello", max_new_tokens=1, temperature=0.5, seed=7)
    options = [body["options"] for path, body in ollama.asked if path == "/api/chat"]
    assert options == [{"num_predict": 1}, {"num_predict": 1, "temperature": 0.5, "seed": 7}]


def test_what_may_not_fit_the_usual_window_asks_for_a_larger_one() -> None:
    assert window([{"content": "a" * 4000}], 96) == {}
    assert window([{"content": "a" * 4000}], 97) == {"num_ctx": 8192}
    assert window([{"content": "語" * 4000}], 1000) == {"num_ctx": 16384}


def test_a_model_that_is_not_there_is_not_found(ollama: OllamaStandIn) -> None:
    with pytest.raises(
        NotFound, match=r"^Ollama has no model llama3\.2:latest\. .*ollama-pull llama3\.2:latest$"
    ):
        ollama_generate("llama3.2", "Hello")
    assert [path for path, _ in ollama.asked] == ["/api/chat"]


def test_an_answer_that_breaks_off_is_no_answer(ollama: OllamaStandIn, smol: str) -> None:
    ollama.breaks["/api/chat"] = 2
    with pytest.raises(RunFailed, match=r"^Asking smollm2:135m: the connection to Ollama .* broke off"):
        ollama_generate(smol, "Tell me a long story.", max_new_tokens=8)


def test_code_is_taken_out_of_a_real_answer(ollama: OllamaStandIn, smol: str) -> None:
    found = ollama_code(
        "Write a function that adds two numbers.", language="Python", model=smol, max_new_tokens=96
    )
    (body,) = [body for path, body in ollama.asked if path == "/api/chat"]
    assert body["messages"][0]["content"] == f"{INSTRUCTION} The language is Python."
    assert body["options"] == {"num_predict": 96, "temperature": 0.0, "seed": 0}
    assert (found.fenced, found.language, found.cut) == (True, "python", False)
    made: dict[str, object] = {}
    exec(found.code, made)
    (function,) = [value for name, value in made.items() if callable(value)]
    assert function(2, 3) == 5


def test_without_a_model_the_best_recommended_one_that_is_there_writes(
    ollama: OllamaStandIn, smol: str, packaged_gguf: Path
) -> None:
    with pytest.raises(NotReady, match=r"none of the recommended coding models.*recommend-models"):
        ollama_code("Write hello world.", max_new_tokens=1)
    for name in ("deepseek-coder:1.3b", "qwen2.5-coder:1.5b", "qwen2.5-coder:7b"):
        ollama.store.put(name, Stored(ollama.store.keep(packaged_gguf), template=CHATML))
    assert ollama_code("Write hello world.", max_new_tokens=1).model == "qwen2.5-coder:7b"


FENCED = """Here it is:

```python
def add(a, b):
    return a + b
```

Use it so:

~~~
add(1, 2)
~~~
and in Markdown:
````md
```python
not a block of its own
```
````
   ```js
let cut = true"""


def test_blocks_are_those_of_markdown() -> None:
    assert fenced_blocks(FENCED) == [
        Block(language="python", code="def add(a, b):\n    return a + b\n"),
        Block(language=None, code="add(1, 2)\n"),
        Block(language="md", code="```python\nnot a block of its own\n```\n"),
        Block(language="js", code="let cut = true", closed=False),
    ]
    assert fenced_blocks("no code, but `one` word") == []


def test_the_first_block_in_the_wanted_language_is_the_code() -> None:
    install = Block(language="sh", code="pip install everything")
    code, example = Block(language="python", code="a"), Block(language="python", code="print(a)  # shows it")
    assert choose_block([install, code, example], "Python") == code
    assert choose_block([install, code], None) == install
    assert choose_block([install, code], "rust") == install
    assert choose_block([], "rust") is None


def test_what_ollama_makes_of_a_conversation_is_told_by_ollama_itself(
    ollama: OllamaStandIn, smol: str
) -> None:
    turns = [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": "c 語"},
    ]
    assert render_chat(smol, turns) == go_render(CHATML, {"messages": turns})
    assert [path for path, _ in ollama.asked] == ["/api/chat"]
    assert ollama.asked[0][1]["options"]["num_ctx"] == 4096


def test_the_system_prompt_of_the_modelfile_goes_before_a_conversation_without_one(
    ollama: OllamaStandIn, packaged_gguf: Path
) -> None:
    ollama.store.put("kind", Stored(ollama.store.keep(packaged_gguf), template=CHATML, system="Be kind."))
    assert render_chat("kind", HELLO).startswith("<|im_start|>system\nBe kind.<|im_end|>")
    own = render_chat("kind", [{"role": "system", "content": "Be brief."}, *HELLO])
    assert "Be kind." not in own


def test_without_a_template_llama_cpp_renders_the_one_of_the_weights(
    ollama: OllamaStandIn, packaged_gguf: Path
) -> None:
    ollama.store.put("plain", Stored(ollama.store.keep(packaged_gguf)))
    rendered = render_chat("plain", HELLO)
    assert rendered == (
        "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging Face<|im_end|>\n"
        "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n"
    )


def test_tools_are_rendered_where_the_template_shows_them_and_refused_elsewhere(
    ollama: OllamaStandIn, smol: str, packaged_gguf: Path
) -> None:
    with pytest.raises(NotValid, match=r"Ollama refuses: smollm2:135m does not support tools\.$"):
        render_chat(smol, HELLO, tools=[WEATHER])
    with pytest.raises(NotValid, match="does not support thinking"):
        render_chat(smol, HELLO, think=True)
    ollama.store.put("caller", Stored(ollama.store.keep(packaged_gguf), template=WITH_TOOLS))
    called = {"function": {"name": "get_weather", "arguments": {"city": "Taipei"}}}
    turns = [
        *HELLO,
        {"role": "assistant", "content": "", "tool_calls": [called]},
        {"role": "tool", "tool_name": "get_weather", "content": "rain"},
    ]
    rendered = render_chat("caller", turns, tools=[WEATHER])
    assert rendered == go_render(WITH_TOOLS, {"messages": turns, "tools": [WEATHER]})
    assert "get_weather: rain" in rendered
    assert rendered.startswith('Tools: {"type":"function","function":{"name":"get_weather"')


def test_an_ollama_that_is_too_old_to_tell_is_no_yes(ollama: OllamaStandIn, smol: str) -> None:
    ollama.tells_prompts = False
    with pytest.raises(NotReady, match=r"too old to tell what it makes of a conversation. Update it"):
        render_chat(smol, HELLO)
