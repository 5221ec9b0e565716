"""Identities of inputs and answers: equal for equal turns, however and wherever they are written.

input = xxh3_128(last question, seed = xxh3_64(all before it))      answer = xxh3_64(text)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import repeat
from typing import Any

import msgspec
import xxhash

from nlp_skills.data.example import Example, Message, text_about

encode = msgspec.json.Encoder().encode
digest = xxhash.xxh3_128_digest
digest_64 = xxhash.xxh3_64_intdigest


def input_seed(before: Sequence[Any], asker: str) -> int:
    """What stands before the last turn of an input, and whose turn that is."""
    return digest_64(encode((before, asker)))


def input_seeds(befores: Iterable[Sequence[Any]], asker: str) -> Iterable[int]:
    """The seed of each, in order, as `input_seed` gives it."""
    return map(digest_64, map(encode, zip(befores, repeat(asker), strict=False)))


def input_identity(example: Example) -> bytes:
    """Of what the model is given: the turns before the answer, and the tools."""
    context = example.context
    if example.tools is None and context and _is_text(context[-1]):
        last = context[-1]
        return digest((last.content or "").encode(), input_seed(context[:-1], last.role))
    return digest(encode((context, example.tools)))


def text_identity(messages: Sequence[Any]) -> bytes:
    """Of a conversation in which nothing is asked: all of it."""
    return digest(encode(messages))


def row_identity(example: Example) -> bytes:
    """Of a row in which nothing is asked: all that the model sees of it."""
    if example.messages is not None and example.tools is None:
        return text_identity(example.messages)
    return digest(encode((example.messages, example.tools, example.prompt, example.chosen, example.rejected)))


def about_identity(entity: str | None, said: str | None) -> bytes | None:
    """Of the text that a row about an entity is about, the same for all of its entities; None for another row."""
    text = text_about(entity, said)
    return None if text is None else digest(text.encode())


def answer_identity(answer: Message) -> int:
    """Of what the model has to say."""
    if _is_text(answer):
        return digest_64((answer.content or "").encode())
    return digest_64(encode(answer), 1)


def _is_text(message: Message) -> bool:
    """Whether a turn is its text and nothing else."""
    _, content, *others = msgspec.structs.astuple(message)
    return content is not None and others.count(None) == len(others)
