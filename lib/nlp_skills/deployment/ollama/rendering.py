"""The text that Ollama makes of a conversation, as Ollama itself tells it.

Its server answers a request with `_debug_render_only` with the rendered prompt in place of an answer (server/routes.go,
ChatHandler): the Go TEMPLATE's, or the chat template's of the weights where Ollama uses that. The official client knows
no such field, so it is asked over HTTP. A server that is too old for it answers the question, which says nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx2
import msgspec

from nlp_skills.data.secret import hide
from nlp_skills.data.sources.generation.ollama_server import ollama_headers, ollama_url
from nlp_skills.deployment.ollama.connection import SECONDS, no_ollama, not_reached, refusal
from nlp_skills.deployment.ollama.names import full_name
from nlp_skills.errors import NotReady

SMALLEST_WINDOW = 4096


def render_chat(
    model: str,
    messages: Sequence[dict[str, Any]],
    *,
    tools: Sequence[dict[str, Any]] | None = None,
    think: bool | None = None,
) -> str:
    """The prompt that Ollama makes of a conversation (its own form: arguments are an object, results have a tool_name).

    The tokenizer's BOS is not in it where llama.cpp adds it. Raises NotFound, NotValid for what Ollama refuses (tools or
    thinking that the model is not made for), NotReady without an Ollama or with one that cannot tell.
    """
    name, url = full_name(model), ollama_url()
    asked: dict[str, Any] = {
        "model": name,
        "messages": list(messages),
        "stream": False,
        "_debug_render_only": True,
    }
    if tools:
        asked["tools"] = list(tools)
    if think is not None:
        asked["think"] = think
    room = len(msgspec.json.encode(asked))
    # Turns that do not fit the window are left out without a word.
    asked["options"] = {"num_ctx": max(SMALLEST_WINDOW, 1 << (room - 1).bit_length()), "num_predict": 1}
    try:
        reply = httpx2.post(
            f"{url}/api/chat",
            json=asked,
            headers=ollama_headers(),
            timeout=SECONDS,
        )
        said = reply.json()
    except httpx2.TransportError:
        raise not_reached(url) from None
    except ValueError as error:
        raise no_ollama(url, str(error)) from None
    if reply.is_error:
        raise refusal(f"Rendering with {name}", str(said.get("error", said)), reply.status_code, name)
    shown = said.get("_debug_info", {}).get("rendered_template")
    if shown is None:
        raise NotReady(
            f"The Ollama at {hide(url)} is too old to tell what it makes of a conversation. Update it:"
            " https://ollama.com/download"
        )
    return shown
