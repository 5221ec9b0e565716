"""Ollama's prompts are the trainer's, byte by byte: Go's own template engine beside transformers."""

from collections.abc import Callable
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from chat_templates import OWN, chat_template, tokenizer_with
from go_renderer import GoError, go_render, go_render_many

from nlp_skills.base_model import BaseModelFiles
from nlp_skills.deployment.go_template.go_syntax import parse
from nlp_skills.deployment.go_template.modelfile import Modelfile, modelfile
from nlp_skills.deployment.go_template.probes import (
    STOP,
    WEATHER,
    Probe,
    assistant,
    calling,
    drawn_probes,
    plain_probes,
    result,
    system,
    thinking_probes,
    tool_probes,
    user,
)
from nlp_skills.deployment.go_template.request import ollama_request, render
from nlp_skills.errors import NotValid

WITH_TOOLS = ("qwen2_5", "qwen3_5_think", "qwen3", "llama3_1", "glm4moe", *OWN)
WITHOUT_TOOLS = ("llama3", "gemma", "gemma3", "phi3", "phi3_5", "deepseek_r1_distill", "cohere2")


@lru_cache(maxsize=4)
def made_for(name: str, *, tools: bool) -> tuple[Any, Modelfile]:
    """The tokenizer with a public template, and its Modelfile."""
    tokenizer = tokenizer_with(chat_template(name))
    return tokenizer, modelfile(tokenizer, "./q8_0.gguf", tools=tools)


def others(tools: bool, thinking: bool) -> list[Probe]:
    """Conversations that the Modelfile was not measured with."""
    return list(islice(drawn_probes(tools, thinking, seed=99), 25))


def prompts(tokenizer: Any, probes: list[Probe], **given: Any) -> tuple[list[Probe], list[str]]:
    """What the trainer renders, of the conversations that it can."""
    from jinja2 import TemplateError

    kept, rendered = [], []
    for probe in probes:
        try:
            text = tokenizer.apply_chat_template(
                probe.messages, tools=probe.tools, tokenize=False, add_generation_prompt=True, **given
            )
        except TemplateError:
            continue  # roles that do not alternate, a system prompt for Gemma
        kept.append(probe)
        rendered.append(text)
    return kept, rendered


def requests(probes: list[Probe], think: bool | None = None) -> list[dict[str, Any]]:
    return [ollama_request(probe.messages, probe.tools, think=think) for probe in probes]


def assert_equal(made: Modelfile, tokenizer: Any, probes: list[Probe], **given: Any) -> None:
    """Go, our own engine and the trainer write the same."""
    kept, wanted = prompts(tokenizer, probes, **given)
    assert len(kept) > len(probes) / 4
    assert go_render_many(made.template, requests(kept)) == wanted
    template = parse(made.template)
    assert [render(template, request) for request in requests(kept)] == wanted


@pytest.mark.parametrize("name", WITH_TOOLS)
def test_a_public_template_with_tools_is_equal(name: str):
    tokenizer, made = made_for(name, tools=True)
    probes = [
        *plain_probes(),
        *tool_probes(),
        *thinking_probes(tools=True),
        *others(True, True),
    ]
    assert_equal(made, tokenizer, probes)


@pytest.mark.parametrize("name", WITHOUT_TOOLS)
def test_a_public_template_without_tools_is_equal(name: str):
    tokenizer, made = made_for(name, tools=False)
    assert_equal(made, tokenizer, [*plain_probes(), *thinking_probes(False), *others(False, True)])


def test_smollm2_is_equal(smollm2: BaseModelFiles):
    template = (Path(smollm2.path) / "chat_template.jinja").read_text(encoding="utf-8")
    tokenizer = tokenizer_with(template)
    made = modelfile(tokenizer, "./q8_0.gguf", tools=False)
    assert_equal(made, tokenizer, [*plain_probes(), *others(False, False)])
    assert made.limits == [
        "two messages of one role in a row are joined into one, with an empty line between"
    ]


