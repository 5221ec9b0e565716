"""Preference rows as tokens: one prompt and its answers, cut apart exactly where the model will begin to answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from nlp_skills.data.example import Example, Message
from nlp_skills.data.tokens import answer_ids, prompt_ids, require_tools_shown
from nlp_skills.errors import NotValid, counted


@dataclass(frozen=True)
class PairRow:
    """A prompt with a better and a worse answer, as ids; each answer ends with its end token."""

    prompt_ids: list[int]
    chosen_ids: list[int]
    rejected_ids: list[int]

    @property
    def length(self) -> int:
        """Tokens of the prompt with the longer answer."""
        return len(self.prompt_ids) + max(len(self.chosen_ids), len(self.rejected_ids))

    @property
    def trained(self) -> int:
        """Tokens that the loss sees."""
        return len(self.chosen_ids) + len(self.rejected_ids)


@dataclass(frozen=True)
class MarkedRow:
    """A prompt with an answer that is desirable or not, as ids."""

    prompt_ids: list[int]
    completion_ids: list[int]
    desirable: bool

    @property
    def length(self) -> int:
        """Tokens of the whole row."""
        return len(self.prompt_ids) + len(self.completion_ids)

    @property
    def trained(self) -> int:
        """Tokens that the loss sees."""
        return len(self.completion_ids)


def tokenize_pairs(
    tokenizer: Any,
    examples: Sequence[Example],
    max_length: int,
    *,
    thinking: bool | None = None,
    file: str = "",
    cure: str = "",
) -> list[PairRow]:
    """Pairs as ids. Raises NotValid for a row that is no pair, and for rows that are too long: nothing is cut."""
    require_tools_shown(tokenizer, examples)
    rows = []
    for example in examples:
        if not (example.chosen and example.rejected):
            raise NotValid(
                f"Row {example.meta.id} is no pair of a better and a worse answer, which dpo and orpo learn from."
                " Answers that are marked good or bad are learned with method: kto."
            )
        prompt, chosen = _split(tokenizer, example, example.chosen, thinking)
        rejected = _split(tokenizer, example, example.rejected, thinking)[1]
        rows.append(PairRow(prompt, chosen, rejected))
    require_fit(examples, [row.length for row in rows], max_length, file=file, cure=cure)
    return rows


def tokenize_marked(
    tokenizer: Any,
    examples: Sequence[Example],
    max_length: int,
    *,
    thinking: bool | None = None,
    file: str = "",
    cure: str = "",
) -> list[MarkedRow]:
    """Answers marked good or bad, as ids; of a pair the better one is desirable and the worse one is not.

    Raises NotValid for a row that is neither, and for rows that are too long: nothing is cut.
    """
    require_tools_shown(tokenizer, examples)
    rows: list[MarkedRow] = []
    whose: list[Example] = []
    for example in examples:
        for answer, desirable in _marked(example):
            rows.append(MarkedRow(*_split(tokenizer, example, answer, thinking), desirable))
            whose.append(example)
    require_fit(whose, [row.length for row in rows], max_length, file=file, cure=cure)
    return rows


def _marked(example: Example) -> list[tuple[list[Message], bool]]:
    if example.chosen and example.rejected:
        return [(example.chosen, True), (example.rejected, False)]
    if example.messages and example.meta.label in ("true", "false"):
        return [(example.messages[-1:], example.meta.label == "true")]
    raise NotValid(
        f"Row {example.meta.id} is neither a pair of answers nor an answer that is marked good or bad (label true or"
        " false), which kto learns from."
    )


def _split(
    tokenizer: Any, example: Example, answer: list[Message], thinking: bool | None
) -> tuple[list[int], list[int]]:
    """Ids of the prompt, and of one of its answers up to and with the end token."""
    if len(answer) != 1:
        raise NotValid(
            f"Row {example.meta.id} has an answer of {len(answer)} turns; preferences are learned about one turn."
            " Move the turns that both answers share into the prompt."
        )
    said = Example(meta=example.meta, messages=[*example.context, *answer], tools=example.tools)
    return prompt_ids(tokenizer, said, thinking), answer_ids(tokenizer, said, thinking)


def require_fit(
    examples: Sequence[Example], lengths: Sequence[int], max_length: int, *, file: str = "", cure: str = ""
) -> None:
    """Raises NotValid naming the rows of more than `max_length` tokens (LEN-CUT); `file` and `cure` are words for it."""
    long = [example.meta.id for example, length in zip(examples, lengths, strict=True) if length > max_length]
    if long:
        raise too_long(long, max(lengths), max_length, file=file, cure=cure)


def too_long(
    ids: Sequence[str], longest: int, max_length: int, *, file: str = "", cure: str = ""
) -> NotValid:
    """What is said of these rows; `{longest}` in the cure becomes the number."""
    cure = (cure or "Set max_length to {longest}").replace("{longest}", str(longest))
    return NotValid(
        f"More tokens than max_length {max_length}: {counted(len(ids), 'row')}{file} (the longest has {longest};"
        f" first: {', '.join(ids[:3])}). The answers would be cut (LEN-CUT). {cure}, or shorten the rows."
    )
