"""The entities that an answer names, whatever way it writes them.

[{"text": "Ada", "type": "PER"}]   with "start" and "end" too; the words of DATA-SPAN (data/checks/spans.py)
[[0, 3, "PER"]]                    offsets and type, as Doccano and spaCy export them
{"PER": ["Ada"], "ORG": []}        type → texts; also under one key: {"entities": …}
["Ada", "Acme"]                    texts without a type
B-PER I-PER O                      a tag a token (IOB1, IOB2, IOBES), or ["B-PER", …], or lines of token and tag
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from nlp_skills.evaluation.metrics.json_values import NOT_JSON, read_json

_STARTS = ("start", "begin", "start_offset", "start_char", "char_start", "start_index")
_ENDS = ("end", "stop", "end_offset", "end_char", "char_end", "end_index")
_TEXTS = ("text", "span", "mention", "surface", "word", "value", "name")
_KINDS = ("label", "type", "tag", "category", "entity_type", "entity_group")
_BESIDE = ("entity", "id", "score", "confidence", "probability")
"""What else an entity may carry; an object with other fields is a record and no entity."""
_WRAPPERS = ("entities", "spans", "annotations", "result", "results")

_TAG = re.compile(r"O|[BIES](-\S+)?")


class Entity(NamedTuple):
    """A part of a text and what it is called; without a type it is the empty one."""

    type: str
    text: str
    """As it is written, runs of white space as one blank; empty where only offsets are given."""
    start: int | None = None
    """The first character, or token of tags."""
    end: int | None = None
    """The one behind the last; or the last, where the rows count so."""


def read_entities(answer: str) -> list[Entity] | None:
    """The entities of an answer; None where it is not written in one of these ways, an empty list where it names none."""
    value = read_json(answer)
    if value is not NOT_JSON:
        return _from_value(value)
    tags = _read_tags(answer)
    return _from_tags(tags) if tags else None


def place_of(entity: Entity, *, with_offsets: bool) -> Any:
    """Its offsets, or its text; without `with_offsets` one that has offsets alone is told by these all the same."""
    by_offsets = with_offsets or (not entity.text and entity.start is not None)
    return (entity.start, entity.end) if by_offsets else entity.text


def strict_keys(
    entities: list[Entity], *, with_offsets: bool, typed: bool = True
) -> Counter[tuple[Any, ...]]:
    """What has to be equal: type and offsets, or type and text, which counts as often as it is named."""
    keys = Counter((e.type if typed else "", place_of(e, with_offsets=with_offsets)) for e in entities)
    return Counter(dict.fromkeys(keys, 1)) if with_offsets else keys  # a place can be named once only


def have_offsets(expected: list[Entity], predicted: list[Entity]) -> bool:
    """Whether all entities of both sides say where they stand."""
    return all(e.start is not None for e in (*expected, *predicted))


def _from_value(value: Any) -> list[Entity] | None:
    if isinstance(value, dict):
        wrapped = next((value[key] for key in _WRAPPERS if key in value and len(value) == 1), None)
        return _from_value(wrapped) if wrapped is not None else _by_type(value)
    if not isinstance(value, list):
        return None
    if value and all(isinstance(item, str) for item in value):
        if all(_TAG.fullmatch(item) for item in value):
            return _from_tags(value)
        return [Entity("", _plain(item)) for item in value]
    found = [_entity(item) for item in value]
    return None if None in found else [entity for entity in found if entity is not None]


def _by_type(value: dict[str, Any]) -> list[Entity] | None:
    """An object of types, each with its texts."""
    if not all(
        isinstance(texts, list) and all(isinstance(t, str) for t in texts) for texts in value.values()
    ):
        return None
    return [Entity(kind, _plain(text)) for kind, texts in value.items() for text in texts]


def _entity(item: Any) -> Entity | None:
    if isinstance(item, list):
        return _from_triple(item)
    if not isinstance(item, dict) or not item.keys() <= {*_STARTS, *_ENDS, *_TEXTS, *_KINDS, *_BESIDE}:
        return None
    text, kind = _first(item, _TEXTS, str), _first(item, _KINDS, str)
    start, end = (_first(item, names, int) for names in (_STARTS, _ENDS))
    if start is None or end is None:
        start = end = None
    if text is None and start is None:
        text = _first(item, ("entity",), str)
    elif kind is None:
        kind = _first(item, ("entity", "name") if "value" in item else ("entity",), str)
    if text is None and (kind is None or start is None):
        return None
    return Entity(kind or "", _plain(text or ""), start, end)


def _from_triple(item: list[Any]) -> Entity | None:
    """Offsets and type, or text and type, as pairs and triples have them."""
    match item:
        case [int(start), int(end), str(kind)] if not isinstance(start, bool) and not isinstance(end, bool):
            return Entity(kind, "", start, end)
        case [str(text), str(kind)]:
            return Entity(kind, _plain(text))
        case _:
            return None


def _first(item: dict[str, Any], names: tuple[str, ...], kind: type) -> Any:
    return next((item[name] for name in names if type(item.get(name)) is kind), None)


def _plain(text: str) -> str:
    return " ".join(text.split())


def _read_tags(answer: str) -> list[str] | None:
    """The tags of a text: one after the other, or at the end of each line behind its token."""
    plain = answer.split()
    if plain and all(_TAG.fullmatch(tag) for tag in plain):
        return plain
    lines = [line.split() for line in answer.splitlines() if line.strip()]
    last = [line[-1] for line in lines if len(line) > 1]
    return last if last and len(last) == len(lines) and all(map(_TAG.fullmatch, last)) else None


def _from_tags(tags: list[str]) -> list[Entity]:
    """Chunks as conlleval and seqeval cut them: whatever the scheme, a change of type begins a new one."""
    return [Entity(kind, "", start, end) for kind, start, end in _chunks(tags)]


def _chunks(tags: list[str]) -> Iterator[tuple[str, int, int]]:
    start, before, kind_before = 0, "O", ""
    for place, tag in enumerate([*tags, "O"]):
        mark, kind = tag[0], tag[2:] or ("_" if tag != "O" else "")
        inside = before != "O"
        ends = inside and (before in "ES" or mark in "BSO" or kind != kind_before)
        if ends:
            yield kind_before, start, place
        if mark != "O" and (ends or not inside):
            start = place
        before, kind_before = mark, kind
