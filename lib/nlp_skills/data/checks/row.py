"""A single row of any kind: what it lacks, and what it is identified by."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlp_skills.data.checks.blank import is_blank
from nlp_skills.data.checks.faults import (
    INCOMPLETE,
    ORDER,
    UNANSWERED,
    Fault,
    blank_turn,
    diagnose_keys,
    shape_of,
)
from nlp_skills.data.checks.identities import (
    about_identity,
    answer_identity,
    digest,
    digest_64,
    encode,
    input_identity,
    row_identity,
)
from nlp_skills.data.checks.roles import ROLES, order_problem, role_of
from nlp_skills.data.example import Example, Message

if TYPE_CHECKING:
    from nlp_skills.data.checks.reading import Batch


def add_row(batch: Batch, example: Example, line: bytes, number: int, *, judged: bool) -> Fault | None:
    """Put a decoded row into the batch, or say what it lacks; `judged`: labels are judgements of answers (KTO)."""
    if problem := row_problem(example, number):
        return problem
    whole = encode(example)
    if whole != line and whole.count(b":") != line.count(b":"):
        # A colon follows every key, so keys that were decoded into one leave colons over.
        batch.faults += diagnose_keys(line, number)
    _find_faults(batch, example, number)
    batch.line_up(number)
    length = sum(len(turn.content or "") for turn in example.context if turn.role != "system")
    label = example.meta.label
    if example.messages is None or (judged and label is not None):
        answer = _judge(batch, example)
    else:
        answer = answer_identity(example.answer)
    text = about_identity(example.meta.entity, example.context[-1].content if example.context else None)
    if text is not None:
        batch.texts.append((len(batch), text))
    batch.labels.append(label)
    batch.label_counts[label] += 1
    batch.length_counts[length] += 1
    batch.groups.append(example.meta.group)
    batch.sources[example.meta.source] += 1
    batch.lengths.append(length)
    batch.answers.append(answer)
    batch.inputs.append(input_identity(example) if length else row_identity(example))
    return None


def row_problem(example: Example, number: int) -> Fault | None:
    """Why a row that could be decoded is none that could be used; None when it is one."""
    if example.messages and not (example.prompt or example.chosen or example.rejected):
        ends, turns = [example.messages[-1]], example.messages[:-1]
    elif example.messages is None and example.prompt and example.chosen and example.rejected:
        ends = [example.chosen[-1], example.rejected[-1]]
        turns = [*example.prompt, *example.chosen[:-1], *example.rejected[:-1]]
    else:
        return Fault(INCOMPLETE, number, shape_of(example))
    for turn in [*turns, *ends]:
        if turn.role not in ROLES:
            known = ", ".join(sorted(ROLES))
            return Fault(INCOMPLETE, number, f"unknown role {turn.role!r}; known are: {known}")
    for end in ends:
        if end.role != "assistant":
            return Fault(
                UNANSWERED, number, f"the answer is missing: the row ends with a turn of {end.role!r}"
            )
    for turn in [*turns, *ends]:
        if turn.content is None and not turn.tool_calls:
            return Fault(INCOMPLETE, number, f"a turn of {turn.role!r} without content")
    return None


def _find_faults(batch: Batch, example: Example, number: int) -> None:
    if example.messages is not None:
        asked, answers = example.messages[:-1], [example.messages[-1:]]
    else:
        asked, answers = example.prompt or [], [example.chosen or [], example.rejected or []]
    problems = [order_problem(tuple(map(role_of, [*asked, *answer]))) for answer in answers]
    batch.faults += [Fault(ORDER, number, problem) for problem in problems if problem][:1]
    batch.faults += _blanks(asked, number, 1, learned=False)
    for answer in answers:
        batch.faults += _blanks(answer, number, len(asked) + 1, learned=answer is answers[0])


def _blanks(turns: list[Message], number: int, first: int, *, learned: bool) -> list[Fault]:
    """The turns of user and assistant in which nothing can be read; the last one is learned from, or none."""
    return [
        blank_turn(number, place, turn.role, learned=learned and turn is turns[-1])
        for place, turn in enumerate(turns, start=first)
        if (turn.role == "user" or (turn.role == "assistant" and not turn.tool_calls))
        and is_blank(turn.content or "")
    ]


def _judge(batch: Batch, example: Example) -> int:
    """Note which answer is preferred to which, or whether one is good (KTO); the identity of both together."""
    asked = encode((example.context, example.tools))
    if example.messages is not None:
        said, judgement = encode(example.answer), example.meta.label == "true"
        answer = said + (example.meta.label or "").encode()
    else:
        chosen, rejected = encode(example.chosen), encode(example.rejected)
        said, judgement = min(chosen, rejected) + max(chosen, rejected), chosen < rejected
        answer = encode((example.chosen, example.rejected))
    batch.judgements.append((len(batch.inputs), digest(asked + said), judgement))
    return digest_64(answer, 1)