def test_the_bos_that_the_server_adds_is_not_in_the_template():
    text = chat_template("llama3")
    adding, plain = tokenizer_with(text, adds_bos=True), tokenizer_with(text)
    asked = {"messages": [user("a")]}
    (wanted,) = prompts(plain, [Probe("plain", [user("a")])])[1]
    assert wanted.startswith("<s>")
    assert go_render(modelfile(plain, "./x.gguf", tools=False).template, asked) == wanted
    assert go_render(modelfile(adding, "./x.gguf", tools=False).template, asked) == wanted.removeprefix("<s>")


def test_a_request_may_switch_thinking_where_the_default_is_to_think():
    tokenizer, made = made_for("qwen3", tools=False)
    probes = [Probe("plain", [user("a")]), *thinking_probes(False)]
    for think in (True, False):
        kept, wanted = prompts(tokenizer, probes, enable_thinking=think)
        assert go_render_many(made.template, requests(kept, think)) == wanted


def test_a_request_cannot_switch_what_was_trained():
    tokenizer = tokenizer_with(chat_template("qwen3"))
    made = modelfile(tokenizer, "./x.gguf", tools=False, thinking=False)
    kept, wanted = prompts(tokenizer, [Probe("plain", [user("a")])], enable_thinking=False)
    for think in (None, True, False):
        assert go_render_many(made.template, requests(kept, think)) == wanted


def test_the_keys_of_a_tool_stand_in_the_order_of_the_training():
    tokenizer = tokenizer_with(chat_template("qwen2_5"))
    kind = {"type": "string", "enum": ["x", "y"], "description": "d"}
    parameters = {"type": "object", "required": ["a"], "properties": {"a": kind}}
    tools = [{"type": "function", "function": {"description": "d", "name": "f", "parameters": parameters}}]
    made = modelfile(tokenizer, "./x.gguf", tools=tools)
    assert_equal(made, tokenizer, [Probe("tools", [user("a")], tools)])


@pytest.mark.parametrize(
    ("messages", "tools", "limit"),
    [
        ([user("a"), user("b")], None, "two messages of one role in a row are joined"),
        ([user("a"), calling(("stop", {"b": 1, "a": 2})), result("")], [STOP], "arguments are listed in alphabetical"),
        ([user("a"), calling(("stop", {"b": 2.0})), result("")], [STOP], "2.0 in a tool call becomes 2"),
        ([user("a"), assistant("<think>\nb\n</think>\n\nc"), user("d")], None, "reasoning that a client sends back"),
    ],
)  # fmt: skip
def test_what_ollama_does_otherwise_is_named(messages: list[Any], tools: list[Any] | None, limit: str):
    tokenizer, made = made_for("qwen3", tools=True)
    kept, wanted = prompts(tokenizer, [Probe("limit", messages, tools)])
    assert go_render_many(made.template, requests(kept)) != wanted
    assert [told for told in made.limits if limit in told]


def test_the_tools_of_the_rows_are_rendered_too_and_named_where_ollama_shows_them_otherwise():
    def tool(name: str, schema: Any) -> dict[str, Any]:
        parameters = {"type": "object", "properties": {"a": schema}}
        return {"type": "function", "function": {"name": name, "description": "d", "parameters": parameters}}

    plain = {"type": "string", "description": "d"}
    rows = [WEATHER, tool("plain", plain), tool("cut", {**plain, "default": "x"}), tool("anything", True)]
    tokenizer = tokenizer_with(chat_template("qwen3"))
    made = modelfile(tokenizer, "./q8_0.gguf", tools=rows)
    (told,) = [limit for limit in made.limits if limit.startswith("of the tools in the rows")]
    assert told.startswith(
        "of the tools in the rows cut, anything are shown otherwise: the conversation 'cut' differs"
    )
    probes = [Probe("tools", [user("a")], [one]) for one in rows[:3]]
    kept, wanted = prompts(tokenizer, probes)
    written = go_render_many(made.template, requests(kept))
    assert [one == other for one, other in zip(written, wanted, strict=True)] == [True, True, False]


