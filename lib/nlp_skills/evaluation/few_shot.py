"""The base model with some solved training rows before the question: the strongest prompt that needs no thought.

The rows are chosen by their hash, one of each label in turn, so that equal data give equal prompts; as many as the
model's context holds beside the longest question.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from msgspec import structs

from nlp_skills.data.example import Example, Message
from nlp_skills.task.task import Task

SHOTS = 8
"""Solved rows at most."""
FREE_SHOTS = 4
"""Of tasks whose answers are text: they are longer."""


def choose_shots(task: Task, train: Sequence[Example]) -> list[Example]:
    """The solved rows: of labels one each in turn, the most frequent label first."""
    ordered = sorted(train, key=lambda example: example.content_hash())
    if not task.type.has_labels:
        return ordered[:FREE_SHOTS]
    groups: dict[str, list[Example]] = defaultdict(list)
    for example in ordered:
        groups[example.output_text].append(example)
    queues = sorted(groups.values(), key=lambda rows: (-len(rows), rows[0].output_text))
    most = min(SHOTS, max(len(queues), FREE_SHOTS))
    return [rows[turn] for turn in range(most) for rows in queues if turn < len(rows)][:most]


def with_shots(example: Example, shots: Sequence[Example]) -> Example:
    """The row with the solved ones as earlier turns, after its system prompt."""
    system = [message for message in example.context if message.role == "system"]
    asked = [message for message in example.context if message.role != "system"]
    earlier: list[Message] = [
        message for shot in shots for message in (*shot.context, shot.answer) if message.role != "system"
    ]
    return structs.replace(example, messages=[*system, *earlier, *asked, example.answer])


def fitting_shots(
    shots: Sequence[Example], test: Sequence[Example], tokenizer: Any, positions: int | None, room: int
) -> list[Example]:
    """As many of the solved rows as fit into `positions` tokens beside the longest question and an answer of `room`."""
    from nlp_skills.data.tokens import prompt_ids

    fitting = list(shots)
    if positions is None or not test:
        return fitting
    longest = max(test, key=lambda example: len(example.input_text.encode("utf-8")))
    while fitting and len(prompt_ids(tokenizer, with_shots(longest, fitting))) + room > positions:
        fitting.pop()
    return fitting
