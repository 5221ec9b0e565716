"""How the rows of a source are laid out: which shape they have and which column plays which part.

    {"Sentiment": "neutral", "Headline": "…"}        → TEXT_LABEL: text in Headline, label in Sentiment
    {"conversations": [{"from": "human", …}, …]}     → SHAREGPT
    {"prompt": …, "chosen": …, "rejected": …}        → PREFERENCE

Names decide first, values second, and what the user says (`columns` of data_source.yaml) before both.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from nlp_skills.data.sources.fetch import ORIGIN
from nlp_skills.data.sources.source import Columns
from nlp_skills.data.turns import is_nothing, read_turns
from nlp_skills.errors import NotValid, did_you_mean
from nlp_skills.task.task import TaskType

SAMPLE = 200
"""Rows that are looked at: half from the start, half spread over the rest (files are often sorted)."""


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


def _names(words: str) -> tuple[str, ...]:
    return tuple(words.split())


# Most telling first. Compared in lower case with blanks and hyphens as underscores.
TEXT = _names(
    "text sentence review content body document article passage message tweet comment post utterance query "
    "question sms description headline title input prompt instruction v2 文本 内容 內容 正文 评论 評論 句子 标题 "
    "標題 テキスト 本文 レビュー"
)
LABEL = _names(
    "label labels sentiment intent category class polarity emotion topic stance label_text tag y target v1 gold "
    "标签 標籤 类别 類別 分类 分類 情感 情緒 情绪 意图 意圖 ラベル カテゴリ 感情"
)
ENTITY = _names("entity entity_name aspect target company ticker subject 实体 實體 对象 對象 エンティティ")
GROUP = _names(
    "group group_id headline_id document_id doc_id document doc thread_id thread conversation_id "
    "conversation dialogue_id dialog_id session_id article_id text_id ticket_id user_id author_id"
)
ID = _names("id uid uuid guid _id row_id example_id sample_id task_id 编号 編號")
PROMPT = _names("prompt question instruction query input problem source 问题 問題 質問")
COMPLETION = _names(
    "completion response answer answers output canonical_solution solution target summary highlights "
    "translation sql code entities json reply chosen_response 答案 回答 摘要 回复 回覆"
)
CONTEXT = _names("context passage document background article table schema input text")
TURNS = _names("messages conversations conversation dialogue dialog chat turns items")
CHOSEN = _names("chosen chosen_messages chosen_response preferred")
REJECTED = _names("rejected rejected_messages rejected_response dispreferred")
VERDICT = _names("label kto_tag desirable thumbs_up")


@dataclass(frozen=True)
class _Column:
    """What the sample says about a column."""

    name: str
    values: list[Any]
    """Those that are not empty."""

    @property
    def plain(self) -> str:
        return re.sub(r"[\s\-.]+", "_", self.name.strip().lower()).strip("_") or self.name

    @property
    def is_turns(self) -> bool:
        return bool(self.values) and all(read_turns(value) is not None for value in self.values[:5])

    @property
    def is_words(self) -> bool:
        """Text rather than numbers: some value has a letter of some script."""
        return any(isinstance(v, str) and re.search(r"[^\W\d_]", v) for v in self.values)

    @property
    def is_verdict(self) -> bool:
        return bool(self.values) and all(_as_bool(value) is not None for value in self.values)

    @property
    def distinct(self) -> int:
        return len({str(value) for value in self.values})

    @property
    def length(self) -> float:
        return sum(len(str(value)) for value in self.values) / max(1, len(self.values))

    @property
    def is_short(self) -> bool:
        return all(
            isinstance(v, str | int | float) and len(str(v)) <= 100 and "\n" not in str(v)
            for v in self.values
        )


def _as_bool(value: Any) -> bool | None:
    if isinstance(value, bool):
        return value
    return {"true": True, "false": False}.get(str(value).strip().lower())


class _Table:
    """The sampled columns, and which of them the user has named."""

    def __init__(self, rows: Sequence[Mapping[str, Any]], given: Columns, type: TaskType | None) -> None:
        names = list(
            dict.fromkeys(name for row in rows for name in row if isinstance(name, str) and name != ORIGIN)
        )
        self.all = names
        sampled = (_Column(n, [r[n] for r in rows if n in r and _filled(r[n])]) for n in names)
        self.columns = {column.name: column for column in sampled if column.values}
        self.given: dict[str, str] = given.model_dump(exclude_none=True)
        self.type = type
        self.rows = len(rows)

    def is_rare(self, name: str) -> bool:
        """Whether most rows of the sample have nothing in that column."""
        return name in self.columns and 2 * len(self.columns[name].values) <= self.rows

    def find(
        self,
        part: str,
        names: Sequence[str],
        fits: Callable[[_Column], bool] = lambda _: True,
        taken: Sequence[str | None] = (),
    ) -> str | None:
        """The column of a part: as the user says, else the first name of the list that fits."""
        if part in self.given:
            return self.given[part]
        free = [c for c in self.columns.values() if c.name not in taken and c.name not in self.given.values()]
        for name in names:
            for column in free:
                if column.plain == name and fits(column):
                    return column.name
        return None


def _filled(value: Any) -> bool:
    return not is_nothing(value) and (not isinstance(value, str) or bool(value.strip()))


def detect_layout(rows: Sequence[Mapping[str, Any]], columns: Columns, type: TaskType | None) -> Layout:
    """Shape and columns of a source from its first rows; columns that are given win.

    Raises NotValid with the columns that are there and how to say which is which.
    """
    table = _Table(_sample(rows), columns, type)
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
    raise NotValid(f"cannot tell which column is the input and which the answer. {_how_to_say(table)}")


def _sample(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    if len(rows) <= SAMPLE:
        return list(rows)
    half = SAMPLE // 2
    step = (len(rows) - half) / half
    return [*rows[:half], *(rows[half + int(i * step)] for i in range(half))]


def _order(table: _Table) -> list[Callable[[_Table], Layout | None]]:
    """Which shapes are tried, in which order."""
    given = table.given
    if "chosen" in given or "rejected" in given:
        return [_preference]
    if "messages" in given:
        return [_preference, _unpaired, _conversation]
    if "prompt" in given or "completion" in given:
        return [_preference, _unpaired, _prompt_completion]
    if "text" in given or "label" in given:
        return [_text_label, _text_guessed_label, _prompt_completion, _text]
    chats = [_preference, _unpaired, _conversation]
    if table.type is not None and table.type.has_labels:
        return [*chats, _text_label, _alpaca, _text_guessed_label, _prompt_completion, _text]
    return [*chats, _alpaca, _prompt_completion, _text_label, _text]


def _how_to_say(table: _Table) -> str:
    known = ", ".join(repr(name) for name in table.all if name) or "none"
    options = "--text COLUMN --label COLUMN"
    if table.type is TaskType.ENTITY_CLASSIFICATION:
        options = "--text COLUMN --entity COLUMN --label COLUMN"
        example = "columns: {text: <column>, entity: <column>, label: <column>}"
    elif table.type is not None and not table.type.has_labels:
        options += " (the question and its answer)"
        example = "columns: {prompt: <column>, completion: <column>}"
    else:
        example = "columns: {text: <column>, label: <column>}"
    return (
        f"Columns found: {known}. Say which is which with {options} where the file is added, or under the source"
        f" in data_source.yaml, for example {example}"
    )


def _make(table: _Table, shape: Shape, reason: str, **parts: str | None) -> Layout:
    """A layout with its group and id columns filled in too."""
    taken = list(parts.values())
    # Behind a sample that is full there may be more rows, and in them what repeats.
    repeats_later = table.rows >= SAMPLE
    group = table.find("group", GROUP, lambda c: repeats_later or c.distinct < len(c.values), taken)
    group = group or _repeating_id(table, taken)
    identity = table.find(
        "id", ID, lambda c: c.distinct == len(c.values) == table.rows and c.is_short, [*taken, group]
    )
    return Layout(shape, Columns(**{**table.given, **parts, "group": group, "id": identity}), reason)


def _repeating_id(table: _Table, taken: Sequence[str | None]) -> str | None:
    for column in table.columns.values():
        repeats = 1 < column.distinct < len(column.values)
        if column.name not in taken and column.plain.endswith("_id") and column.is_short and repeats:
            return column.name
    return None


def _preference(table: _Table) -> Layout | None:
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


def _context(table: _Table, taken: Sequence[str | None]) -> str | None:
    return table.find("text", CONTEXT, lambda c: c.is_words and not c.is_turns, taken)


def _turns_column(table: _Table) -> str | None:
    named = table.find("messages", TURNS, lambda c: c.is_turns)
    others = (c.name for c in table.columns.values() if c.is_turns and c.plain != "tools")
    return named or next(others, None)


def _unpaired(table: _Table) -> Layout | None:
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


def _conversation(table: _Table) -> Layout | None:
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


def _alpaca(table: _Table) -> Layout | None:
    prompt = table.find("prompt", ["instruction"])
    answer = table.find("completion", ["output"], taken=[prompt])
    if prompt is None or answer is None:
        return None
    # `input` is empty in many rows, perhaps in the whole sample.
    extra = table.find("text", ["input"], taken=[prompt, answer]) or _exact(table, "input", [prompt, answer])
    reason = f"Alpaca rows with the instruction in {prompt!r} and the answer in {answer!r}"
    return _make(table, Shape.ALPACA, reason, prompt=prompt, text=extra, completion=answer)


def _exact(table: _Table, name: str, taken: Sequence[str | None]) -> str | None:
    return name if name in table.all and name not in taken else None


def _prompt_completion(table: _Table) -> Layout | None:
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


def _text_label(table: _Table) -> Layout | None:
    """Text and label, the label by its name."""
    entity = _entity(table)
    label = table.find("label", LABEL, lambda c: c.is_short, [entity])
    label = label or table.find("label", LABEL, lambda c: c.is_short)
    return _labelled(table, label, None if entity == label else entity)


def _text_guessed_label(table: _Table) -> Layout | None:
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


def _entity(table: _Table) -> str | None:
    if table.type is not None and table.type is not TaskType.ENTITY_CLASSIFICATION:
        return table.given.get("entity")
    # Without a task an e-mail's subject or a translation's target is more likely something else.
    names = ENTITY if table.type is not None else ENTITY[:3]
    return table.find("entity", names, lambda c: c.is_words and c.is_short)


def _labelled(table: _Table, label: str | None, entity: str | None) -> Layout | None:
    if label is None:
        return None
    if table.type is TaskType.ENTITY_CLASSIFICATION and entity is None:
        raise NotValid(f"no column holds the entity that each label is about. {_how_to_say(table)}")
    text = table.find("text", TEXT, lambda c: c.is_words, [label, entity]) or _longest(table, [label, entity])
    if text is None:
        return None
    named = f", the entities in {entity!r}" if entity else ""
    reason = f"a table with the texts in {text!r}{named} and the labels in {label!r}"
    return _make(table, Shape.TEXT_LABEL, reason, text=text, label=label, entity=entity)


def _longest(table: _Table, taken: Sequence[str | None]) -> str | None:
    """The column with the longest texts among those that nobody has named for something else."""
    used = {*taken, *table.given.values()}
    texts = [c for c in table.columns.values() if c.name not in used and c.is_words and not c.is_turns]
    return max(texts, key=lambda c: c.length).name if texts else None


def _text(table: _Table) -> Layout | None:
    text = table.find("text", ["text", "content", "文本"], lambda c: c.is_words)
    if text is None:
        return None
    if table.type is not None and table.type is not TaskType.GENERATION:
        raise NotValid(
            f"there is text in {text!r} but no answer beside it, and a task of type {table.type.value} "
            f"learns from answers. {_how_to_say(table)}"
        )
    return _make(table, Shape.TEXT, f"nothing but text, in {text!r}", text=text)