def refused(template: str, **given: Any) -> str:
    with pytest.raises(NotValid) as error:
        modelfile(tokenizer_with(template), "./x.gguf", **{"tools": False, **given})
    return str(error.value)


EVERY_TURN = "{% for message in messages %}{{ message.content }}{% endfor %}"


def test_a_template_that_go_cannot_say_is_refused_with_its_line():
    assert "line 2: it uses upper on a text of the request" in refused(
        "{{ bos_token }}\n{% for message in messages %}{{ message.content | upper }}{% endfor %}"
    )


def test_a_template_that_comes_out_otherwise_is_refused_with_the_first_difference():
    told = refused(
        "{% for m in messages %}{{ m.role }}: {% if 'braces' in m.content %}!{% endif %}{{ m.content }}\n{% endfor %}"
    )
    assert "the conversation 'plain 4' differs at character 6: the trainer writes 'user: !a \"quote\"" in told
    assert 'Ollama would write \'user: a "quote"' in told


def test_tools_that_the_template_does_not_show_are_refused():
    assert "TOOL-KEEP" in refused(chat_template("phi3"), tools=True)


def test_without_tools_in_the_task_the_model_keeps_them():
    """Ollama takes the file's own template where it can do more than the TEMPLATE."""
    tokenizer, made = made_for("qwen2_5", tools=False)
    assert_equal(made, tokenizer, list(tool_probes()))


def test_a_modelfile_says_all_of_it():
    made = modelfile(
        tokenizer_with(EVERY_TURN),
        "./q8_0.gguf",
        tools=False,
        system='Say "no".',
        parameters={"temperature": 0},
    )
    assert made == Modelfile(
        text='FROM ./q8_0.gguf\nTEMPLATE """{{ range $i1, $m1 := .Messages }}{{ .Content }}{{ end }}"""\n'
        'SYSTEM """Say "no"."""\nPARAMETER temperature 0\nPARAMETER stop "</s>"\nPARAMETER stop "<|im_end|>"\n',
        template="{{ range $i1, $m1 := .Messages }}{{ .Content }}{{ end }}",
        stops=["</s>", "<|im_end|>"],
        limits=["two messages of one role in a row are joined into one, with an empty line between"],
        parameters={"temperature": 0},
        system='Say "no".',
    )


@pytest.mark.parametrize(
    "written", ['a """ b', 'x"""""', "\u00a0 \u200b\ufeff", "{{ {{{ }} {", "\x07", "``` \\n \\"]
)
def test_a_template_holds_any_text_and_a_modelfile_keeps_it(written: str):
    """Its reader ends a value at three quotes, and drops what is not printed (parser/parser.go)."""
    tokenizer = tokenizer_with(
        "{{ " + repr(written) + " }}{% for m in messages %}{{ m.content }}{{ '\"' }}{% endfor %}"
    )
    made = modelfile(tokenizer, "./x.gguf", tools=False)
    assert go_render(made.template, {"messages": [user("a")]}) == written + 'a"'
    assert all(character.isprintable() or character in "\n\t" for character in made.text)
    assert made.text.count('"""') == 2


def test_ollama_finds_how_calls_and_reasoning_begin():
    """Its readers of answers look for texts beside .ToolCalls (the first) and .Thinking (the last)."""
    _, made = made_for("qwen3", tools=True)
    assert made.template.startswith(
        '{{ range .Messages }}{{ if and .ToolCalls $.Tools (eq .Role "tool") false }}<tool_call>{{ end }}{{ end }}'
    )
    assert made.template.endswith(
        "{{ range .Messages }}{{ if and .Thinking false }}<think>{{ .Thinking }}</think>{{ end }}{{ end }}"
    )


def test_a_long_text_is_written_whole():
    tokenizer, made = made_for("gemma3", tools=False)
    long = " " * 300 + "天氣 <&>\n" * 20_000 + " " * 300
    (wanted,) = prompts(tokenizer, [Probe("long", [user(long)])])[1]
    assert go_render(made.template, {"messages": [user(long)]}) == wanted


