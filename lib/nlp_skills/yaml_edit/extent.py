"""Which lines of a YAML text belong to an item of a list, or to any other node."""

from __future__ import annotations

from collections.abc import Sequence

import yaml


def item_lines(lines: Sequence[str], node: yaml.SequenceNode) -> list[range] | None:
    """The lines of each item with the comments that belong to it; None where they are not lines of its own."""
    column = node.start_mark.column
    first = [_dash(lines, item.start_mark.line, column) for item in node.value]
    last = [last_line(item) for item in node.value]
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


def last_line(node: yaml.Node) -> int:
    """The last line that a node has content on."""
    if isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        inner = node.value[-1]
        return last_line(inner[1] if isinstance(inner, tuple) else inner)
    end = node.end_mark
    return end.line - 1 if end.column == 0 and end.line > node.start_mark.line else end.line
