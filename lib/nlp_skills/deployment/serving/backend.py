"""What answers requests: one interface for transformers, llama.cpp and vLLM."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Any, Protocol

from nlp_skills.deployment.serving.openai_api import ChatAsked, TextAsked
from nlp_skills.errors import NotValid, RunFailed


class TooLong(NotValid):
    """The prompt, or the prompt with its answer, has more tokens than the model can look back on."""


class AnswerFailed(RunFailed):
    """The model gave no answer to this request; others may get theirs."""


@dataclass(frozen=True)
class TokenTold:
    """One token of an answer with its log-probability (nats), and the most probable ones in its place."""

    text: str
    logprob: float
    top: tuple[tuple[str, float], ...] = ()


@dataclass
class Piece:
    """A part of an answer."""

    text: str = ""
    tokens: int = 0
    calls: list[dict[str, Any]] = field(default_factory=list)
    """Deltas of tool calls as OpenAI streams them, each with its `index`."""
    told: list[TokenTold] = field(default_factory=list)
    finish: str | None = None
    """stop, length or tool_calls: nothing comes after it."""
    prompt_tokens: int | None = None


class Backend(Protocol):
    """A model that is loaded, and answers several requests at once."""

    @property
    def name(self) -> str:
        """What answers, in words."""
        ...

    async def fault(self) -> str | None:
        """Why it answers no more; None while it does. It is asked at this moment, within seconds."""
        ...

    def chat(self, asked: ChatAsked) -> AsyncGenerator[Piece]:
        """The answer to a conversation, piece by piece; closing the iterator cancels it.

        Raises NotValid for what cannot be asked, before the first piece; AnswerFailed where the model fails.
        """
        ...

    def text(self, asked: TextAsked) -> AsyncGenerator[Piece]:
        """What follows a text; as `chat`."""
        ...

    async def close(self) -> None:
        """End it and give back its memory; who still waits gets AnswerFailed."""
        ...
