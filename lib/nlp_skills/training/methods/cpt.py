"""Continued pre-training: plain text, without a chat template, cut into pieces of max_length with nothing lost.

text … <eos>   →   a b c d | e f g <eos>        every token is predicted once, the first excepted:
                   a b c d   d e f g   g <eos>  a piece begins with the last token of the one before
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nlp_skills.data.example import Example
from nlp_skills.data.tokens import IGNORED, TokenRow
from nlp_skills.errors import NotValid
from nlp_skills.training.config import TrainConfig
from nlp_skills.training.methods.sft import build_trainer

__all__ = ["build_trainer", "tokenize"]


def tokenize(
    tokenizer: Any,
    examples: Sequence[Example],
    config: TrainConfig,
    **words: str,  # noqa: ARG001 (for methods whose rows can be too long)
) -> list[TokenRow]:
    """The pieces of each text, in order; all their tokens are learned.

    Raises NotValid for a row that is a conversation, or a tokenizer without an end token.
    """
    return [piece for example in examples for piece in _pieces(_ids(tokenizer, example), config.max_length)]


def plain_text(example: Example) -> str:
    """The text of a row that is text alone; the system prompt that a task puts before every row is left out."""
    turns = [message for message in example.messages or () if message.role != "system"]
    if len(turns) != 1 or turns[0].role != "assistant" or not turns[0].content:
        raise NotValid(
            f"Row {example.meta.id} is no plain text: cpt learns rows with a text column alone. Train"
            " conversations with sft."
        )
    return turns[0].content


def _ids(tokenizer: Any, example: Example) -> list[int]:
    """The text with the special tokens that this tokenizer begins a text with, and EOS (P02)."""
    ids = tokenizer(plain_text(example))["input_ids"]
    if tokenizer.eos_token_id is None:
        raise NotValid("The tokenizer of the base model has no end token. Choose another base_model.")
    return ids if ids[-1:] == [tokenizer.eos_token_id] else [*ids, tokenizer.eos_token_id]


def _pieces(ids: list[int], size: int) -> list[TokenRow]:
    """Pieces of at most `size` tokens that share one token at their seams, where it is given and not learned."""
    starts = range(0, max(1, len(ids) - 1), size - 1)
    pieces = [ids[start : start + size] for start in starts]
    return [TokenRow(piece, [IGNORED, *piece[1:]]) for piece in pieces]
