"""transformers in this process: requests are rendered as the evaluation renders rows, and answered by the engine.

The base model with its adapter as it was trained; nothing is merged.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncGenerator, Sequence
from pathlib import Path
from typing import Any

from nlp_skills.base_model import compute_device
from nlp_skills.data.tokens import end_tokens
from nlp_skills.deployment.serving.backend import AnswerFailed, Piece, TokenTold, TooLong
from nlp_skills.deployment.serving.choosing import Chosen, Sampling
from nlp_skills.deployment.serving.engine import SPARSE, Engine, Job, Said
from nlp_skills.deployment.serving.openai_api import Asked, ChatAsked, TextAsked
from nlp_skills.deployment.serving.prompted import answer_chat, answer_text
from nlp_skills.deployment.serving.prompts import Prompts
from nlp_skills.deployment.serving.text_stream import StopTexts, TextStream
from nlp_skills.evaluation.predictors import open_predictor
from nlp_skills.evaluation.predictors.local import LocalPredictor
from nlp_skills.evaluation.predictors.prompt_cache import window
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.planning.hardware import memory_gb

GIB = 1 << 30

PIECES = {"cpu": 256, "mps": 1024, "cuda": 8192}
"""Tokens of prompts that are read between two steps: some tenths of a second of a small model on each."""

ANSWER = 1024
"""Tokens of an answer whose length nobody limits; the evaluation gives no more."""

CACHE_SHARE = 0.5
"""Of the memory that is free when the model is loaded."""


class TransformersBackend:
    """A version, or what was made of it, ready to answer many at once."""

    def __init__(self, task: Path, reference: str, config: TrainConfig, *, streams: int) -> None:
        """`reference` as open_predictor takes it. Raises what loading it raises."""
        predictor = open_predictor(task, reference, config=config)
        assert isinstance(predictor, LocalPredictor)
        model: Any = predictor.model
        self.name = f"{predictor.name} (transformers, {model.device.type}, {_dtype(model)})"
        self._tokenizer = predictor.tokenizer
        self._prompts = Prompts(
            predictor.tokenizer, thinking=config.enable_thinking, tools_in_prompt=config.tools_in_prompt
        )
        room = cache_tokens(model)
        self._window = min(longest_text(model), room // SPARSE)
        self._engine = Engine(
            model,
            predictor.tokenizer.pad_token_id,
            frozenset(end_tokens(predictor.tokenizer)),
            rows=streams,
            piece=PIECES[compute_device()],
            room=room,
        )

    async def fault(self) -> str | None:
        """Why the engine's thread has ended."""
        return self._engine.fault

    def chat(self, asked: ChatAsked) -> AsyncGenerator[Piece]:
        """See Backend.chat."""
        return answer_chat(self._prompts, asked, self._say)

    def text(self, asked: TextAsked) -> AsyncGenerator[Piece]:
        """See Backend.text."""
        return answer_text(self._prompts, asked, self._say)

    async def close(self) -> None:
        """Stops the engine after the step that is under way."""
        await asyncio.to_thread(self._engine.close)

    async def _say(
        self, asked: Asked, prompt: Sequence[int], limit: int | None, logprobs: int | None
    ) -> AsyncGenerator[Piece]:
        """The answer to a prompt; its first piece says how long the prompt is."""
        loop, told = asyncio.get_running_loop(), asyncio.Queue[Said]()
        how = Sampling(asked.temperature, asked.top_p, asked.seed, logprobs)
        job = Job(
            prompt,
            self._room(len(prompt), limit),
            how,
            lambda said: _pass_on(loop, told, said),
        )
        text, stops = TextStream(self._tokenizer), StopTexts(asked.stops)
        self._engine.submit(job)
        prompt_tokens: int | None = len(prompt)
        try:
            while True:
                said = await told.get()
                if said.finish in ("failed", "cancelled"):
                    raise AnswerFailed(f"The request was not answered: {said.error}.")
                piece = self._piece(said, text, stops)
                piece.prompt_tokens, prompt_tokens = prompt_tokens, None
                yield piece
                if piece.finish:
                    return
        finally:
            job.cancelled = True

    def _piece(self, said: Said, text: TextStream, stops: StopTexts) -> Piece:
        assert said.chosen is not None
        new = "" if said.finish == "stop" else text.add(said.chosen.id)
        if said.finish:
            new += text.end()
        shown = stops.add(new)
        finish = "stop" if stops.met else said.finish
        if finish and not stops.met:
            shown += stops.end()
        told = [self._told(said.chosen)] if said.chosen.logprob is not None and said.finish != "stop" else []
        return Piece(shown, tokens=1, finish=finish, told=told)

    def _told(self, chosen: Chosen) -> TokenTold:
        top = tuple((self._tokenizer.decode([token]), value) for token, value in chosen.top)
        return TokenTold(self._tokenizer.decode([chosen.id]), chosen.logprob or 0.0, top)

    def _room(self, prompt: int, limit: int | None) -> int:
        """How many tokens the answer may have. Raises TooLong."""
        free = self._window - prompt
        if free < 1:
            raise TooLong(
                f"The prompt has {prompt:,} tokens, and there is room for {self._window:,} with the answer. Shorten it."
            )
        if limit is not None and limit > free:
            raise TooLong(
                f"The prompt has {prompt:,} tokens, and max_tokens asks for {limit:,} more; there is room for"
                f" {self._window:,}. Shorten the prompt, or ask for at most {free:,}."
            )
        return limit or min(free, ANSWER)


def _pass_on(loop: asyncio.AbstractEventLoop, told: asyncio.Queue[Said], said: Said) -> None:
    """From the engine's thread to who waits; nobody does once the loop has ended."""
    if not loop.is_closed():
        loop.call_soon_threadsafe(told.put_nowait, said)


def longest_text(model: Any) -> int:
    """Tokens that the model was built to look back on; of a model that does not say, any number."""
    config = model.config.get_text_config(decoder=True)
    known = getattr(config, "max_position_embeddings", None)
    return known if isinstance(known, int) else 1 << 20


def cache_tokens(model: Any) -> int:
    """How many tokens fit into the caches, by the memory that is free now: keys and values of every layer.

    A model that sums up what it has read (Mamba) keeps less; the estimate is that of attention.
    """
    import torch
    from transformers import DynamicCache

    config = model.config.get_text_config(decoder=True)
    heads = getattr(config, "num_key_value_heads", None) or config.num_attention_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    layers = max(1, len(DynamicCache(config=model.config).layers) or config.num_hidden_layers)
    each = 2 * layers * heads * size * torch.finfo(model.dtype).bits // 8
    return max(4 * (window(model) or 0), math.floor(free_bytes(model.device) * CACHE_SHARE / each))


def free_bytes(device: Any) -> float:
    """Memory that nobody uses, of the GPU where the model is there."""
    import torch

    return torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else memory_gb()[1] * GIB


def _dtype(model: Any) -> str:
    return str(model.dtype).removeprefix("torch.")
