"""One request from its body to its answer: whole, or as server-sent events.

body ──▶ record ──▶ a place ──▶ backend ──first piece──▶ 200 and the answer
  413 408 400       429           400                     an error after that ends the stream with its reason
"""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator
from typing import Any

import msgspec

from nlp_skills.deployment.serving.backend import Piece, TokenTold
from nlp_skills.deployment.serving.measures import Measures
from nlp_skills.deployment.serving.openai_api import (
    ChatAsked,
    TextAsked,
    Usage,
    chat_chunk,
    chat_form,
    error_form,
    text_form,
)
from nlp_skills.deployment.serving.places import Place
from nlp_skills.errors import NlpSkillsError


class Answer:
    """An answer that has begun: its first piece is there, so that what cannot be asked is known before any status."""

    def __init__(
        self, asked: ChatAsked | TextAsked, pieces: AsyncGenerator[Piece], place: Place, measures: Measures
    ) -> None:
        self._asked = asked
        self._pieces = pieces
        self._place = place
        self._measures = measures
        self._is_chat = isinstance(asked, ChatAsked)
        kind = "chatcmpl" if self._is_chat else "cmpl"
        self._head = {
            "id": f"{kind}-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": asked.model,
        }
        self._prompt_tokens = 0
        self._tokens = 0
        self._ended = False
        self._offset = 0

    async def begin(self) -> None:
        """Wait for the first piece. Raises NotValid, AnswerFailed."""
        try:
            self._first = await anext(self._pieces)
        except NlpSkillsError:
            self._ended = True  # it is told with its status, and nobody has gone away
            raise
        self._measures.first_token.observe(time.monotonic() - self._place.since)

    async def whole(self) -> dict[str, Any]:
        """The completion in one piece. Raises AnswerFailed."""
        text, calls, told, finish = "", [], [], "length"
        async for piece in self._all():
            text += piece.text
            calls += piece.calls
            told += piece.told
            finish = piece.finish or finish
        if not self._is_chat:
            return text_form(
                self._head, text, finish=finish, logprobs=self._text_logprobs(told), usage=self._usage
            )
        message: dict[str, Any] = {"role": "assistant", "content": text}
        if calls:
            message |= {"content": text or None, "tool_calls": _joined(calls)}
        return chat_form(self._head, message, finish, _logprobs(told), self._usage)

    async def events(self) -> AsyncGenerator[bytes]:
        """Server-sent events, `[DONE]` the last; a failure is told in the stream and ends it."""
        try:
            if self._is_chat:
                yield self._event(chat_chunk(self._head, {"role": "assistant", "content": ""}))
            async for piece in self._all():
                if chunk := self._chunk(piece):
                    yield self._event(chunk)
            if self._asked.tells_usage:
                kind = "chat.completion.chunk" if self._is_chat else "text_completion"
                yield _event({**self._head, "object": kind, "choices": [], "usage": self._usage.model_dump()})
        except NlpSkillsError as error:
            yield _event(error_form(str(error), kind="server_error"))
        yield b"data: [DONE]\n\n"

    async def close(self) -> None:
        """Give back the place; an answer that is not at its end is cancelled."""
        self._place.leave()
        if not self._ended:
            self._measures.cancelled.inc()
        await self._pieces.aclose()

    @property
    def _usage(self) -> Usage:
        return Usage(
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._tokens,
            total_tokens=self._prompt_tokens + self._tokens,
        )

    async def _all(self) -> AsyncGenerator[Piece]:
        """All pieces, counted."""
        try:
            self._count(self._first)
            yield self._first
            async for piece in self._pieces:
                self._count(piece)
                yield piece
        except NlpSkillsError:
            self._ended = True
            self._measures.failed.inc()
            raise
        self._ended = True
        self._measures.answer.observe(time.monotonic() - self._place.since)

    def _count(self, piece: Piece) -> None:
        self._prompt_tokens += piece.prompt_tokens or 0
        self._tokens += piece.tokens
        self._measures.prompt_tokens.inc(piece.prompt_tokens or 0)
        self._measures.tokens.inc(piece.tokens)

    def _chunk(self, piece: Piece) -> dict[str, Any] | None:
        """The piece as a part of the stream; None where it has nothing to show."""
        if not (piece.text or piece.calls or piece.finish or piece.told):
            return None
        if not self._is_chat:
            return text_form(
                self._head, piece.text, finish=piece.finish, logprobs=self._text_logprobs(piece.told)
            )
        delta: dict[str, Any] = {"content": piece.text} if piece.text else {}
        if piece.calls:
            delta["tool_calls"] = piece.calls
        return chat_chunk(self._head, delta, finish=piece.finish, logprobs=_logprobs(piece.told))

    def _event(self, chunk: dict[str, Any]) -> bytes:
        """With `usage: null` where the last part will tell it, as OpenAI does."""
        return _event({**chunk, "usage": None} if self._asked.tells_usage else chunk)

    def _text_logprobs(self, told: list[TokenTold]) -> dict[str, Any] | None:
        if not told:
            return None
        offsets = []
        for one in told:
            offsets.append(self._offset)
            self._offset += len(one.text)
        return {
            "tokens": [one.text for one in told],
            "token_logprobs": [one.logprob for one in told],
            "top_logprobs": [dict(one.top) for one in told],
            "text_offset": offsets,
        }


def _event(value: dict[str, Any]) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


def _logprobs(told: list[TokenTold]) -> dict[str, Any] | None:
    if not told:
        return None
    forms = [
        {**_token(one.text, one.logprob), "top_logprobs": [_token(*other) for other in one.top]}
        for one in told
    ]
    return {"content": forms, "refusal": None}


def _token(text: str, logprob: float) -> dict[str, Any]:
    """Of half a character there are no bytes to tell: the tokenizer shows it as U+FFFD."""
    whole = "\ufffd" not in text
    return {"token": text, "logprob": logprob, "bytes": list(text.encode()) if whole else None}


def _joined(deltas: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Calls whose parts came one after the other, as whole ones."""
    calls: dict[int, dict[str, Any]] = {}
    for delta in deltas:
        call = calls.setdefault(
            delta["index"], {"id": "", "type": "function", "function": {"name": "", "arguments": ""}}
        )
        call["id"] = call["id"] or delta.get("id") or ""
        function = delta.get("function") or {}
        for part in ("name", "arguments"):
            call["function"][part] += function.get(part) or ""
    return [calls[place] for place in sorted(calls)]
