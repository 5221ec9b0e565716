"""One function for each shape: the layout of a table, if the table has that shape."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from nlp_skills.data.column_names import (
    CHOSEN,
    COMPLETION,
    CONTEXT,
    ENTITY,
    GROUP,
    ID,
    LABEL,
    PROMPT,
    REJECTED,
    TEXT,
    TURNS,
    VERDICT,
)
from nlp_skills.data.sampled_table import SAMPLE, SampledTable, how_to_say
from nlp_skills.data.shape import Layout, Shape
from nlp_skills.data.sources.source import Columns
from nlp_skills.data.turns import read_turns
from nlp_skills.errors import NotValid
from nlp_skills.task.task import TaskType


def _make(table: SampledTable, shape: Shape, reason: str, **parts: str | None) -> Layout:
    """A layout with its group and id columns filled in too."""
    taken = list(parts.values())
    # Behind a sample that is full there may be more rows, and in them what repeats.
    repeats_later = table.rows >= SAMPLE
    group = table.find("group", GROUP, lambda c: repeats_later or c.distinct < len(c.values), taken)
    group = group or _repeating_id(table, taken)
    if group is None and _tells_passages_apart(table, parts):
        group = parts["text"]
        reason += ". Rows about one context stay on one side of the split"
    identity = table.find(
        "id", ID, lambda c: c.distinct == len(c.values) == table.rows and c.is_short, [*taken, group]
    )
    return Layout(shape, Columns(**{**table.given, **parts, "group": group, "id": identity}), reason)


FEWEST_PASSAGES = 10
"""Of fewer no side could be filled."""


def _tells_passages_apart(table: SampledTable, parts: Mapping[str, str | None]) -> bool:
    """Whether several rows ask about each passage: on two sides of a split they would give the answers away."""
    context = table.columns.get(parts.get("text") or "") if parts.get("prompt") else None
    return (
        context is not None
        and not context.is_short
        and FEWEST_PASSAGES <= context.distinct < len(context.values)
    )


def _repeating_id(table: SampledTable, taken: Sequence[str | None]) -> str | None:
    for column in table.columns.values():
        repeats = 1 < column.distinct < len(column.values)
        if column.name not in taken and column.plain.endswith("_id") and column.is_short and repeats:
            return column.name
    return None


def find_preference(table: SampledTable) -> Layout | None:
    chosen, rejected = table.find("chosen", CHOSEN), table.find("rejected", REJECTED)
    if chosen is None or rejected is None:
        return None
    if table.type is not TaskType.PREFERENCE and table.is_rare(chosen):
        return None  # a row that does not belong into the others' task
    taken = [chosen, rejected]
    turns = table.find("messages", TURNS, lambda c: c.is_turns and not table.is_rare(c.name), taken)
    prompt = None if turns else table.find("prompt", PROMPT, taken=taken)
    column = table.columns.get(chosen)
    if turns is None and prompt is None and not (column and column.is_turns):
        return None
    context = _context(table, [*taken, prompt]) if prompt else None
    reason = f"preferences with the better answers in {chosen!r} and the worse ones in {rejected!r}"
    return _make(
        table,
        Shape.PREFERENCE,
        reason,
        messages=turns,
        prompt=prompt,
        text=context,
        chosen=chosen,
        rejected=rejected,
    )


def _context(table: SampledTable, taken: Sequence[str | None]) -> str | None:
    return table.find("text", CONTEXT, lambda c: c.is_words and not c.is_turns, taken)


def _turns_column(table: SampledTable) -> str | None:
    named = table.find("messages", TURNS, lambda c: c.is_turns)
    others = (c.name for c in table.columns.values() if c.is_turns and c.plain != "tools")
    return named or next(others, None)


def find_unpaired(table: SampledTable) -> Layout | None:
    label = table.find("label", VERDICT, lambda c: c.is_verdict)
    column = table.columns.get(label or "")
    if column is None or not column.is_verdict:
        return None
    reason = f"answers that are marked good or bad in {label!r}"
    if turns := _turns_column(table):
        return _make(table, Shape.UNPAIRED_PREFERENCE, reason, messages=turns, label=label)
    prompt = table.find("prompt", ["prompt"])
    completion = table.find("completion", ["completion"], taken=[prompt])
    if prompt is None or completion is None:
        return None
    return _make(table, Shape.UNPAIRED_PREFERENCE, reason, prompt=prompt, completion=completion, label=label)


def find_conversation(table: SampledTable) -> Layout | None:
    turns = _turns_column(table)
    if turns is None:
        return None
    column = table.columns.get(turns)
    first = read_turns(column.values[0]) if column else None
    if not first:
        raise NotValid(f"columns.messages: {turns!r} holds no turns with role/content or from/value")
    if "role" in first[0]:
        return _make(table, Shape.MESSAGES, f"conversations of role and content in {turns!r}", messages=turns)
    return _make(
        table, Shape.SHAREGPT, f"ShareGPT conversations of from and value in {turns!r}", messages=turns
    )


def find_alpaca(table: SampledTable) -> Layout | None:
    prompt = table.find("prompt", ["instruction"])
    answer = table.find("completion", ["output"], taken=[prompt])
    if prompt is None or answer is None:
        return None
    # `input` is empty in many rows, perhaps in the whole sample.
    extra = table.find("text", ["input"], taken=[prompt, answer]) or _exact(table, "input", [prompt, answer])
    reason = f"Alpaca rows with the instruction in {prompt!r} and the answer in {answer!r}"
    return _make(table, Shape.ALPACA, reason, prompt=prompt, text=extra, completion=answer)


def _exact(table: SampledTable, name: str, taken: Sequence[str | None]) -> str | None:
    return name if name in table.all and name not in taken else None


def find_prompt_completion(table: SampledTable) -> Layout | None:
    answer = table.find("completion", COMPLETION)
    if answer is None:
        return None
    prompt = table.find("prompt", [*PROMPT, *TEXT], lambda c: c.is_words, [answer])
    if prompt is None:
        return None
    context = _context(table, [answer, prompt])
    after = f", and the context in {context!r}" if context else ""
    reason = f"a table with the questions in {prompt!r} and the answers in {answer!r}{after}"
    return _make(table, Shape.PROMPT_COMPLETION, reason, prompt=prompt, text=context, completion=answer)


def find_text_label(table: SampledTable) -> Layout | None:
    """Text and label, the label by its name."""
    entity = _entity(table)
    _refuse_two_answers(table)
    label = table.find("label", LABEL, lambda c: c.is_short, [entity])
    label = label or table.find("label", LABEL, lambda c: c.is_short)
    return _labelled(table, label, None if entity == label else entity)


def _refuse_two_answers(table: SampledTable) -> None:
    """What is to be extracted may stand in a column of entities or of labels: where both are there, nobody can tell."""
    if table.type is not TaskType.EXTRACTION or "label" in table.given:
        return
    label = table.find("label", LABEL, lambda c: c.is_short)
    entity = table.find("entity", ENTITY, lambda c: c.is_words and c.is_short, [label])
    if entity is not None and label is not None:
        raise NotValid(f"both {entity!r} and {label!r} could be the answer. {how_to_say(table)}")


def find_text_guessed_label(table: SampledTable) -> Layout | None:
    """Text and label, the label by its values: one short column of words that repeat."""
    entity = _entity(table)
    named = (table.given.get("text"), table.given.get("id"), table.given.get("group"), entity)
    candidates = [
        c.name
        for c in table.columns.values()
        if c.name not in named and c.is_short and c.distinct <= max(2, len(c.values) // 4)
        if c.is_words or c.distinct <= 3
        if len(c.values) >= table.rows / 2 and not c.plain.endswith("id")
    ]
    return _labelled(table, candidates[0], entity) if len(candidates) == 1 else None


def _entity(table: SampledTable) -> str | None:
    if table.type is not None and table.type is not TaskType.ENTITY_CLASSIFICATION:
        return table.given.get("entity")
    # Without a task an e-mail's subject or a translation's target is more likely something else.
    names = ENTITY if table.type is not None else ENTITY[:3]
    return table.find("entity", names, lambda c: c.is_words and c.is_short)


def _labelled(table: SampledTable, label: str | None, entity: str | None) -> Layout | None:
    if label is None:
        return None
    if table.type is TaskType.ENTITY_CLASSIFICATION and entity is None:
        raise NotValid(f"no column holds the entity that each label is about. {how_to_say(table)}")
    text = table.find("text", TEXT, lambda c: c.is_words, [label, entity]) or _longest(table, [label, entity])
    if text is None:
        return None
    named = f", the entities in {entity!r}" if entity else ""
    reason = f"a table with the texts in {text!r}{named} and the labels in {label!r}"
    return _make(table, Shape.TEXT_LABEL, reason, text=text, label=label, entity=entity)


def _longest(table: SampledTable, taken: Sequence[str | None]) -> str | None:
    """The column with the longest texts among those that nobody has named for something else."""
    used = {*taken, *table.given.values()}
    texts = [c for c in table.columns.values() if c.name not in used and c.is_words and not c.is_turns]
    return max(texts, key=lambda c: c.length).name if texts else None


def find_text(table: SampledTable) -> Layout | None:
    text = table.find("text", ["text", "content", "文本"], lambda c: c.is_words)
    if text is None:
        return None
    if table.type is not None and table.type is not TaskType.GENERATION:
        raise NotValid(
            f"there is text in {text!r} but no answer beside it, and a task of type {table.type.value} "
            f"learns from answers. {how_to_say(table)}"
        )
    return _make(table, Shape.TEXT, f"nothing but text, in {text!r}", text=text)
