"""A block of rows of one kind, column by column: most data are nothing else, and it takes half the time.

    [{system, user, assistant}, {system, user, assistant}, …] → contents[0::3], contents[1::3], contents[2::3]

All rows have the same roles in the same order, every turn is text and nothing else, and every line
is written as we write it. Then hardly any Python code runs for a single row.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

import msgspec

from nlp_skills.data.checks.blank import blank_places
from nlp_skills.data.checks.faults import ORDER, Fault, blank_turn
from nlp_skills.data.checks.identities import digest, digest_64, input_seed, text_identity
from nlp_skills.data.checks.roles import order_problem
from nlp_skills.data.example import Meta

if TYPE_CHECKING:
    from nlp_skills.data.checks.reading import Batch


class _Turn(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    role: Literal["system", "user", "assistant", "tool"]
    content: str


class _Row(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    meta: Meta
    messages: list[_Turn]


_decode = msgspec.json.Decoder(_Row).decode
_encode_lines = msgspec.json.Encoder().encode_lines


def add_uniform(batch: Batch, number: int, whole: bytes, lines: Sequence[bytes | None]) -> bool:
    """Put the lines, the first of which has this number, into the batch; False, and nothing done, if they are no such rows."""
    try:
        rows = list(map(_decode, lines))  # pyright: ignore[reportArgumentType]
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    conversations = [row.messages for row in rows]
    width = len(conversations[0])
    if width < 2 or list(map(len, conversations)) != [width] * len(rows):
        return False
    turns = [turn for conversation in conversations for turn in conversation]
    roles = [turn.role for turn in turns]
    pattern = roles[:width]
    if pattern[-1] != "assistant" or roles != pattern * len(rows) or _encode_lines(rows) != whole:
        return False
    _find_faults(batch, number, tuple(pattern), len(rows), [turn.content for turn in turns])
    batch.line_up(number)
    _add_columns(batch, pattern, conversations, [turn.content for turn in turns])
    metas = [row.meta for row in rows]
    batch.labels += [meta.label for meta in metas]
    batch.groups += [meta.group for meta in metas]
    sources = [meta.source for meta in metas]
    if sources.count(sources[0]) == len(sources):
        batch.sources[sources[0]] += len(sources)
    else:
        batch.sources.update(sources)
    return True


def _find_faults(batch: Batch, number: int, pattern: tuple[str, ...], rows: int, contents: list[str]) -> None:
    if problem := order_problem(pattern):
        batch.faults += [Fault(ORDER, line, problem) for line in range(number, number + rows)]
    for place in blank_places(contents):
        row, turn = divmod(place, len(pattern))
        if pattern[turn] in ("user", "assistant"):
            last = turn == len(pattern) - 1
            batch.faults.append(blank_turn(number + row, turn + 1, pattern[turn], learned=last))


def _add_columns(
    batch: Batch, pattern: list[str], conversations: list[list[_Turn]], contents: list[str]
) -> None:
    width = len(pattern)
    spoken = [list(map(len, contents[turn::width])) for turn in range(width - 1) if pattern[turn] != "system"]
    lengths = spoken[0] if len(spoken) == 1 else [sum(column) for column in zip(*spoken, strict=True)]
    lengths = lengths or [0] * len(conversations)
    tails = map(str.encode, contents[width - 2 :: width])
    inputs = list(map(digest, tails, _seeds(pattern, conversations, contents)))
    if not all(lengths):
        for row, length in enumerate(lengths):
            if not length:
                inputs[row] = text_identity(conversations[row])
    batch.lengths += lengths
    batch.inputs += inputs
    batch.answers.extend(map(digest_64, map(str.encode, contents[width - 1 :: width])))


def _seeds(pattern: list[str], conversations: list[list[_Turn]], contents: list[str]) -> list[int]:
    """What stands before the last question, by row."""
    width, asker = len(pattern), pattern[-2]
    if width == 2:
        return [input_seed([], asker)] * len(conversations)
    if width > 3:
        return [input_seed(conversation[:-2], asker) for conversation in conversations]
    heads = contents[0::3]
    seeds = {head: input_seed([_Turn(pattern[0], head)], asker) for head in set(heads)}  # pyright: ignore[reportArgumentType]
    return [seeds[head] for head in heads]
