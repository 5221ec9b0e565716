"""Which of a model's two templates Ollama takes, and what it can do by it: server/images.go of Ollama 0.33, in Python.

A Go TEMPLATE is rendered by Go itself (go_renderer); the chat template of the weights by llama.cpp.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from go_renderer import go_render
from ollama_store import Refused, Stored

TOOLS, THINKING = "tools", "thinking"

_THINKING = re.compile(
    r"\{\{-?\s*if[^}]*\.Thinking[^}]*\}\}(?P<open>[^{]*)\{\{-?\s*\.Thinking\s*-?\}\}(?P<close>[^{]*)",
    re.DOTALL,
)
"""The case that InferTags is made for: an if, a tag, the thoughts, a tag."""

_TOOL_TAG = re.compile(r"\{\{-?\s*if[^}]*\s\.ToolCalls[^}]*\}\}(?:\s|\{\{[^}]*\}\})*(?P<tag>[^{]*)")


@dataclass(frozen=True)
class Templates:
    """Both of a model, and the one that is taken."""

    go: str | None
    chat: str | None

    @property
    def is_native(self) -> bool:
        """Whether llama.cpp renders the chat template of the weights."""
        if self.go is None:
            return True
        if self.chat is None:
            return False
        chat, go = chat_capabilities(self.chat), go_capabilities(self.go)
        if len(chat) > len(go):
            return not _go_makes_the_round_trip(self.go) or _chat_makes_the_round_trip(self.chat)
        both = chat == go and TOOLS in chat
        return both and _chat_makes_the_round_trip(self.chat) and not _go_makes_the_round_trip(self.go)

    @property
    def capabilities(self) -> set[str]:
        taken = chat_capabilities(self.chat or "") if self.is_native else go_capabilities(self.go or "")
        return {"completion", *taken}

    @property
    def shown(self) -> str:
        return (self.chat if self.is_native else self.go) or ""

    @property
    def thinking_tags(self) -> tuple[str, str] | None:
        return thinking_tags(self.go or "")


def chat_capabilities(template: str) -> set[str]:
    tools = {TOOLS} if "tools" in template or "tool_call" in template else set()
    return tools | ({THINKING} if "<think>" in template and "</think>" in template else set())


def go_capabilities(template: str) -> set[str]:
    tools = {TOOLS} if re.search(r"[^\w]\.Tools\b|\$\.Tools\b", template) else set()
    return tools | ({THINKING} if thinking_tags(template) else set())


def thinking_tags(template: str) -> tuple[str, str] | None:
    found = _THINKING.search(template)
    tags = (found["open"].strip(), found["close"].strip()) if found else ("", "")
    return tags if all(tags) else None


def _chat_makes_the_round_trip(template: str) -> bool:
    results = ("tool_response", "tool_results", "ipython", "role'] == 'tool'", 'role\'] == "tool"')
    more = ("role\"] == 'tool'", 'role"] == "tool"', "message.role == 'tool'", 'message.role == "tool"')
    calls = "tool_calls" in template or "assistant_tool_call" in template
    return calls and any(sign in template for sign in (*results, *more))


def _go_makes_the_round_trip(template: str) -> bool:
    signs = ('eq .Role "tool"', "tool_response", "TOOL_RESULTS")
    return (
        TOOLS in go_capabilities(template) and ".ToolCalls" in template and any(s in template for s in signs)
    )


def go_prompt(template: str, request: dict[str, Any]) -> str:
    """What Go makes of the request, whose model's own system prompt is in it already."""
    taken = {name: request[name] for name in ("messages", "tools", "think") if request.get(name) is not None}
    return go_render(template, taken)


def native_request(request: dict[str, Any]) -> dict[str, Any]:
    """The request in llama-server's words (llm/llama_server.go, llamaServerChatRequest): thoughts are left out."""
    body: dict[str, Any] = {"messages": [_native_message(message) for message in request["messages"]]}
    if request.get("tools"):
        body["tools"] = request["tools"]
    if request.get("think") is not None:
        body["chat_template_kwargs"] = {"enable_thinking": bool(request["think"])}
    return body


def _native_message(message: dict[str, Any]) -> dict[str, Any]:
    told = {"role": message["role"], "content": message.get("content", "")}
    if message.get("tool_name"):
        told["name"] = message["tool_name"]
    if calls := message.get("tool_calls"):
        told["tool_calls"] = [
            {
                "id": call.get("id", ""),
                "type": "function",
                "function": {
                    "name": call["function"]["name"],
                    "arguments": json.dumps(
                        call["function"]["arguments"], separators=(",", ":"), ensure_ascii=False
                    ),
                },
            }
            for call in calls
        ]
    return told


def check_asked(name: str, templates: Templates, request: dict[str, Any]) -> dict[str, Any]:
    """The request as it is worked on, with `think` on where the model has it; Refused for what the model cannot do."""
    if request.get("tools") and TOOLS not in templates.capabilities:
        raise Refused(400, f"{name} does not support tools")
    if THINKING in templates.capabilities:
        return {**request, "think": True if request.get("think") is None else request["think"]}
    if request.get("think"):
        raise Refused(400, f'"{name}" does not support thinking')
    return request


def with_system(stored: Stored, request: dict[str, Any]) -> dict[str, Any]:
    """The model's own system prompt goes before a conversation that brings none."""
    messages = request["messages"]
    if stored.system and messages[0]["role"] != "system":
        messages = [{"role": "system", "content": stored.system}, *messages]
    return {**request, "messages": messages}


def called_tools(template: str, text: str, tools: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Tool calls in an answer (tools/tools.go): JSON objects behind the tag of the template that name a tool."""
    found = _TOOL_TAG.search(template)
    tag = (found["tag"].strip() if found else "") or "{"
    start = text.find(tag)
    if start < 0:
        return []
    rest = text[start:] if tag == "{" else text[start + len(tag) :]
    names = {tool["function"]["name"] for tool in tools}
    calls, decoder = [], json.JSONDecoder()
    while (at := rest.find("{")) >= 0:
        try:
            value, end = decoder.raw_decode(rest, at)
        except ValueError:
            break
        rest = rest[end:]
        if isinstance(value, dict) and value.get("name") in names:
            arguments = value.get("arguments", value.get("parameters", {}))
            calls.append({"function": {"name": value["name"], "arguments": arguments}})
    return calls
