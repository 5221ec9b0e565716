"""Answers of a back-end that is given token ids: the prompt is rendered here, and tool calls are read here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from typing import Protocol

from nlp_skills.deployment.serving.backend import Piece
from nlp_skills.deployment.serving.call_stream import CallStream
from nlp_skills.deployment.serving.openai_api import Asked, ChatAsked, TextAsked
from nlp_skills.deployment.serving.prompts import Prompts, tool_names


class Say(Protocol):
    """What follows these tokens: at most `limit` more (None: as many as is usual), with so many `logprobs` told."""

    def __call__(
        self, asked: Asked, prompt: Sequence[int], limit: int | None, logprobs: int | None
    ) -> AsyncGenerator[Piece]: ...


async def answer_chat(prompts: Prompts, asked: ChatAsked, say: Say) -> AsyncGenerator[Piece]:
    """See Backend.chat."""
    names = tool_names(asked)
    calls = CallStream(names) if names else None
    # A long conversation takes the tokenizer some milliseconds, in which no stream should stand still.
    prompt = await asyncio.to_thread(prompts.chat, asked)
    async with aclosing(say(asked, prompt, asked.limit, asked.told)) as pieces:
        async for piece in pieces:
            yield piece if calls is None else calls.read(piece)


async def answer_text(prompts: Prompts, asked: TextAsked, say: Say) -> AsyncGenerator[Piece]:
    """See Backend.text."""
    prompt = await asyncio.to_thread(prompts.text, asked)
    async with aclosing(say(asked, prompt, asked.limit, asked.logprobs)) as pieces:
        async for piece in pieces:
            yield piece
