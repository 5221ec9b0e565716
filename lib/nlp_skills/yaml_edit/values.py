"""Values changed in the parsed document, and values written anew."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any, TypeAlias

from yaml.reader import Reader

Plain: TypeAlias = Mapping[str, Any]

OTHER_ENDS = re.compile("[\r\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")
"""What ends a line for YAML or for str.splitlines, but not for both as a line feed does."""

_ESCAPED = re.compile(f"\ufeff|{OTHER_ENDS.pattern}|{Reader.NON_PRINTABLE.pattern}")
"""What only double quotes can hold."""


def change_values(text: str, before: Plain, after: Plain) -> str:
    """The text with the values that differ changed in it."""
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


def write_anew(value: Any, column: int) -> str:
    """A value written anew, beginning in that column."""
    from ruamel.yaml import YAML

    editor = YAML()
    editor.width = 4_096
    written = StringIO()
    editor.dump(_written(value), written)
    lines = written.getvalue().splitlines(keepends=True)
    return "".join(" " * column + line if line.strip() else line for line in lines)
