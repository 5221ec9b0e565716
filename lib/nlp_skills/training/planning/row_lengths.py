"""How long a task's rows are in tokens: what memory and time of a run are worked out from.

Rows are looked at through the base model's own tokenizer and chat template. Of many rows a seeded
sample is, and the longest ones in characters all the same, because one of them decides the memory.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nlp_skills.base_model import local_tokenizer
from nlp_skills.data.example import Example, read_examples
from nlp_skills.data.prompted_tools import with_prompted_tools
from nlp_skills.data.text_encoder import TextEncoder
from nlp_skills.data.tokens import TokenRow, encode_text, render, require_tools_shown, tokenize_all
from nlp_skills.errors import MissingExtra, NotFound, NotReady, NotValid
from nlp_skills.records import Record

SAMPLE = 2000
"""Rows that are tokenised; the mean of so many is known to about 2 % where lengths vary as much as they are long."""
LONGEST = 64
"""Rows that are looked at because no others have more characters."""
BYTES_A_TOKEN = 3.0
"""Where no tokenizer is at hand: English has about 4.5, Chinese 2 to 3 in the vocabularies of today."""


@dataclass(frozen=True)
class RowLength:
    """A row as training sees it: tokens in all, and how many of them are learned.

    Of a pair: the prompt with its longer answer, and the tokens of both answers.
    """

    tokens: int
    trained: int


@dataclass(frozen=True)
class RowLengths:
    """The rows of a split."""

    rows: int
    """In the file."""
    sample: tuple[RowLength, ...]
    """By chance, or all of them."""
    longest: tuple[RowLength, ...]
    """The longest there are, the longest first."""
    counted: str
    """How it was counted, in words."""

    @property
    def mean(self) -> float:
        """Tokens of a row on average."""
        return sum(row.tokens for row in self.sample) / len(self.sample)

    @property
    def mean_trained(self) -> float:
        """Learned tokens of a row on average."""
        return sum(row.trained for row in self.sample) / len(self.sample)

    def summary(self) -> Lengths:
        """As a plan shows it."""
        found = sorted(row.tokens for row in self.sample)
        return Lengths(
            rows=self.rows,
            mean=round(self.mean, 1),
            p50=found[len(found) // 2],
            p95=found[min(len(found) - 1, int(len(found) * 0.95))],
            longest=self.longest[0].tokens,
            trained_share=round(self.mean_trained / self.mean, 4),
            counted=self.counted,
        )


class Lengths(Record):
    """The rows' lengths in tokens, in a few numbers."""

    rows: int
    mean: float
    p50: int
    p95: int
    longest: int
    trained_share: float
    """Of all tokens, those that the loss sees."""
    counted: str


def row_lengths(
    task: Path,
    base_model: str,
    revision: str | None = None,
    *,
    tools_in_prompt: bool = False,
    seed: int = 13,
) -> RowLengths:
    """The lengths of data/train.jsonl for a base model; `tools_in_prompt` as in config.yaml.

    Where its tokenizer is not on this machine they are estimated from the rows' bytes, and `counted` says so.
    Raises NotReady when there are no rows.
    """
    file = task / "data" / "train.jsonl"
    try:
        examples = list(read_examples(file))
    except NotFound:
        examples = []
    if not examples:
        raise NotReady(
            f"{task.name} has no rows to train on yet. Make them with: nlp-skills regenerate-data {task.name}"
        )
    if tools_in_prompt:
        examples = [with_prompted_tools(example) for example in examples]
    sizes = [_size(example) for example in examples]
    by_size = sorted(range(len(examples)), key=lambda i: -sizes[i])[:LONGEST]
    chosen = range(len(examples))
    if len(examples) > SAMPLE:
        chosen = sorted(random.Random(seed).sample(range(len(examples)), SAMPLE))
    wanted = sorted({*by_size, *chosen})
    counted, lengths = _measure([examples[i] for i in wanted], base_model, revision)
    found = dict(zip(wanted, lengths, strict=True))
    looked = (
        f"{len(chosen):,} of {len(examples):,} rows by chance and the longest, "
        if len(chosen) < len(examples)
        else ""
    )
    return RowLengths(
        rows=len(examples),
        sample=tuple(found[i] for i in chosen),
        longest=tuple(sorted((found[i] for i in by_size), key=lambda row: -row.tokens)),
        counted=looked + counted,
    )


def hides_tools(task: Path, base_model: str, revision: str | None = None) -> bool:
    """Whether the rows declare tools and the base model's chat template would not show them.

    False where its tokenizer is not on this machine: nobody knows.
    """
    try:
        examples = read_examples(task / "data" / "train.jsonl")
        first = next((example for example in examples if example.tools and example.messages), None)
        tokenizer = local_tokenizer(base_model, revision).tokenizer if first else None
    except (MissingExtra, NotFound, NotReady, NotValid):
        return False
    try:
        require_tools_shown(tokenizer, [first] if first else [])
    except NotValid:
        return True
    return False


def _measure(
    examples: Sequence[Example], base_model: str, revision: str | None
) -> tuple[str, list[RowLength]]:
    try:
        tokenizer = local_tokenizer(base_model, revision).tokenizer
    except (MissingExtra, NotReady, NotValid):
        said = f"estimated at {BYTES_A_TOKEN:g} bytes a token: the tokenizer of {base_model} is not on this machine"
        return said, [_by_bytes(example) for example in examples]
    encoder = TextEncoder(tokenizer)
    plain = [example for example in examples if example.messages is not None]
    rows = iter(tokenize_all(encoder, plain))
    found = []
    for example in examples:
        row = next(rows) if example.messages is not None else None
        if isinstance(row, TokenRow):
            found.append(RowLength(row.length, row.trained))
        elif example.chosen is not None:
            found.append(_pair(tokenizer, example))
        else:
            found.append(_by_bytes(example))
    return f"with the tokenizer of {base_model}", found


def _pair(tokenizer: object, example: Example) -> RowLength:
    """The longer side of a preference row: the two stand in one batch and are padded to the same length."""
    try:
        prompt = len(encode_text(tokenizer, render(tokenizer, example.context, example.tools, ask=True)))
    except NotValid:
        return _by_bytes(example)
    answers = [
        sum(len(encode_text(tokenizer, turn.content or "")) + 1 for turn in side)
        for side in (example.chosen or [], example.rejected or [])
    ]
    return RowLength(prompt + max(answers), sum(answers))


def _by_bytes(example: Example) -> RowLength:
    answer = len(example.output_text.encode()) / BYTES_A_TOKEN
    return RowLength(max(1, round(_size(example) / BYTES_A_TOKEN)), max(1, round(answer)))


def _size(example: Example) -> int:
    """Bytes of what the model sees; a pair's longer side."""
    turns = [*example.context, *((example.chosen or []) if example.messages is None else [example.answer])]
    return sum(len((turn.content or "").encode()) + 200 * len(turn.tool_calls or []) + 12 for turn in turns)
