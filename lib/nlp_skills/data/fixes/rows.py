"""Fixes of one row, whatever the others hold: each gives the row itself, a mended one, or None to drop it."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

import msgspec
from msgspec.structs import replace

from nlp_skills.data.checks.blank import is_blank
from nlp_skills.data.checks.labels import spelling_key
from nlp_skills.data.checks.preference import is_same_pair
from nlp_skills.data.credentials import find_secrets
from nlp_skills.data.example import Example, Message
from nlp_skills.data.mojibake import repair
from nlp_skills.data.personal import find_personal
from nlp_skills.data.sensitive import Span
from nlp_skills.task.task import Task

Mend: TypeAlias = Callable[[Example], Example | None]
"""The very row where there is nothing to mend; None drops it."""
Find: TypeAlias = Callable[[str], list[Span]]

_encode = msgspec.json.Encoder().encode
_decode_calls = msgspec.json.Decoder(list[dict]).decode
_BARE = re.compile(r'(?<=[:\[,])(<[^<>"]*>)(?=[,\]}])')
ROUNDS = 4
"""How often a text is mended again while that still changes it: below one garbling there may be another."""


def mend_text(_task: Task) -> Mend:
    """DATA-MOJIBAKE: garbled characters are restored; lost ones stay lost."""
    return lambda row: with_texts(row, _settled(repair))


def mask_personal(_task: Task) -> Mend:
    """DATA-PII: `<email address>` in place of the address, in all turns."""
    return _masking(find_personal)


def mask_secrets(_task: Task) -> Mend:
    """DATA-SECRET: `<password>` in place of the password, in all turns."""
    return _masking(find_secrets)


def _masking(find: Find) -> Mend:
    change = _settled(lambda text: replace_spans(text, find(text)))
    return lambda row: with_texts(row, change)


def _settled(change: Callable[[str], str]) -> Callable[[str], str]:
    """The change, repeated until nothing changes any more. A system prompt is the same in thousands of rows."""

    @lru_cache(maxsize=64)
    def settle(text: str) -> str:
        for _ in range(ROUNDS):
            before, text = text, change(text)
            if text == before:
                break
        return text

    return settle


def replace_spans(text: str, spans: list[Span]) -> str:
    """The text with `<kind>` in place of each span."""
    for span in sorted(spans, reverse=True):
        text = f"{text[: span.start]}<{span.kind}>{text[span.end :]}"
    return text


def spell_label(task: Task) -> Mend:
    """DATA-LABEL: a label, and the answer that gives it, as the task spells it; what is no spelling of one stays."""
    keys = [spelling_key(label) for label in task.labels]
    key_of = lru_cache(maxsize=4096)(spelling_key)
    spelled = {key: label for key, label in zip(keys, task.labels, strict=True) if keys.count(key) == 1}

    def mend(row: Example) -> Example | None:
        label = spelled.get(key_of(row.meta.label)) if row.meta.label else None
        if label is None or row.messages is None or not task.type.has_labels:
            return row
        answer = row.answer
        said = answer.content or ""
        if said != label and key_of(said) == key_of(label):
            row = replace(row, messages=[*row.messages[:-1], replace(answer, content=label)])
        return row if row.meta.label == label else replace(row, meta=replace(row.meta, label=label))

    return mend


def drop_blank(_task: Task) -> Mend:
    """DATA-EMPTY: a row in which the user or the assistant says nothing that can be read is dropped."""

    def is_silent(turn: Message) -> bool:
        speaks = turn.role == "user" or (turn.role == "assistant" and not turn.tool_calls)
        return speaks and turn.content is not None and is_blank(turn.content)

    return lambda row: None if any(map(is_silent, _turns(row))) else row


def drop_same_pair(_task: Task) -> Mend:
    """PREF-SAME: a pair whose two answers are the same is dropped."""
    return lambda row: None if is_same_pair(row) else row


MENDERS: dict[str, Callable[[Task], Mend]] = {
    "DATA-MOJIBAKE": mend_text,
    "DATA-SECRET": mask_secrets,
    "DATA-PII": mask_personal,
    "DATA-LABEL": spell_label,
    "DATA-EMPTY": drop_blank,
    "PREF-SAME": drop_same_pair,
}
"""In the order in which they are applied: a text has to be readable before it is searched or compared."""
MASKING = ("DATA-SECRET", "DATA-PII")
"""Fixes that write one thing for many, so that rows which differed in it are equal afterwards."""


def _turns(row: Example) -> list[Message]:
    return [*(row.messages or ()), *(row.prompt or ()), *(row.chosen or ()), *(row.rejected or ())]


def with_texts(row: Example, change: Callable[[str], str]) -> Example:
    """The row with every text that a model may see changed; label and entity follow them. The row itself if none is."""
    parts = {
        name: [_with_text(turn, change) for turn in turns]
        for name in ("messages", "prompt", "chosen", "rejected")
        if (turns := getattr(row, name))
    }
    if all(turns == getattr(row, name) for name, turns in parts.items()):
        return row
    meta = row.meta
    label = change(meta.label) if meta.label else meta.label
    entity = change(meta.entity) if meta.entity else meta.entity
    return replace(row, meta=replace(meta, label=label, entity=entity), **parts)


def _with_text(turn: Message, change: Callable[[str], str]) -> Message:
    content = change(turn.content) if turn.content else turn.content
    calls = _changed_calls(turn.tool_calls, change) if turn.tool_calls else turn.tool_calls
    return (
        turn
        if (content, calls) == (turn.content, turn.tool_calls)
        else replace(turn, content=content, tool_calls=calls)
    )


def _changed_calls(calls: list[dict], change: Callable[[str], str]) -> list[dict]:
    """The calls with their JSON text changed, as it is searched; numbers become texts where that is needed."""
    written = _encode(calls).decode()
    changed = change(written)
    if changed == written:
        return calls
    for text in (changed, _quoted(changed)):
        try:
            return _decode_calls(text)
        except (msgspec.DecodeError, msgspec.ValidationError):
            continue
    return calls


def _quoted(text: str) -> str:
    """`{"card":<card number>}` → `{"card":"<card number>"}`."""
    return _BARE.sub(r'"\1"', text)
