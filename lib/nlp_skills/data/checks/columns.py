"""A block of plain conversations, column by column: most data are nothing else, and it takes half the time.

    {system, user, assistant}, {user, assistant}, … → by their roles: contents[0::3], contents[1::3], contents[2::3]

Every turn is text and nothing else, every row ends with an answer, and every line is written as we
write it. Rows with the same roles are taken together, so hardly any Python code runs for a single row.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from itertools import chain, repeat
from typing import TYPE_CHECKING, Literal, NamedTuple

import msgspec

from nlp_skills.data.checks.blank import blank_places
from nlp_skills.data.checks.faults import ORDER, Fault, blank_turn
from nlp_skills.data.checks.identities import (
    about_identity,
    digest,
    digest_64,
    input_seed,
    input_seeds,
    text_identity,
)
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


class _Columns(NamedTuple):
    """What is known of rows with the same roles; the lists run in parallel."""

    lengths: Sequence[int]
    inputs: Sequence[bytes]
    answers: Sequence[int]
    faults: list[Fault]
    """Their lines are places in the lists."""


_decode_lines = msgspec.json.Decoder(_Row).decode_lines
_encode_lines = msgspec.json.Encoder().encode_lines
_LETTERS = {"system": "s", "user": "u", "assistant": "a", "tool": "t"}
_ROLES = {letter: role for role, letter in _LETTERS.items()}


def add_columns(batch: Batch, number: int, whole: bytes) -> int:
    """Put the lines, the first of which has this number, into the batch: how many they are.

    0, and nothing is done, if they are no such rows. What becomes the same bytes again was one row a line,
    in no other form than ours, and has no key twice.
    """
    try:
        rows = _decode_lines(whole)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return 0
    conversations = [row.messages for row in rows]
    groups = _by_roles(conversations) if rows else None
    if groups is None or _encode_lines(rows) != whole:
        return 0
    batch.line_up(number)
    are_ascii = whole.isascii() and b"\x7f" not in whole  # DEL is ASCII, and not seen
    if len(groups) == 1:
        [roles] = groups
        found = _columns(roles, conversations, are_ascii=are_ascii)
    else:
        found = _put_together(groups, conversations, are_ascii=are_ascii)
    first, metas = len(batch), [row.meta for row in rows]
    if any(meta.entity for meta in metas):
        about = (
            about_identity(meta.entity, turns[-2].content if len(turns) > 1 else None)
            for meta, turns in zip(metas, conversations, strict=True)
        )
        batch.texts += [(first + place, text) for place, text in enumerate(about) if text is not None]
    batch.lengths += found.lengths
    batch.length_counts.update(found.lengths)
    batch.inputs += found.inputs
    batch.answers.extend(found.answers)
    batch.faults += [fault._replace(line=number + fault.line) for fault in found.faults]
    _add_meta(batch, metas)
    return len(rows)


def _add_meta(batch: Batch, metas: list[Meta]) -> None:
    labels = [meta.label for meta in metas]
    batch.labels += labels
    batch.label_counts.update(labels)
    batch.groups += [meta.group for meta in metas]
    sources = [meta.source for meta in metas]
    if sources.count(sources[0]) == len(sources):
        batch.sources[sources[0]] += len(sources)
    else:
        batch.sources.update(sources)


def _by_roles(conversations: list[list[_Turn]]) -> dict[str, list[int]] | None:
    """The roles of a conversation as letters (`sua`) → places of such; None where one has no answer at its end."""
    roles = [turn.role for turn in chain.from_iterable(conversations)]
    widths = list(map(len, conversations))
    width = widths[0]
    if widths.count(width) == len(widths) and roles == roles[:width] * len(widths):
        groups = {"".join(map(_LETTERS.__getitem__, roles[:width])): []}
    else:
        letters = "".join(map(_LETTERS.__getitem__, roles))
        groups, end = {}, 0
        for place, width in enumerate(widths):
            start, end = end, end + width
            groups.setdefault(letters[start:end], []).append(place)
    return groups if all(kind[1:].endswith("a") for kind in groups) else None


def _put_together(
    groups: dict[str, list[int]], conversations: list[list[_Turn]], *, are_ascii: bool
) -> _Columns:
    """The columns of all groups, in the order of the rows."""
    rows = len(conversations)
    lengths, inputs, answers = [0] * rows, [b""] * rows, array("Q", bytes(8 * rows))
    faults: list[Fault] = []
    for roles, places in groups.items():
        found = _columns(roles, [conversations[place] for place in places], are_ascii=are_ascii)
        for place, length, input, answer in zip(
            places, found.lengths, found.inputs, found.answers, strict=True
        ):
            lengths[place], inputs[place], answers[place] = length, input, answer
        faults += [fault._replace(line=places[fault.line]) for fault in found.faults]
    return _Columns(lengths, inputs, answers, sorted(faults, key=lambda fault: fault.line))


def _columns(roles: str, conversations: list[list[_Turn]], *, are_ascii: bool) -> _Columns:
    """The columns of conversations that all have these roles."""
    width = len(roles)
    contents = [turn.content for turn in chain.from_iterable(conversations)]
    spoken = [list(map(len, contents[turn::width])) for turn in range(width - 1) if roles[turn] != "s"]
    lengths = spoken[0] if len(spoken) == 1 else [sum(column) for column in zip(*spoken, strict=True)]
    lengths = lengths or [0] * len(conversations)
    tails = map(str.encode, contents[width - 2 :: width])
    inputs = list(map(digest, tails, _seeds(roles, conversations, contents)))
    if not all(lengths):
        for place, length in enumerate(lengths):
            if not length:
                inputs[place] = text_identity(conversations[place])
    answers = list(map(digest_64, map(str.encode, contents[width - 1 :: width])))
    return _Columns(
        lengths, inputs, answers, _faults(roles, len(conversations), contents, are_ascii=are_ascii)
    )


def _seeds(roles: str, conversations: list[list[_Turn]], contents: list[str]) -> Iterable[int]:
    """What stands before the last question, by row."""
    width, asker = len(roles), _ROLES[roles[-2]]
    if width == 2:
        return repeat(input_seed([], asker))
    if width > 3:
        return input_seeds([conversation[:-2] for conversation in conversations], asker)
    heads = contents[0::3]
    first: Literal["system", "user", "assistant", "tool"] = _ROLES[roles[0]]  # pyright: ignore[reportAssignmentType]
    if heads.count(heads[0]) == len(heads):
        return repeat(input_seed([_Turn(first, heads[0])], asker))
    seeds = {head: input_seed([_Turn(first, head)], asker) for head in set(heads)}
    return [seeds[head] for head in heads]


def _faults(roles: str, rows: int, contents: list[str], *, are_ascii: bool) -> list[Fault]:
    problem = order_problem(tuple(_ROLES[letter] for letter in roles))
    faults = [Fault(ORDER, place, problem) for place in range(rows)] if problem else []
    for at in blank_places(contents, are_ascii=are_ascii):
        place, turn = divmod(at, len(roles))
        if roles[turn] in "ua":
            learned = turn == len(roles) - 1
            faults.append(blank_turn(place, turn + 1, _ROLES[roles[turn]], learned=learned))
    return faults
