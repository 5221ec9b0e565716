"""How the rows of a source are laid out: which shape they have and which column plays which part.

    {"Sentiment": "neutral", "Headline": "…"}        → TEXT_LABEL: text in Headline, label in Sentiment
    {"conversations": [{"from": "human", …}, …]}     → SHAREGPT
    {"prompt": …, "chosen": …, "rejected": …}        → PREFERENCE

Names decide first, values second, and what the user says (`columns` of data_source.yaml) before both.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nlp_skills.data.sampled_table import SAMPLE, SampledTable, how_to_say
from nlp_skills.data.shape import Layout
from nlp_skills.data.shape_finders import (
    find_alpaca,
    find_conversation,
    find_preference,
    find_prompt_completion,
    find_text,
    find_text_guessed_label,
    find_text_label,
    find_unpaired,
)
from nlp_skills.data.sources.source import Columns
from nlp_skills.errors import NotValid, did_you_mean
from nlp_skills.task.task import TaskType


def detect_layout(rows: Sequence[Mapping[str, Any]], columns: Columns, type: TaskType | None) -> Layout:
    """Shape and columns of a source from its first rows; columns that are given win.

    Raises NotValid with the columns that are there and how to say which is which.
    """
    table = SampledTable(_sample(rows), columns, type)
    if not table.columns:
        raise NotValid("there is no row with anything in it")
    for part, name in table.given.items():
        if name not in table.all:
            known = ", ".join(table.all)
            raise NotValid(
                f"columns.{part}: no column {name!r}{did_you_mean(name, table.all)}. Columns found: {known}."
            )
    for finder in _order(table):
        layout = finder(table)
        if layout is not None:
            return layout
    raise NotValid(f"cannot tell which column is the input and which the answer. {how_to_say(table)}")


def _sample(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    if len(rows) <= SAMPLE:
        return list(rows)
    half = SAMPLE // 2
    step = (len(rows) - half) / half
    return [*rows[:half], *(rows[half + int(i * step)] for i in range(half))]


def _order(table: SampledTable) -> list[Callable[[SampledTable], Layout | None]]:
    """Which shapes are tried, in which order."""
    given = table.given
    if "chosen" in given or "rejected" in given:
        return [find_preference]
    if "messages" in given:
        return [find_preference, find_unpaired, find_conversation]
    if "prompt" in given or "completion" in given:
        return [find_preference, find_unpaired, find_prompt_completion]
    if "text" in given or "label" in given:
        return [find_text_label, find_text_guessed_label, find_prompt_completion, find_text]
    chats = [find_preference, find_unpaired, find_conversation]
    if table.type is not None and table.type.has_labels:
        return [
            *chats,
            find_text_label,
            find_alpaca,
            find_text_guessed_label,
            find_prompt_completion,
            find_text,
        ]
    return [*chats, find_alpaca, find_prompt_completion, find_text_label, find_text]
