"""Edits of whole lines: fields that go, blocks of text that change, items of a list that come, go or move."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from nlp_skills.yaml_edit.extent import item_lines, last_line
from nlp_skills.yaml_edit.values import OTHER_ENDS, Plain, write_anew


@dataclass(frozen=True)
class _Edit:
    """Lines that give their place to others."""

    start: int
    stop: int
    text: str
    path: tuple[str | int, ...]
    value: Any
    """What the text says at that path afterwards."""


def edit_lines(text: str, before: Plain, after: Plain) -> tuple[str, Plain] | None:
    """The text and its value after one edit that is one of whole lines; None where there is none left.

    The parsed document would do it as well, but there a comment hangs on what stands before it, and goes with it.
    """
    if OTHER_ENDS.search(text):
        return None  # lines of the parser that are not lines here
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except yaml.YAMLError:
        return None
    lines = text.splitlines(keepends=True)
    if lines and not lines[-1].endswith("\n"):
        lines[-1] += "\n"
    for edit in _edits(lines, root, before, after, ()):
        changed = "".join([*lines[: edit.start], edit.text, *lines[edit.stop :]])
        return changed, _with_value(before, edit.path, edit.value)
    return None


def _edits(
    lines: list[str], node: Any, before: Any, after: Any, path: tuple[str | int, ...]
) -> Iterator[_Edit]:
    """Fields that go, blocks of text that change, lists whose items come, go or move: the outer ones first."""
    if isinstance(node, yaml.MappingNode) and isinstance(before, dict) and isinstance(after, dict):
        if not node.flow_style:
            yield from _field_edits(lines, node, before, after, path)
        for key, value in node.value:
            name = key.value
            if name in before and name in after:
                yield from _edits(lines, value, before[name], after[name], (*path, name))
    if not isinstance(node, yaml.SequenceNode) or not isinstance(before, list) or not isinstance(after, list):
        return
    if len(node.value) != len(before):
        return
    if _pair(before, after) == list(range(len(before))):
        for index, item in enumerate(node.value):
            yield from _edits(lines, item, before[index], after[index], (*path, index))
    elif before and after and not node.flow_style:
        yield from _list_edits(lines, node, before, after, path)


def _field_edits(
    lines: list[str],
    node: yaml.MappingNode,
    before: Mapping[str, Any],
    after: Mapping[str, Any],
    path: tuple[str | int, ...],
) -> Iterator[_Edit]:
    for key, value in node.value:
        name, start, column = key.value, key.start_mark.line, key.start_mark.column
        stop, prefix = last_line(value) + 1, lines[start][:column]
        if name in before and name not in after and len(node.value) > 1 and not prefix.strip(" "):
            left = {other: inner for other, inner in before.items() if other != name}
            yield _Edit(start, stop, "", path, left)
        is_block = isinstance(value, yaml.ScalarNode) and value.style in ("|", ">")
        if is_block and name in before and name in after and before[name] != after[name]:
            anew = prefix + write_anew({name: after[name]}, column)[column:]
            yield _Edit(start, stop, anew, (*path, name), after[name])


def _list_edits(
    lines: list[str],
    node: yaml.SequenceNode,
    before: list[Any],
    after: list[Any],
    path: tuple[str | int, ...],
) -> Iterator[_Edit]:
    blocks = item_lines(lines, node)
    if blocks is None:
        return
    texts = ["".join(lines[block.start : block.stop]) for block in blocks]
    column = node.start_mark.column
    pairs = list(zip(_pair(before, after), after, strict=True))
    text = "".join(write_anew([value], column) if old is None else texts[old] for old, value in pairs)
    value = [value if old is None else before[old] for old, value in pairs]
    yield _Edit(blocks[0].start, blocks[-1].stop, text, path, value)


def _pair(before: Sequence[Any], after: Sequence[Any]) -> list[int | None]:
    """For each item of `after` which of `before` it was: the one of its name, else the equal one; None: it is new.

    In a list that is as long as before, one that has no such item was the one in its place, if that is gone.
    """
    free: dict[str, list[int]] = {}
    for index, value in enumerate(before):
        free.setdefault(_name(value), []).append(index)
    found = [free[name].pop(0) if free.get(name := _name(value)) else None for value in after]
    if len(before) == len(after):
        gone = {index for rest in free.values() for index in rest}
        found = [index if old is None and index in gone else old for index, old in enumerate(found)]
    return found


def _name(item: Any) -> str:
    return f"name {item['name']!r}" if isinstance(item, Mapping) and "name" in item else repr(item)


def _with_value(value: Any, path: tuple[str | int, ...], new: Any) -> Any:
    """A copy with another value at that place."""
    if not path:
        return new
    first, *rest = path
    if isinstance(value, Mapping):
        return {
            key: _with_value(old, tuple(rest), new) if key == first else old for key, old in value.items()
        }
    return [_with_value(old, tuple(rest), new) if index == first else old for index, old in enumerate(value)]
