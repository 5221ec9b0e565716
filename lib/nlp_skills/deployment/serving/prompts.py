"""A request as the prompt that the version's evaluation would make of it: same template, same settings, same encoding.

request ──to_messages──▶ messages ──tools_in_prompt──▶ ──chat template, enable_thinking──▶ text ──▶ token ids
"""

from __future__ import annotations

from typing import Any

from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.data.prompted_tools import with_prompted_tools
from nlp_skills.data.text_encoder import TextEncoder
from nlp_skills.data.tokens import render
from nlp_skills.data.turns import to_messages, to_tools
from nlp_skills.deployment.serving.openai_api import ChatAsked, TextAsked
from nlp_skills.errors import NotValid

DEEPEST = 64
"""Levels that tools and arguments may be nested; templates walk them recursively."""


class Prompts:
    """Renders requests for one version; `thinking` and `tools_in_prompt` are those of its config.yaml."""

    def __init__(self, tokenizer: Any, *, thinking: bool | None, tools_in_prompt: bool) -> None:
        self.tokenizer = tokenizer
        self._thinking = thinking
        self._tools_in_prompt = tools_in_prompt
        self._encoder = TextEncoder(tokenizer)

    def chat(self, asked: ChatAsked) -> list[int]:
        """Token ids of a conversation with the assistant's turn opened. Raises NotValid."""
        example = shown_example(asked, tools_in_prompt=self._tools_in_prompt)
        thinking = self._thinking if asked.thinking is None else asked.thinking
        text = render(self.tokenizer, example.context, example.tools, ask=True, thinking=thinking)
        return self._encoder.encode([text])[0]

    def text(self, asked: TextAsked) -> list[int]:
        """Token ids of a plain text as the tokenizer begins one, or those that were given. Raises NotValid."""
        prompt = asked.prompt
        if isinstance(prompt, list) and isinstance(prompt[0], int):
            rows = len(self.tokenizer)
            if wrong := [token for token in prompt if not 0 <= int(token) < rows]:
                raise NotValid(f"prompt: there is no token {wrong[0]}; the tokenizer has {rows:,}.")
            return [int(token) for token in prompt]
        text = str(prompt[0] if isinstance(prompt, list) else prompt)
        bos = self.tokenizer.bos_token
        own = bool(bos) and text.startswith(bos)  # rendered already: a second one would be one too many (P06)
        ids = self.tokenizer(text, add_special_tokens=not own)["input_ids"]
        if not ids:
            raise NotValid("prompt: the tokenizer makes no token of this text.")
        return ids


def shown_example(asked: ChatAsked, *, tools_in_prompt: bool) -> Example:
    """The request as a row whose answer is not there yet, as the model is shown it. Raises NotValid."""
    if _depth(asked.messages) > DEEPEST or _depth(asked.tools) > DEEPEST:
        raise NotValid(f"messages and tools may be nested {DEEPEST} levels deep.")
    if unnamed := next(
        (n for n, m in enumerate(asked.messages, 1) if not isinstance(m.get("role"), str)), None
    ):
        raise NotValid(f"messages: turn {unnamed} has no role (system, user, assistant or tool).")
    turns = [{key: value for key, value in m.items() if key != "weight"} for m in asked.messages]
    messages = to_messages(turns)
    answer = Message("assistant", "")
    example = Example(meta=Meta("request", "request"), messages=[*messages, answer], tools=tools_of(asked))
    return with_prompted_tools(example) if tools_in_prompt else example


def tools_of(asked: ChatAsked) -> list[dict[str, Any]] | None:
    """The tools that the model is offered; none with tool_choice: none. Raises NotValid for one without a name."""
    if asked.tool_choice == "none":
        return None
    tools = to_tools(asked.tools)
    for place, tool in enumerate(tools or [], start=1):
        function = tool.get("function")
        if not isinstance(function, dict) or not isinstance(function.get("name"), str):
            raise NotValid(f"tools: tool {place} has no function with a name.")
        if not isinstance(function.get("parameters", {}), dict):
            raise NotValid(f"tools: the parameters of {function['name']!r} are no JSON schema (an object).")
    return tools


def tool_names(asked: ChatAsked) -> list[str]:
    """What a call may name."""
    return [tool["function"]["name"] for tool in tools_of(asked) or []]


def _depth(value: Any) -> int:
    deepest, level = 0, [value]
    while level and deepest <= DEEPEST:
        deepest += 1
        inner = (v for v in level if isinstance(v, list | dict))
        level = [item for v in inner for item in (v.values() if isinstance(v, dict) else v)]
    return deepest
