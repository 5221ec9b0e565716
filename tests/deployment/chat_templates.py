"""Chat templates for tests of Ollama's: public ones from where packages carry them, and two of their shape.

TRL ships the templates of many models (trl/chat_templates); they are read from there. Mistral's and Granite's are in no
package that the tests have: MISTRAL_SHAPED and GRANITE_SHAPED are written here, with what makes those two awkward.
"""

from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

MISTRAL_SHAPED = """\
{%- if messages[0]["role"] == "system" %}{%- set system_message = messages[0]["content"] %}\
{%- set turns = messages[1:] %}{%- else %}{%- set turns = messages %}{%- endif %}
{%- set asked = turns | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}{%- set ns.count = 0 %}
{%- for message in turns %}
    {%- if not (message.role == "tool" or message.tool_calls is defined) %}
        {%- if (message["role"] == "user") != (ns.count % 2 == 0) %}{{ raise_exception("roles must alternate") }}{%- endif %}
        {%- set ns.count = ns.count + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in turns %}
    {%- if message.role == "user" %}
        {%- if tools is not none and message == asked[-1] %}
            {{- "[AVAILABLE_TOOLS] [" }}
            {%- for tool in tools %}
                {{- '{"type": "function", "function": {' }}
                {%- for key, value in tool.function.items() if key != "return" %}
                    {{- '"' + key + '": ' + value | tojson }}
                    {%- if not loop.last %}{{- ", " }}{%- endif %}
                {%- endfor %}
                {{- "}}" }}{%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" }}{%- endif %}
            {%- endfor %}
            {{- "[/AVAILABLE_TOOLS]" }}
        {%- endif %}
        {%- if loop.last and system_message is defined %}
            {{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}
            {{- "[INST] " + message["content"] + "[/INST]" }}
        {%- endif %}
    {%- elif message.tool_calls is defined and message.tool_calls is not none %}
        {{- "[TOOL_CALLS] [" }}
        {%- for call in message.tool_calls %}
            {%- set out = call.function | tojson %}
            {{- out[:-1] }}
            {%- if not call.id is defined or call.id | length != 9 %}{{- raise_exception("nine characters") }}{%- endif %}
            {{- ', "id": "' + call.id + '"}' }}
            {%- if not loop.last %}{{- ", " }}{%- else %}{{- "]" + eos_token }}{%- endif %}
        {%- endfor %}
    {%- elif message.role == "assistant" %}
        {{- " " + message["content"] | trim + eos_token }}
    {%- elif message.role == "tool" %}
        {{- '[TOOL_RESULTS] {"content": ' + message.content | string + ', "call_id": "' + message.tool_call_id + '"}' }}
        {{- "[/TOOL_RESULTS]" }}
    {%- else %}
        {{- raise_exception("unknown role") }}
    {%- endif %}
{%- endfor %}
"""

GRANITE_SHAPED = """\
{%- set before = 'Call one of these tools where it helps:\\n<tools>' %}
{%- set ns = namespace(tools=before, system='') %}
{%- if tools %}
    {%- for tool in tools %}{%- set ns.tools = ns.tools + '\\n' + (tool | tojson) %}{%- endfor %}
    {%- set ns.tools = ns.tools + '\\n</tools>' %}
{%- else %}
    {%- set ns.tools = '' %}
{%- endif %}
{%- if messages[0].role == 'system' %}
    {%- set ns.system = messages[0].content %}
    {%- if tools %}{%- set ns.system = ns.system + '\\n\\n' + ns.tools %}{%- endif %}
{%- elif tools %}
    {%- set ns.system = ns.tools %}
{%- endif %}
{{- '<|start_of_role|>system<|end_of_role|>' + (ns.system or 'You are helpful. Today is ' + strftime_now('%B %d, %Y') + '.') }}
{{- '<|end_of_text|>\\n' }}
{%- for message in messages %}
    {%- set content = namespace(val='') %}
    {%- if message.content is string %}{%- set content.val = message.content %}{%- endif %}
    {%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
        {{- '<|start_of_role|>' + message.role + '<|end_of_role|>' + content.val + '<|end_of_text|>\\n' }}
    {%- elif message.role == 'assistant' %}
        {{- '<|start_of_role|>assistant<|end_of_role|>' + content.val }}
        {%- for tool_call in message.tool_calls or [] %}
            {%- if (loop.first and content.val) or not loop.first %}{{- '\\n' }}{%- endif %}
            {%- if tool_call.function %}{%- set tool_call = tool_call.function %}{%- endif %}
            {{- '<tool_call>\\n{"name": "' ~ tool_call.name ~ '", "arguments": ' }}
            {{- tool_call.arguments if tool_call.arguments is string else tool_call.arguments | tojson }}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|end_of_text|>\\n' }}
    {%- elif message.role == 'tool' %}
        {%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}{{- '<|start_of_role|>user<|end_of_role|>' }}{%- endif %}
        {{- '\\n<tool_response>\\n' + content.val + '\\n</tool_response>' }}
        {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}{{- '<|end_of_text|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_of_role|>assistant<|end_of_role|>' }}{%- endif %}
"""

OWN = {"mistral-shaped": MISTRAL_SHAPED, "granite-shaped": GRANITE_SHAPED}


def chat_template(name: str) -> str:
    """A template by its name: one of OWN, or a file of TRL's."""
    if name in OWN:
        return OWN[name]
    package = find_spec("trl")
    if package is None or package.origin is None:
        pytest.skip("TRL, which carries public chat templates, is not installed (uv sync --extra train)")
    return (Path(package.origin).parent / "chat_templates" / f"{name}.jinja").read_text(encoding="utf-8")


@lru_cache(maxsize=2)
def small_tokenizer(adds_bos: bool) -> Any:
    """A tokenizer with special tokens and hardly a vocabulary: enough to render with, and to see a BOS."""
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    words = {"<unk>": 0, "<s>": 1, "</s>": 2, "<|im_end|>": 3, "x": 4}
    made = Tokenizer(WordLevel(words, unk_token="<unk>"))
    if adds_bos:
        made.post_processor = TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=made,
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        additional_special_tokens=["<|im_end|>"],
    )


def tokenizer_with(template: str, *, adds_bos: bool = False) -> Any:
    """A tokenizer that renders with this template."""
    from copy import copy

    tokenizer = copy(small_tokenizer(adds_bos))
    tokenizer.chat_template = template
    return tokenizer