def test_reasoning_that_stands_in_an_answer_goes_into_its_own_field():
    said = [user("a"), assistant("<think>\nb\n</think>\n\nc"), user("<think>x</think>")]
    assert ollama_request(said, apart=True)["messages"] == [
        {"role": "user", "content": "a"},
        {"role": "assistant", "content": "c", "thinking": "b"},
        {"role": "user", "content": "<think>x</think>"},
    ]


GO = [
    "{{ range $i, $m := .Messages }}{{ $i }}{{ .Role }}{{ else }}none{{ end }}",
    "{{- range .Messages -}}  {{ .Content }}  {{- end -}} x",
    "{{/* a remark */}}{{ with .System }}[{{ . }}]{{ else }}-{{ end }}",
    "{{ with (index .Messages 0) }}{{ .Content | printf \"%s|%s\" .Role }}{{ end }}",
    "{{ range .Messages }}{{ if eq .Role \"user\" \"tool\" }}u{{ else if eq .Role `assistant` }}{{ break }}{{ end }}{{ end }}",
    "{{ range .Messages }}{{ if ne .Role \"user\" }}{{ continue }}{{ end }}{{ .Content }}{{ end }}",
    "{{ $n := 0 }}{{ range .Messages }}{{ $n = len (printf \"%*s \" $n \"\") }}{{ end }}{{ $n }}",
    "{{ define \"a\" }}({{ . }}){{ end }}{{ range .Messages }}{{ template \"a\" .Content }}{{ end }}{{ template \"a\" 1 }}",
    "{{ json .Tools }}{{ .Tools }}{{ range .Tools }}{{ . }}{{ .Function.Parameters.Properties }}{{ end }}",
    "{{ range .Messages }}{{ range .ToolCalls }}{{ .Function.Arguments }}{{ json .Function.Arguments }}"
    "{{ range $k, $v := .Function.Arguments }}{{ $k }}={{ json $v }}:{{ printf \"%T %v\" $v (json $v) }};{{ end }}{{ end }}{{ end }}",
    "{{ and 1 0 }}{{ or \"\" \"x\" }}{{ not .System }}{{ and .System (index .Messages 9) }}{{ len .Messages }}",
    "{{ slice \"天氣\" 0 3 }}{{ index \"ab\" 1 }}{{ lt 1 2 }}{{ ge 2 3 }}{{ print 1 2 \"a\" \"b\" 3 }}{{ printf \"%.2s|%5s|%d\" \"abc\" \"x\" 7 }}",
    "{{ range .Messages }}{{ json .Content }}{{ end }}{{ .Missing }}",
    "{{ if and .Tools (not .Think) .IsThinkSet }}{{ .ThinkLevel }}{{ end }}{{ \"\\u00e9\\n\\\"\" }}{{ 'a' }}{{ true }}",
    "{{ index .Messages 9 }}",
    "{{ nothing }}",
    "{{ slice \"a\" 2 }}",
    "{{ range .Messages }}{{ .Nothing }}{{ end }}",
    "{{ if .System }}",
    "{{ eq 1 \"a\" }}",
]  # fmt: skip


@pytest.mark.parametrize("template", GO)
def test_our_engine_writes_what_go_writes_or_refuses_too(template: str):
    arguments = {"b": 2, "a": "<x> \u2028 é", "c": [1.5, None, True, {"z": 1e21, "y": 1e-7}], "d": {}}
    asked = [
        ollama_request([system("s"), user('a "b"'), user(" c\n"), calling(("stop", arguments)), result("r")], [WEATHER, STOP]),
        ollama_request([user("<a&b>")], think=False),
    ]  # fmt: skip

    def ours(request: dict[str, Any]) -> str | None:
        try:
            return render(parse("{{ if .Messages }}{{ end }}" + template), request)
        except NotValid:
            return None

    theirs: Callable[[Any], str | None] = lambda one: None if isinstance(one, GoError) else one  # noqa: E731
    assert list(map(ours, asked)) == list(
        map(theirs, go_render_many("{{ if .Messages }}{{ end }}" + template, asked))
    )
