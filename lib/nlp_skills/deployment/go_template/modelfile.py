"""A Modelfile whose prompts are those that the version was trained with, or the reason why there is none."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nlp_skills.data.text_encoder import end_tokens
from nlp_skills.deployment.go_template.chat_template import ChatTemplate
from nlp_skills.deployment.go_template.compared import (
    difference,
    differing,
    limits_of,
    tools_shown_otherwise,
)
from nlp_skills.deployment.go_template.go_syntax import parse
from nlp_skills.deployment.go_template.markers import with_markers
from nlp_skills.deployment.go_template.probes import drawn_probes, plain_probes, thinking_probes, tool_probes
from nlp_skills.deployment.go_template.values import NotTranslatable
from nlp_skills.errors import NotValid
from nlp_skills.records import Record


class Modelfile(Record):
    """What `ollama create` is given: as the text of a file, and piece by piece for the API."""

    text: str
    template: str
    stops: list[str]
    limits: list[str]
    """What Ollama does otherwise than the trainer, each in a sentence."""
    parameters: dict[str, Any] = {}
    """Without the stops."""
    system: str | None = None


def modelfile(
    tokenizer: Any,
    weights: str,
    *,
    tools: bool | Sequence[Mapping[str, Any]],
    thinking: bool | None = None,
    system: str | None = None,
    parameters: Mapping[str, Any] | None = None,
) -> Modelfile:
    """The Modelfile of a model with this tokenizer; `weights` is what stands after FROM.

    `tools` that are given as schemas show the order of the keys that the model was trained with. `thinking` is
    enable_thinking of the training; None: the template's own default, which a request may change where the default is
    to think. Raises NotValid naming the conversation that cannot be equal, and the first difference.
    """
    chat = ChatTemplate(tokenizer, thinking, [] if isinstance(tools, bool) else list(tools))
    with_tools = bool(tools)
    if with_tools:
        _require_tools_shown(chat)
    template = _translated(chat, with_tools)
    stops = [token for token in map(tokenizer.convert_ids_to_tokens, sorted(end_tokens(tokenizer))) if token]
    limits = [*chat.assumed, *limits_of(chat, parse(template), tools=with_tools)]
    if not isinstance(tools, bool):
        limits += tools_shown_otherwise(chat, parse(template), tools)
    given = dict(parameters or {})
    return Modelfile(
        text=_text(weights, template, system, given, stops),
        template=template,
        stops=stops,
        limits=list(dict.fromkeys(limits)),
        parameters=given,
        system=system,
    )


def _require_tools_shown(chat: ChatTemplate) -> None:
    probe = next(tool_probes())
    shown = chat.rendered(probe)
    if shown is not None and shown == chat.rendered(probe._replace(tools=None)):
        raise NotValid(
            "The chat template does not show tools to the model (TOOL-KEEP). Set tools_in_prompt: true, which lists them in"
            " the system prompt, or choose a base_model whose template shows them (Qwen, Llama 3.1 and later, Granite)."
        )


def _translated(chat: ChatTemplate, tools: bool) -> str:
    """The TEMPLATE, measured. Raises NotValid."""
    probes = [*plain_probes(), *(tool_probes() if tools else ()), *thinking_probes(tools)]
    probes += drawn_probes(tools, thinking=True)
    found: NotValid | None = None
    # Ollama takes the file's own template instead of one that can do less: tools are kept wherever that is possible.
    for with_tools, bos in ((True, False), (tools, False), (tools, True)):
        try:
            template = with_markers(chat, chat.translated(tools=with_tools, keep_bos=bos), tools=with_tools)
        except NotTranslatable as error:
            found = found or _refused(str(error))
            continue
        wrong = differing(chat, parse(template), probes)
        if wrong is None:
            return template
        found = _refused(difference(*wrong))
    assert found is not None
    raise found


def _refused(why: str) -> NotValid:
    return NotValid(
        f"Ollama's Go template cannot equal this chat template: {why}. Deploy it as a GGUF file for llama.cpp, which renders"
        " the chat template itself (nlp-skills export-model), serve it with nlp-skills serve, or see"
        " docs/ollama-templates.md for what Ollama can be told."
    )


def _text(
    weights: str, template: str, system: str | None, parameters: Mapping[str, Any], stops: list[str]
) -> str:
    """The file: https://docs.ollama.com/modelfile."""
    if '"""' in template + (system or ""):
        raise NotValid(
            'A Modelfile cannot hold a text with three quotes in a row ("""). Change the system prompt.'
        )
    lines = [f"FROM {weights}", f'TEMPLATE """{template}"""']
    lines += [f'SYSTEM """{system}"""'] if system else []
    lines += [f"PARAMETER {name} {value}" for name, value in parameters.items()]
    return "\n".join([*lines, *(f'PARAMETER stop "{stop}"' for stop in stops)]) + "\n"
