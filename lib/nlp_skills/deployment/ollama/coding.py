"""Code from an instruction: a model in Ollama is asked for it, and the fenced block is taken out of its answer."""

from __future__ import annotations

import re

from nlp_skills.deployment.ollama.connection import connected
from nlp_skills.deployment.ollama.generating import converse
from nlp_skills.deployment.ollama.models import listed
from nlp_skills.deployment.ollama.names import full_name
from nlp_skills.deployment.ollama.recommended import Role, known_models
from nlp_skills.errors import NotReady
from nlp_skills.records import Progress, Record, silent

INSTRUCTION = "Answer with the complete code in one fenced code block, and with nothing else."

_FENCE = re.compile(
    r"^[ ]{0,3}(?P<fence>`{3,}|~{3,})[ \t]*(?P<language>[^\s`]*)[^\n]*\n(?P<code>.*?)(?:(?P<end>^[ ]{0,3}(?P=fence)[`~]*[ \t]*$)|\Z)",
    re.MULTILINE | re.DOTALL,
)
"""A block of CommonMark 0.31, section 4.5; one that was cut off ends with the text."""


class Block(Record):
    """A fenced block of an answer."""

    language: str | None
    code: str
    closed: bool = True
    """Otherwise the answer ended within it."""


class Code(Record):
    """What a model wrote."""

    model: str
    code: str
    language: str | None
    """As the block says."""
    fenced: bool
    """Without a fence the whole answer is taken for the code."""
    other_blocks: list[Block]
    """What else it wrote: an example of use, another way."""
    tokens: int | None
    seconds: float
    cut: bool
    """Whether the limit of tokens ended it: then the code is not whole."""


def ollama_code(
    instruction: str,
    *,
    language: str | None = None,
    model: str | None = None,
    max_new_tokens: int = 2048,
    seed: int = 0,
    progress: Progress = silent,
) -> Code:
    """Let a model in Ollama write code, greedily; the first coding model that is there where none is named.

    Nothing is run. Raises NotFound for a model that is not there, NotReady without an Ollama or a coding model, RunFailed.
    """
    name = full_name(model) if model else coding_model()
    told = f"{INSTRUCTION} The language is {language}." if language else INSTRUCTION
    turns = [{"role": "system", "content": told}, {"role": "user", "content": instruction}]
    answer = converse(
        name,
        turns,
        max_new_tokens=max_new_tokens,
        options={"temperature": 0.0, "seed": seed},
        progress=progress,
    )
    blocks = fenced_blocks(answer.text)
    chosen = choose_block(blocks, language)
    return Code(
        model=name,
        code=chosen.code if chosen else f"{answer.text.strip()}\n",
        language=chosen.language if chosen else None,
        fenced=chosen is not None,
        other_blocks=[block for block in blocks if block is not chosen],
        tokens=answer.tokens,
        seconds=answer.seconds,
        cut=answer.cut if chosen is None else not chosen.closed,
    )


def coding_model() -> str:
    """The best of the recommended models that Ollama has: coordinators, workers, then the fallback. Raises NotReady."""
    with connected("Listing models") as client:
        there = {entry.name for entry in listed(client)}
    known = [m.name for role in Role for m in known_models() if m.role is role]
    for name in known:
        if name in there:
            return name
    raise NotReady(
        "Ollama has none of the recommended coding models. See which fits this machine: nlp-skills recommend-models, and"
        " fetch it with nlp-skills ollama-pull NAME; or name another one with --model."
    )


def fenced_blocks(text: str) -> list[Block]:
    """The fenced blocks of a Markdown text, in their order."""
    return [
        Block(language=found["language"].lower() or None, code=found["code"], closed=found["end"] is not None)
        for found in _FENCE.finditer(text)
    ]


def choose_block(blocks: list[Block], language: str | None) -> Block | None:
    """The first in the wanted language, else the first: how the code is used is shown behind it."""
    wanted = [block for block in blocks if language and block.language == language.lower()]
    return next(iter(wanted or blocks), None)
