"""A prompt answered by a model in Ollama."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from nlp_skills.deployment.ollama.connection import connected
from nlp_skills.deployment.ollama.names import full_name
from nlp_skills.records import Progress, Record, silent

USUAL_WINDOW = 4096
"""Tokens of prompt and answer that Ollama has room for without being asked, on the smallest machines."""


class Generation(Record):
    """What a model answered."""

    model: str
    text: str
    thinking: str | None = None
    prompt_tokens: int | None = None
    tokens: int | None = None
    seconds: float
    tokens_per_second: float | None = None
    """While it wrote, without the time for loading it and reading the prompt."""
    cut: bool = False
    """Whether it was ended by the limit of tokens."""


def ollama_generate(
    model: str,
    prompt: str,
    *,
    system: str | None = None,
    max_new_tokens: int = 1024,
    temperature: float | None = None,
    seed: int | None = None,
    progress: Progress = silent,
) -> Generation:
    """Ask a model in Ollama; without `temperature` its own settings decide.

    Raises NotFound for a model that is not there, NotReady without an Ollama, RunFailed.
    """
    turns = [{"role": "system", "content": system}] if system is not None else []
    turns.append({"role": "user", "content": prompt})
    given = {"temperature": temperature, "seed": seed}
    options = {name: value for name, value in given.items() if value is not None}
    return converse(model, turns, max_new_tokens=max_new_tokens, options=options, progress=progress)


def converse(
    model: str,
    turns: Sequence[dict[str, str]],
    *,
    max_new_tokens: int,
    options: dict[str, Any],
    progress: Progress = silent,
) -> Generation:
    """The model's next turn; progress counts pieces of it, of which each is about a token. Raises as ollama_generate."""
    name = full_name(model)
    options = {**options, **window(turns, max_new_tokens), "num_predict": max_new_tokens}
    said: list[str] = []
    thought: list[str] = []
    last = None
    started = time.perf_counter()
    with connected(f"Asking {name}", name) as client:
        for part in client.chat(name, turns, stream=True, options=options):
            said.append(part.message.content or "")
            thought.append(part.message.thinking or "")
            last = part
            progress(f"{name} answers", len(said), max_new_tokens)
    spent = (last.eval_duration or 0) / 1e9 if last else 0.0
    tokens = last.eval_count if last else None
    return Generation(
        model=name,
        text="".join(said),
        thinking="".join(thought) or None,
        prompt_tokens=last.prompt_eval_count if last else None,
        tokens=tokens,
        seconds=round(time.perf_counter() - started, 3),
        tokens_per_second=round(tokens / spent, 1) if tokens and spent else None,
        cut=last is not None and last.done_reason == "length",
    )


def window(turns: Sequence[dict[str, str]], max_new_tokens: int) -> dict[str, int]:
    """A larger window for what may not fit the usual one: Ollama leaves out the first turns, without a word.

    Where it fits, nothing is asked for: another window makes Ollama load the model anew.
    """
    room = sum(len(turn["content"].encode()) for turn in turns) + max_new_tokens
    return {} if room <= USUAL_WINDOW else {"num_ctx": 1 << (room - 1).bit_length()}
