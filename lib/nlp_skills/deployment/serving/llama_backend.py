"""A GGUF file in llama.cpp, in this process: it is asked as the evaluation asks it, with the file's own chat template."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path
from secrets import token_urlsafe
from typing import Any

from nlp_skills.deployment.serving.backend import Piece, TokenTold
from nlp_skills.deployment.serving.openai_api import Asked, ChatAsked, TextAsked
from nlp_skills.deployment.serving.prompts import shown_example
from nlp_skills.deployment.serving.upstream import Upstream
from nlp_skills.evaluation.predictors.chat import chat_messages
from nlp_skills.evaluation.predictors.gguf import serve_gguf
from nlp_skills.training.config import TrainConfig

AT_ONCE = 16
"""Answers that llama.cpp works on together; more of them wait in its queue."""

CONTEXT = 1024
"""Tokens for each of them, in a pool that all share: one that needs more takes what the others do not."""

ANSWER = 1024
"""Tokens of an answer whose length nobody limits."""


class LlamaBackend:
    """llama.cpp's server on loopback, behind ours."""

    def __init__(self, path: Path, config: TrainConfig, *, streams: int) -> None:
        """Loads the file. Raises NotFound, NotValid, MissingExtra."""
        self.name = f"{path.name} (llama.cpp)"
        self._config = config
        key = token_urlsafe()
        self._server: Any = serve_gguf(path, key=key, slots=min(streams, AT_ONCE), context=CONTEXT)
        self._upstream = Upstream(self._server.listening_address, "llama.cpp", key=key)

    async def fault(self) -> str | None:
        """What llama.cpp says of itself."""
        return await self._upstream.fault()

    async def chat(self, asked: ChatAsked) -> AsyncGenerator[Piece]:
        """See Backend.chat."""
        shown = shown_example(asked, tools_in_prompt=self._config.tools_in_prompt)
        thinking = self._config.enable_thinking if asked.thinking is None else asked.thinking
        body = {
            "messages": chat_messages(shown.context),
            "reasoning_format": "none",
            **_settings(asked, asked.limit),
        }
        if shown.tools:
            body |= {"tools": shown.tools, "parallel_tool_calls": True}
        if thinking is not None:
            body["chat_template_kwargs"] = {"enable_thinking": thinking}
        if asked.told is not None:
            body |= {"logprobs": True, "top_logprobs": asked.told}
        async with aclosing(self._pieces("/v1/chat/completions", body)) as pieces:
            async for piece in pieces:
                yield piece

    async def text(self, asked: TextAsked) -> AsyncGenerator[Piece]:
        """See Backend.text."""
        body = {"prompt": asked.prompt, **_settings(asked, asked.limit)}
        if asked.logprobs is not None:
            body["logprobs"] = asked.logprobs
        async with aclosing(self._pieces("/v1/completions", body)) as pieces:
            async for piece in pieces:
                yield piece

    async def close(self) -> None:
        """Ends llama.cpp's server and gives back its memory."""
        try:
            await self._upstream.close()
        finally:
            servers, self._server = [self._server], None
            await asyncio.to_thread(servers.clear)  # the last reference: this waits for its thread

    async def _pieces(self, path: str, body: dict[str, Any]) -> AsyncGenerator[Piece]:
        """The end comes with the number of tokens, which llama.cpp tells last."""
        last = Piece(finish="stop")
        async with aclosing(self._upstream.events(path, body)) as events:
            async for event in events:
                if usage := event.get("usage"):
                    last.prompt_tokens, last.tokens = usage["prompt_tokens"], usage["completion_tokens"]
                for choice in event.get("choices", ()):
                    last.finish = choice.get("finish_reason") or last.finish
                    piece = _piece(choice)
                    if piece.text or piece.calls or piece.told:
                        yield piece
        yield last


def _settings(asked: Asked, limit: int | None) -> dict[str, Any]:
    """Greedy, or drawn from the whole distribution: llama.cpp's own top_k and min_p stay out, as in the evaluation."""
    drawn = {"top_k": 0, "top_p": asked.top_p, "min_p": 0.0} if asked.temperature else {}
    seed = {} if asked.seed is None else {"seed": asked.seed % 2**32}
    return {
        **drawn,
        **seed,
        "temperature": asked.temperature,
        "max_tokens": limit or ANSWER,
        "stop": asked.stops,
        "stream_options": {"include_usage": True},
    }


def _piece(choice: dict[str, Any]) -> Piece:
    delta = choice.get("delta") or {"content": choice.get("text")}
    told = (choice.get("logprobs") or {}).get("content") or ()
    return Piece(
        delta.get("content") or "",
        calls=delta.get("tool_calls") or [],
        told=[_told(one) for one in told],
    )


def _told(one: dict[str, Any]) -> TokenTold:
    top = tuple((other["token"], other["logprob"]) for other in one.get("top_logprobs") or ())
    return TokenTold(one["token"], one["logprob"], top)
