"""The shapes that training data comes in, and which column plays which part in one."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from nlp_skills.data.sources.source import Columns


class Shape(StrEnum):
    """The shapes that training data comes in."""

    ALPACA = "alpaca"
    """instruction, input, output; also system and history"""
    SHAREGPT = "sharegpt"
    """conversations of from/value"""
    MESSAGES = "messages"
    """messages of role/content"""
    PROMPT_COMPLETION = "prompt_completion"
    """a question and its answer, with a context or without"""
    TEXT_LABEL = "text_label"
    PREFERENCE = "preference"
    """a better and a worse answer"""
    UNPAIRED_PREFERENCE = "unpaired_preference"
    """one answer that is good or bad, as KTO takes it"""
    TEXT = "text"
    """nothing but text"""


@dataclass(frozen=True)
class Layout:
    """A shape and its columns. `columns.text` is the context of a prompt, and the input of Alpaca rows."""

    shape: Shape
    columns: Columns
    reason: str
    """One sentence for the user: what was seen."""
