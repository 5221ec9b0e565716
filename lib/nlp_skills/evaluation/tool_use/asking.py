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

    Raises NotValid where native calling is asked for, and the chat template leaves tools out or the version lists
    them in the system prompt (tools_in_prompt).
    """
    if asked == "prompted" or not example.tools:
        return asked or "native"
    given = _prompt(predictor, example)
    lists = given is not None and given == _prompt(predictor, with_prompted_tools(example))
    if given and not lists and given != _prompt(predictor, structs.replace(example, tools=None)):
        return "native"
    if asked is None:
        return "prompted"
    why = (
        f"{predictor.name} lists its tools in the system prompt (tools_in_prompt)"
        if lists
        else f"The chat template of {predictor.name} shows no tools to the model"
    )
    raise NotValid(
        f"{why}, so native calling cannot be measured. Ask with --calling prompted, which lists them in the system prompt."
    )


def _prompt(predictor: Predictor, example: Example) -> str | None:
    """What tells the row's prompt from others; None for a template that cannot write calls and their results."""
    try:
        return predictor.prompt_hashes([example])[0]
    except NotValid:
        return None


def drawn(rows: Sequence[Row], limit: int | None, seed: int) -> list[Row]:
    """At most `limit` rows, in their order; the same ones for the same seed."""
    if limit is None or limit >= len(rows):
        return list(rows)
    places = sorted(random.Random(seed).sample(range(len(rows)), limit))
    return [rows[place] for place in places]
