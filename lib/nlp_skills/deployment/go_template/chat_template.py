"""A tokenizer's chat template: what it renders, and its translation."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from nlp_skills.deployment.go_template.go_text import go_text
from nlp_skills.deployment.go_template.go_words import path
from nlp_skills.deployment.go_template.probes import Probe, calling, plain_probes, user
from nlp_skills.deployment.go_template.translation import Translation
from nlp_skills.deployment.go_template.values import UNDEFINED, Choice, Is, Items, Node, Set, When
from nlp_skills.deployment.go_template.writers import ORDER, Order


class Rendered(NamedTuple):
    """The prompt of the trainer, without the BOS that the server adds by itself."""

    text: str


class ChatTemplate:
    """The template of a tokenizer as the training used it; `assumed` is what the last translation relied on."""

    def __init__(
        self, tokenizer: Any, thinking: bool | None, tools: Sequence[Mapping[str, Any]] = ()
    ) -> None:
        self.tokenizer = tokenizer
        self.assumed: list[str] = []
        self.order = key_order(tools)
        self._given = {} if thinking is None else {"enable_thinking": thinking}
        self.source = tokenizer.get_chat_template()
        # llama.cpp writes the BOS itself where the tokenizer does; in the prompt it would stand twice.
        self._bos = tokenizer.bos_token or ""
        self._added = bool(self._bos) and tokenizer("x")["input_ids"][:1] == [tokenizer.bos_token_id]
        self.follows = thinking is None and self._thinks_by_itself()

    def _thinks_by_itself(self) -> bool:
        """Whether the default is to think, so that Ollama's own default (`think` is true) is the trainer's."""
        probes = [probe for probe in plain_probes() if probe.name in ("plain 1", "system 1", "multi-turn 1")]
        return all(self.rendered(probe) == self.rendered(probe, enable_thinking=True) for probe in probes)

    def rendered(self, probe: Probe, *, ask: bool = True, **given: Any) -> Rendered | None:
        """What the trainer makes of a conversation; None where the template refuses it."""
        from jinja2 import TemplateError

        try:
            text = self.tokenizer.apply_chat_template(
                probe.messages,
                tools=probe.tools,
                tokenize=False,
                add_generation_prompt=ask,
                **{**self._given, **given},
            )
        except (TemplateError, ValueError, TypeError):
            return None
        return Rendered(text.removeprefix(self._bos) if self._added else text)

    def calls_are_read_back(self) -> bool:
        """Whether a call is written as Ollama reads one: JSON with a name, and arguments or parameters."""
        call = Probe("call", [user("a"), calling(("get_weather", {"city": "x"}))])
        told = self.rendered(call, ask=False)
        pattern = r'"name": "get_weather",.*?"(arguments|parameters)": \{"city": "x"\}'
        return told is None or re.search(pattern, told.text, re.DOTALL) is not None

    def ordered(self, probe: Probe) -> Probe:
        """The conversation with its tools' keys in the order of the training."""
        return (
            probe._replace(tools=[_reordered(tool, self.order) for tool in probe.tools])
            if probe.tools
            else probe
        )

    def translated(self, *, tools: bool, keep_bos: bool) -> str:
        """The Go template. Raises NotTranslatable."""
        default = self.source
        named = self.tokenizer.get_chat_template(tools=[{}]) if tools else default
        nodes = self._nodes(default, tools, keep_bos)
        if named != default:
            nodes = (When(Is(path("", "Tools")), self._nodes(named, tools, keep_bos), nodes),)
        return go_text(nodes, self.order)

    def _nodes(self, source: str, tools: bool, keep_bos: bool) -> tuple[Node, ...]:
        from transformers.utils.chat_template_utils import _compile_jinja_template

        # The environment that the trainer parses with: its blanks, its extensions.
        tree = _compile_jinja_template(source).environment.parse(source)
        made = Translation(self._names(tools, keep_bos), tools=tools)
        nodes = made.translate(tree)
        self.assumed = list(made.assumed)
        return self._without_bos(nodes) if self._added else nodes

    def _names(self, tools: bool, keep_bos: bool) -> dict[str, Any]:
        called = path("", "Tools")
        names: dict[str, Any] = {
            **self.tokenizer.special_tokens_map,
            "messages": Items("message", path("", "Messages")),
            "tools": Choice(Is(called), Items("tool", called), None) if tools else None,
            "documents": None,
            "add_generation_prompt": True,
            **self._given,
        }
        if self.follows:
            names["enable_thinking"] = Choice(Is(path("", "IsThinkSet")), Is(path("", "Think")), UNDEFINED)
        if self._added and not keep_bos:
            names["bos_token"] = ""
        return names

    def _without_bos(self, nodes: tuple[Node, ...]) -> tuple[Node, ...]:
        for place, node in enumerate(nodes):
            if isinstance(node, str):
                return (*nodes[:place], node.removeprefix(self._bos), *nodes[place + 1 :])
            if not isinstance(node, Set):
                break
        return nodes


def key_order(tools: Sequence[Mapping[str, Any]]) -> Order:
    """The order of a schema's keys in the tools of the training; Ollama does not keep it."""
    found: dict[str, dict[str, None]] = {kind: {} for kind in ORDER}
    for tool in tools:
        function = tool.get("function", tool)
        parameters = function.get("parameters") or {}
        seen = [("function", function), ("parameters", parameters)]
        properties = (parameters.get("properties") or {}).values()
        seen += [("property", one) for one in properties if isinstance(one, Mapping)]
        for kind, value in seen:
            found[kind].update(dict.fromkeys(key for key in value if key in ORDER[kind]))
    return {kind: (*keys, *(key for key in ORDER[kind] if key not in keys)) for kind, keys in found.items()}


def _reordered(tool: Mapping[str, Any], order: Order) -> dict[str, Any]:
    def sort(value: Mapping[str, Any], kind: str) -> dict[str, Any]:
        return {key: value[key] for key in (*order[kind], *value) if key in value}

    function = sort(tool["function"], "function")
    parameters = sort(function["parameters"], "parameters")
    properties = {name: sort(one, "property") for name, one in parameters["properties"].items()}
    return {**tool, "function": {**function, "parameters": {**parameters, "properties": properties}}}
