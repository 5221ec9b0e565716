"""Changing single values of a YAML file that a person wrote: comments, order, quotes and blocks stay.

edit_yaml(text, {"last_run": None}, {"last_run": "2026-11-21"})   →   the same text, one value changed
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import StringIO
from typing import Any


def edit_yaml(text: str, before: Mapping[str, Any], after: Mapping[str, Any]) -> str:
    """The text with the differences between two plain values worked in; what is equal is not touched.

    `before` is what the text says, perhaps with defaults that it leaves out, `after` what it shall say.
    """
    from ruamel.yaml import YAML
    from ruamel.yaml.util import load_yaml_guess_indent

    _, indent, block = load_yaml_guess_indent(text)
    yaml = YAML()
    yaml.preserve_quotes = True
    yaml.width = 4_096  # a long line of the user's stays one line
    yaml.indent(mapping=2, sequence=indent or 2, offset=block or 0)
    document = yaml.load(text)
    _change_mapping(document, before, after)
    written = StringIO()
    yaml.dump(document, written)
    return written.getvalue()


def _change_mapping(place: dict[str, Any], before: Mapping[str, Any], after: Mapping[str, Any]) -> None:
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
    from ruamel.yaml.scalarstring import LiteralScalarString

    if isinstance(value, Mapping):
        return CommentedMap({key: _written(inner) for key, inner in value.items()})
    if isinstance(value, str):
        return LiteralScalarString(value) if "\n" in value.strip("\n") else value
    return [_written(inner) for inner in value] if isinstance(value, Sequence) else value
