"""A row of a source, whatever its shape → an Example.

    layout = detect_layout(rows, source.columns, task.type)         once for a source
    example = to_example(row, layout, task=task, source="news", line=7)

A system prompt of the row's own stays; every other example carries `instruction(task)`.
Answers marked good or bad (KTO) are `messages` with `meta.label` "true" or "false".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import xxhash

from nlp_skills.data.code_tests import code_tests
from nlp_skills.data.example import Example, Message, Meta, about_entity
from nlp_skills.data.layout import detect_layout
from nlp_skills.data.shape import Layout, Shape
from nlp_skills.data.sources.fetch import ORIGIN
from nlp_skills.data.sources.formats.squad import OTHERS, first_answer
from nlp_skills.data.turns import read_turns, to_messages, to_text, to_tools
from nlp_skills.errors import NotValid
from nlp_skills.task.task import Task, TaskType

__all__ = ["Layout", "Shape", "detect_layout", "instruction", "to_example"]

LISTED = 400
"""Labels are spelled out in the system prompt up to this many characters: every row carries them."""

_REQUESTS = {
    TaskType.CLASSIFICATION: "Classify the text.",
    TaskType.ENTITY_CLASSIFICATION: "Classify what the text says about the entity.",
    TaskType.EXTRACTION: "Extract what is asked for from the text. Answer with the result only.",
    TaskType.QA: "Answer the question.",
    TaskType.TOOL_USE: "Call a tool where one fits the request; otherwise answer directly.",
}


def instruction(task: Task) -> str:
    """The system prompt: the task's own, else made from its goal, type and labels."""
    if task.instruction is not None:
        return task.instruction.strip()
    goal = " ".join(task.goal.split())
    goal = goal if not goal or goal[-1] in ".!?。！？" else f"{goal}."
    return " ".join(part for part in (goal, _REQUESTS.get(task.type), _answer_rule(task)) if part)


def _answer_rule(task: Task) -> str | None:
    if not task.type.has_labels:
        return None
    listed = ", ".join(task.labels)
    if listed and len(listed) <= LISTED:
        return f"Answer with exactly one of: {listed}."
    return "Answer with the label only."


def to_example(row: Mapping[str, Any], layout: Layout, *, task: Task, source: str, line: int) -> Example:
    """The row as an Example. Raises NotValid with the reason when it cannot be one.

    `line` is the row's 1-based line in data/raw/<source>.jsonl.
    """
    meta = _meta(row, layout, source, line)
    match layout.shape:
        case Shape.PREFERENCE:
            prompt, chosen, rejected = _preference(row, layout)
            prompt = _with_system(prompt, row, task)
            tools = to_tools(_offered(row))
            return Example(meta=meta, prompt=prompt, chosen=chosen, rejected=rejected, tools=tools)
        case Shape.MESSAGES | Shape.SHAREGPT:
            messages = _turns(row, layout.columns.messages)
        case Shape.UNPAIRED_PREFERENCE:
            columns = layout.columns
            messages = _turns(row, columns.messages) if columns.messages else _pair(row, layout)
            meta.label = _verdict(row, columns.label)
        case Shape.TEXT_LABEL:
            messages = _labelled(row, layout)
            meta.label = messages[-1].content
        case Shape.TEXT:
            messages = _text_only(row, layout, task)
        case Shape.ALPACA | Shape.PROMPT_COMPLETION:
            messages = _pair(row, layout)
    _require_answer(messages)
    if task.type.has_labels and layout.shape is not Shape.UNPAIRED_PREFERENCE:
        # Labels are compared to the letter: a line end behind one would make every answer wrong.
        meta.label = messages[-1].content = (messages[-1].content or "").strip() or None
    return Example(meta=meta, messages=_with_system(messages, row, task), tools=to_tools(_offered(row)))


def _offered(row: Mapping[str, Any]) -> Any:
    """The tools of a row; `functions` is what OpenAI called them first."""
    return row.get("tools") or row.get("functions")


