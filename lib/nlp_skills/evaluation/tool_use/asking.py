"""What a model is asked: rows with the tools that are offered, natively or in the system prompt."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Any, TypeVar

from msgspec import structs

from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.data.prompted_tools import with_prompted_tools
from nlp_skills.errors import NotValid
from nlp_skills.evaluation.predictors.predictor import Predictor
from nlp_skills.evaluation.tool_use.bfcl import Question
from nlp_skills.evaluation.tool_use.offered import offered_tools
from nlp_skills.evaluation.tool_use.record import Calling

Row = TypeVar("Row")


def question_example(question: Question) -> Example:
    """A question of BFCL as a row; the answer is not part of it."""
    turns = [Message(message["role"], message["content"]) for message in question.messages]
    return Example(
        meta=Meta(id=question.id, source=f"bfcl/{question.category}"),
        messages=[*turns, Message("assistant", "")],
        tools=offered_tools(question.functions, question.language),
    )


def with_tools(example: Example, tools: list[dict[str, Any]]) -> Example:
    """A row that offers these tools instead of its own."""
    return structs.replace(example, tools=tools)


def shown(example: Example, calling: Calling) -> Example:
    """The row as the model is given it."""
    return with_prompted_tools(example) if calling == "prompted" else example


def choose_calling(predictor: Predictor, example: Example, asked: Calling | None) -> Calling:
    """Native where the model is shown tools that way, unless told otherwise.

    Raises NotValid where native calling is asked for and the chat template leaves tools out.
    """
    if asked == "prompted" or not example.tools:
        return asked or "native"
    if _shows_tools(predictor, example):
        return "native"
    if asked is None:
        return "prompted"
    raise NotValid(
        f"The chat template of {predictor.name} shows no tools to the model, so native calling cannot be measured. Ask"
        " with --calling prompted, which lists them in the system prompt."
    )


def _shows_tools(predictor: Predictor, example: Example) -> bool:
    """Whether the row's tools change its prompt; a template that cannot write calls and their results shows none."""
    try:
        with_them, without = predictor.prompt_hashes([example, structs.replace(example, tools=None)])
    except NotValid:
        return False
    return with_them != without


def drawn(rows: Sequence[Row], limit: int | None, seed: int) -> list[Row]:
    """At most `limit` rows, in their order; the same ones for the same seed."""
    if limit is None or limit >= len(rows):
        return list(rows)
    places = sorted(random.Random(seed).sample(range(len(rows)), limit))
    return [rows[place] for place in places]
