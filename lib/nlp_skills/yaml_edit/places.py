"""Where in a YAML text a value stands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml


def line_of(text: str, location: Sequence[int | str], loader: Any) -> int | None:
    """The 1-based line of a field or list item; of the nearest thing around it where it is not there.

    Parts of the location that the text does not have (the type that a union was read as) are passed over.
    None for an empty text.
    """
    node = yaml.compose(text, Loader=loader)
    if node is None:
        return None
    line = node.start_mark.line
    for part in location:
        if isinstance(node, yaml.MappingNode):
            found = next((pair for pair in node.value if pair[0].value == str(part)), None)
            if found is not None:
                line, node = found[0].start_mark.line, found[1]
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line
    return line + 1