def _meta(row: Mapping[str, Any], layout: Layout, source: str, line: int) -> Meta:
    columns = layout.columns
    identity = to_text(row.get(columns.id), "id").strip() if columns.id else ""
    entity = to_text(row.get(columns.entity), "entity").strip() if columns.entity else ""
    told_by = columns.group or (columns.text if entity else None)
    group = to_text(row.get(told_by), "group").strip() if told_by else ""
    if group and told_by == columns.text:
        # Rows about the same text stay together, whichever source they come from.
        group = xxhash.xxh3_64_hexdigest(group.encode())
    return Meta(
        id=f"{source}-{identity or line}",
        source=source,
        line=line,
        entity=entity or None,
        group=group or None,
        answers=_others(row, columns.completion),
        tests=code_tests(row),
        origin=_origin(row, columns.completion),
    )


def _others(row: Mapping[str, Any], answer: str | None) -> list[str] | None:
    """Other right answers: of SQuAD's `answers` those after the first, or those in the column of that name."""
    found = first_answer(row.get(answer)) if answer else None
    listed = row.get(OTHERS)
    others = listed if isinstance(listed, list) and all(isinstance(text, str) for text in listed) else []
    return [*(found.others if found else others)] or None


def _origin(row: Mapping[str, Any], answer: str | None) -> dict[str, Any] | None:
    """What the source says about the row, and where in its context the answer of a SQuAD row begins."""
    given = row.get(ORIGIN)
    found = first_answer(row.get(answer)) if answer else None
    return {**(given if isinstance(given, Mapping) else {}), **(found.origin if found else {})} or None


def _with_system(messages: list[Message], row: Mapping[str, Any], task: Task) -> list[Message]:
    """The row's own system prompt, else the task's."""
    if messages[0].role == "system":
        return messages
    own = row.get("system")
    system = to_text(own, "system") if isinstance(own, str) else ""
    system = system or instruction(task)
    return [Message("system", system), *messages] if system else messages


def _cell(row: Mapping[str, Any], column: str | None, part: str) -> str:
    """The text of a column that has to hold something."""
    if column is None or column not in row:
        raise NotValid(f"{part} is missing: the row has no column {column!r}")
    text = to_text(row[column], f"{part} (column {column!r})")
    if not text.strip():
        raise NotValid(f"{part} is empty (column {column!r})")
    return text


def _labelled(row: Mapping[str, Any], layout: Layout) -> list[Message]:
    columns = layout.columns
    text = _cell(row, columns.text, "the text").strip()
    if isinstance(row.get(columns.label or ""), list | Mapping):
        raise NotValid(f"the label (column {columns.label!r}) is a list or an object; one label is needed")
    label = _cell(row, columns.label, "the label").strip()
    if columns.entity:
        text = about_entity(_cell(row, columns.entity, "the entity").strip(), text)
    return [Message("user", text), Message("assistant", label)]


def _pair(row: Mapping[str, Any], layout: Layout) -> list[Message]:
    """Question and answer, from texts or from lists of turns (both are used by TRL)."""
    columns = layout.columns
    before = _history(row.get("history"))
    if columns.completion is None or columns.prompt is None:
        raise NotValid("the columns of the question and of the answer are not known")
    asked = read_turns(row.get(columns.prompt))
    answered = read_turns(row.get(columns.completion)) if asked else None
    if asked and answered:
        return to_messages([*asked, *answered])
    answer = Message("assistant", _answer(row, columns.completion))
    return [*before, Message("user", _question(row, layout)), answer]


def _question(row: Mapping[str, Any], layout: Layout) -> str:
    columns = layout.columns
    prompt = _cell(row, columns.prompt, "the question")
    extra = to_text(row.get(columns.text), "the context") if columns.text else ""
    if not extra.strip():
        return prompt
    if layout.shape is Shape.PROMPT_COMPLETION:
        return f"{extra}\n\n{prompt}"
    return f"{prompt}\n{extra}"  # as Stanford Alpaca and LLaMA-Factory join instruction and input


