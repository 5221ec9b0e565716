"""Changing single values of a YAML file that a person wrote: comments, order, quotes and blocks stay.

edit_yaml(text, {"last_run": None}, {"last_run": "2026-11-21"})   →   the same text, one value changed

Fields that go and items of a list that come, go or move are edited as lines, an item with the comments above it;
values are changed in the parsed document.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from typing import Any, TypeAlias

import yaml
from yaml.reader import Reader

Plain: TypeAlias = Mapping[str, Any]

_OTHER_ENDS = re.compile("[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
"""What ends a line for YAML or for str.splitlines, but not for both as a line feed does."""

_ESCAPED = re.compile(f"\ufeff|{_OTHER_ENDS.pattern}|{Reader.NON_PRINTABLE.pattern}")
"""What only double quotes can hold."""


def edit_yaml(text: str, before: Plain, after: Plain) -> str:
    """The text with the differences between two plain values worked in; what is equal is not touched.

    `before` is what the text says, perhaps with defaults that it leaves out, `after` what it shall say. The text
    keeps its line ends.
    """
    windows = text.count("\r\n") > text.count("\n") - text.count("\r\n")
    text = text.replace("\r\n", "\n")
    while (changed := _edit_lines(text, before, after)) is not None:
        text, before = changed
    if before != after:
        text = _change_values(text, before, after)
    return text.replace("\n", "\r\n") if windows else text


def _change_values(text: str, before: Plain, after: Plain) -> str:
    from ruamel.yaml import YAML
    from ruamel.yaml.util import load_yaml_guess_indent

    _, indent, block = load_yaml_guess_indent(text)
    editor = YAML()
    editor.preserve_quotes = True
    editor.width = 4_096  # a long line of the user's stays one line
    editor.indent(mapping=2, sequence=indent or 2, offset=block or 0)
    document = editor.load(text)
    _change_mapping(document, before, after)
    written = StringIO()
    editor.dump(document, written)
    return written.getvalue()


def _change_mapping(place: dict[str, Any], before: Plain, after: Plain) -> None:
    for key in before.keys() - after.keys():
        place.pop(key, None)
    for key, value in after.items():
        if key in before and before[key] == value:
            continue
        there, was = place.get(key), before.get(key)
        if isinstance(there, dict) and isinstance(was, Mapping) and isinstance(value, Mapping):
            _change_mapping(there, was, value)
        elif isinstance(there, list) and isinstance(was, Sequence) and isinstance(value, Sequence):
            _change_list(there, was, value)
        else:
            place[key] = _written(value)


def _change_list(place: list[Any], before: Sequence[Any], after: Sequence[Any]) -> None:
    if len(place) != len(before):
        place[:] = [_written(value) for value in after]
        return
    for index, (was, value) in enumerate(zip(before, after, strict=False)):
        if was == value:
            continue
        if isinstance(place[index], dict) and isinstance(was, Mapping) and isinstance(value, Mapping):
            _change_mapping(place[index], was, value)
        else:
            place[index] = _written(value)
    del place[len(after) :]
    place.extend(_written(value) for value in after[len(before) :])


def _written(value: Any) -> Any:
    """A value as it is written anew: text of several lines as a block."""
    from ruamel.yaml.comments import CommentedMap
    from ruamel.yaml.scalarstring import DoubleQuotedScalarString, LiteralScalarString

    if isinstance(value, Mapping):
        return CommentedMap({key: _written(inner) for key, inner in value.items()})
    if isinstance(value, str):
        if _ESCAPED.search(value):
            return DoubleQuotedScalarString(value)
        return LiteralScalarString(value) if "\n" in value.strip("\n") else value
    return [_written(inner) for inner in value] if isinstance(value, Sequence) else value


@dataclass(frozen=True)
class _Edit:
    """Lines that give their place to others."""

    start: int
    stop: int
    text: str
    path: tuple[str | int, ...]
    value: Any
    """What the text says at that path afterwards."""


def _edit_lines(text: str, before: Plain, after: Plain) -> tuple[str, Plain] | None:
    """The text and its value after one edit that is one of whole lines; None where there is none left.

    The parsed document would do it as well, but there a comment hangs on what stands before it, and goes with it.
    """
    if _OTHER_ENDS.search(text):
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
        stop, prefix = _last_line(value) + 1, lines[start][:column]
        if name in before and name not in after and len(node.value) > 1 and not prefix.strip(" "):
            left = {other: inner for other, inner in before.items() if other != name}
            yield _Edit(start, stop, "", path, left)
        is_block = isinstance(value, yaml.ScalarNode) and value.style in ("|", ">")
        if is_block and name in before and name in after and before[name] != after[name]:
            anew = prefix + _anew({name: after[name]}, column)[column:]
            yield _Edit(start, stop, anew, (*path, name), after[name])


def _list_edits(
    lines: list[str],
    node: yaml.SequenceNode,
    before: list[Any],
    after: list[Any],
    path: tuple[str | int, ...],
) -> Iterator[_Edit]:
    blocks = _blocks(lines, node)
    if blocks is None:
        return
    texts = ["".join(lines[block.start : block.stop]) for block in blocks]
    column = node.start_mark.column
    pairs = list(zip(_pair(before, after), after, strict=True))
    text = "".join(_anew([value], column) if old is None else texts[old] for old, value in pairs)
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


def _blocks(lines: Sequence[str], node: yaml.SequenceNode) -> list[range] | None:
    """The lines of each item with the comments that belong to it; None where they are not lines of its own."""
    column = node.start_mark.column
    first = [_dash(lines, item.start_mark.line, column) for item in node.value]
    last = [_last_line(item) for item in node.value]
    if any(dash is None for dash in first):
        return None
    dashes = [dash for dash in first if dash is not None]
    blocks: list[range] = []
    for index, dash in enumerate(dashes):
        start = blocks[-1].stop if blocks else dash
        while not blocks and start and lines[start - 1].lstrip().startswith("#"):
            start -= 1  # above the first item stands the list's key, so the comment is not another item's
        stop = last[index] + 1
        while stop < len(lines) and _is_comment_behind(lines[stop], column):
            stop += 1  # indented like what is inside the item
        blocks.append(range(start, stop))
    return blocks


def _is_comment_behind(line: str, column: int) -> bool:
    return line.lstrip(" ").startswith("#") and len(line) - len(line.lstrip(" ")) > column


def _dash(lines: Sequence[str], line: int, column: int) -> int | None:
    """The line of an item's dash, where nothing but spaces stands before it."""
    while line >= 0:
        before, rest = lines[line][:column], lines[line][column:]
        if rest.startswith("-") and not before.strip(" "):
            return line
        if lines[line].strip() and not lines[line].lstrip().startswith("#"):
            return None
        line -= 1
    return None


def _last_line(node: yaml.Node) -> int:
    """The last line that a node has content on."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        inner = node.value[-1]
        return _last_line(inner[1] if isinstance(inner, tuple) else inner)
    end = node.end_mark
    return end.line - 1 if end.column == 0 and end.line > node.start_mark.line else end.line


def _anew(value: Any, column: int) -> str:
    """A value written anew, beginning in that column."""
    from ruamel.yaml import YAML

    editor = YAML()
    editor.width = 4_096
    written = StringIO()
    editor.dump(_written(value), written)
    lines = written.getvalue().splitlines(keepends=True)
    return "".join(" " * column + line if line.strip() else line for line in lines)


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
