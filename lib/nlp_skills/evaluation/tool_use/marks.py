"""What is right and what is wrong about the calls of one row: what the metrics of tool use add up.

    expected  [{"type": "function", "function": {"name": "get_weather", "arguments": {"city": "Taipei"}}}]
    predicted <tool_call>{"name": "get_weather", "arguments": {"city": "Tainan"}}</tool_call>
    marks     called, the right tool, 0 of 1 parameters right

Of the user's own rows a call is right when tool and arguments are equal as JSON; the calls may come in any order. Where
no call is expected, making none is right, whatever is said instead. Questions of BFCL are judged by their accepted values.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any

import msgspec

from nlp_skills.evaluation.results import CallMarks
from nlp_skills.evaluation.tool_use.ast_scorer import Answer, score_value
from nlp_skills.evaluation.tool_use.bfcl import Question
from nlp_skills.evaluation.tool_use.calls import Call
from nlp_skills.evaluation.tool_use.replies import Reply, read_reply

Judge = Callable[[str, str, Any, Sequence[Any]], bool]
"""Whether a tool's parameter has an accepted value."""


@lru_cache(maxsize=8192)
def marks_of(expected: str, predicted: str) -> CallMarks:
    """The marks of a row of the user's own; both texts may write calls in any of the usual ways."""
    reply, wanted = read_reply(predicted), read_reply(expected).calls
    answers = [{call.name: {key: [value] for key, value in call.arguments.items()}} for call in wanted]
    right = _same(wanted, reply.calls) and not (wanted and reply.unreadable)
    marks = _marks(answers, reply, lambda _tool, _name, value, accepted: _is_same(value, accepted[0]), right)
    return msgspec.structs.replace(marks, fault="" if right else _fault(marks, wanted, reply.calls))


def question_marks(question: Question, reply: Reply) -> CallMarks:
    """The marks of an answer to a question of BFCL."""
    verdict = question.judge(reply.calls)
    schemas = {function["name"]: function["parameters"]["properties"] for function in question.functions}

    def is_right(tool: str, name: str, value: Any, accepted: Sequence[Any]) -> bool:
        schema = schemas.get(tool, {}).get(name)
        return schema is not None and score_value(name, value, schema, accepted, question.language).right

    marks = _marks(question.answers, reply, is_right, verdict.right)
    unreadable = reply.unreadable and not verdict.right
    return msgspec.structs.replace(
        marks,
        wanted=None if question.category == "live_relevance" else marks.wanted,
        fault="unreadable" if unreadable else verdict.fault or "",
        message="a call was begun that cannot be read" if unreadable else verdict.message,
    )


def _marks(answers: Sequence[Answer], reply: Reply, is_right: Judge, right: bool) -> CallMarks:
    hits, parameters = count_parameters(answers, reply.calls, is_right)
    names = [next(iter(answer)) for answer in answers]
    return CallMarks(
        wanted=bool(answers),
        made=bool(reply.calls),
        right=right,
        selected=Counter(names) == Counter(call.name for call in reply.calls),
        parameters=parameters,
        right_parameters=hits,
        unreadable=reply.unreadable,
    )


def count_parameters(answers: Sequence[Answer], calls: Sequence[Call], is_right: Judge) -> tuple[int, int]:
    """(right, all) parameters of the calls whose tool is expected; each expected call takes the one that fits best.

    All are those given and those missing: a parameter too many counts as wrong, one that may be left out counts only where
    it is given.
    """
    left, hits, parameters = list(calls), 0, 0
    for answer in answers:
        name, accepted = next(iter(answer.items()))
        counted = [(_counts(call, accepted, is_right), i) for i, call in enumerate(left) if call.name == name]
        if counted:
            (right, total), place = max(counted, key=lambda found: (found[0][0] - found[0][1], -found[1]))
            hits, parameters = hits + right, parameters + total
            del left[place]
    return hits, parameters


def _counts(call: Call, accepted: Mapping[str, Sequence[Any]], is_right: Judge) -> tuple[int, int]:
    missing = [key for key, values in accepted.items() if key not in call.arguments and "" not in values]
    right = sum(
        key in accepted and is_right(call.name, key, value, accepted[key])
        for key, value in call.arguments.items()
    )
    return right, len(call.arguments) + len(missing)


def _same(wanted: Sequence[Call], calls: Sequence[Call]) -> bool:
    """Whether both hold the same calls, in any order."""
    left = list(calls)
    for call in wanted:
        place = next((n for n, other in enumerate(left) if _is_same_call(call, other)), None)
        if place is None:
            return False
        del left[place]
    return not left


def _is_same_call(one: Call, other: Call) -> bool:
    return one.name == other.name and _is_same(one.arguments, other.arguments)


def _is_same(value: Any, other: Any) -> bool:
    """As JSON: true is not 1."""
    from nlp_skills.evaluation.metrics.json_values import is_same  # the metrics are made of marks themselves

    return is_same(value, other)


def _fault(marks: CallMarks, wanted: Sequence[Call], calls: Sequence[Call]) -> str:
    if marks.unreadable:
        return "unreadable"
    if not wanted:
        return "unwanted_call"
    if not calls:
        return "no_call"
    if len(wanted) != len(calls):
        return "wrong_count"
    return "wrong_value" if marks.selected else "wrong_tool"