def _answer(row: Mapping[str, Any], column: str) -> str:
    """The answer's text; of SQuAD's `answers` the first one."""
    found = first_answer(row.get(column))
    return _cell({column: found.text} if found else row, column, "the answer")


def _history(value: Any) -> list[Message]:
    """Alpaca's `history`: pairs of an earlier question and its answer."""
    if not value:
        return []
    if not isinstance(value, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        raise NotValid("history is not a list of [question, answer] pairs")
    turns = [
        {"role": role, "content": text}
        for pair in value
        for role, text in zip(("user", "assistant"), pair, strict=True)
    ]
    return to_messages(turns)


def _turns(row: Mapping[str, Any], column: str | None) -> list[Message]:
    turns = read_turns(row.get(column or ""))
    if turns is None and column not in row:
        raise NotValid(
            f"this is no conversation: there is no column {column!r} with turns of role and content"
        )
    if turns is None:
        raise NotValid(
            f"column {column!r} holds no conversation (a list of turns with role/content or from/value)"
        )
    return _up_to_learned(to_messages(turns))


def _up_to_learned(messages: list[Message]) -> list[Message]:
    """Without what follows the last answer that is learned from, where some are marked as not to be (weight 0)."""
    if all(message.weight is None for message in messages):
        return messages
    learned = [n for n, m in enumerate(messages, start=1) if m.role == "assistant" and m.weight is None]
    if not learned:
        raise NotValid("every answer has weight 0, so there is nothing to learn from")
    return messages[: learned[-1]]


def _text_only(row: Mapping[str, Any], layout: Layout, task: Task) -> list[Message]:
    if task.type is not TaskType.GENERATION:
        raise NotValid(f"the row is text without an answer, and a {task.type.value} task learns from answers")
    return [Message("assistant", _cell(row, layout.columns.text, "the text"))]


def _verdict(row: Mapping[str, Any], column: str | None) -> str:
    verdict = to_text(row.get(column or ""), "the label").strip().lower()
    if verdict not in ("true", "false"):
        raise NotValid(f"the label (column {column!r}) is neither true nor false: {verdict[:40]!r}")
    return verdict


def _preference(row: Mapping[str, Any], layout: Layout) -> tuple[list[Message], list[Message], list[Message]]:
    """Prompt, better and worse answer; the prompt may also stand at the head of both answers."""
    columns = layout.columns
    for column in (columns.chosen, columns.rejected):
        if column not in row:
            raise NotValid(
                f"this is no preference: there is no column {column!r}. Every row needs a prompt with a better and a"
                " worse answer"
            )
    chosen = _answers(row, columns.chosen, "the chosen answer")
    rejected = _answers(row, columns.rejected, "the rejected answer")
    if chosen[0].role != "assistant":
        shared = 0
        while shared < min(len(chosen), len(rejected)) - 1 and chosen[shared] == rejected[shared]:
            shared += 1
        prompt, chosen, rejected = chosen[:shared], chosen[shared:], rejected[shared:]
    elif columns.messages:
        prompt = _turns(row, columns.messages)
    elif turns := read_turns(row.get(columns.prompt or "")):
        prompt = to_messages(turns)
    else:
        prompt = [*_history(row.get("history")), Message("user", _question(row, layout))]
    if not any(message.role == "user" for message in prompt):
        raise NotValid("there is no question that both answers belong to")
    if prompt[-1].role == "assistant":
        raise NotValid("the prompt ends with an answer; chosen and rejected have to follow a question")
    _require_answer([*prompt, *chosen])
    _require_answer([*prompt, *rejected])
    return prompt, chosen, rejected


def _answers(row: Mapping[str, Any], column: str | None, part: str) -> list[Message]:
    turns = read_turns(row.get(column or ""))
    return to_messages(turns) if turns else [Message("assistant", _cell(row, column, part))]


def _require_answer(messages: list[Message]) -> None:
    if messages[-1].role != "assistant":
        raise NotValid(f"the answer is missing: the conversation ends with the turn of {messages[-1].role!r}")
