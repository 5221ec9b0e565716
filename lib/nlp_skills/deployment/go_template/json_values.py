"""What the tojson filter of transformers makes of a value of the request."""

from __future__ import annotations

import json
from typing import Any

from nlp_skills.deployment.go_template.formulas import lifted
from nlp_skills.deployment.go_template.questions import is_known
from nlp_skills.deployment.go_template.values import (
    Choice,
    Items,
    Node,
    NotTranslatable,
    Out,
    Text,
    Thing,
    When,
)


def to_json(value: Any, options: dict[str, Any], level: int = 0) -> Any:
    """What the tojson filter of transformers makes of the value."""
    indent = options.get("indent") or 0
    if set(options) - {"indent", "ensure_ascii"} or options.get("ensure_ascii"):
        raise NotTranslatable(f"it writes JSON with {', '.join(options)}")
    if isinstance(value, Choice):
        return lifted(lambda one: to_json(one, options, level), value)
    if is_known(value):
        return json.dumps(value, ensure_ascii=False, indent=indent or None)
    if isinstance(value, Text):
        nodes = [
            json.dumps(n, ensure_ascii=False)[1:-1] if isinstance(n, str) else _escaped(n)
            for n in value.nodes
        ]
        return Text(('"', *nodes, '"'))
    kind = {"tool": "tool", "function": "function", "parameters": "parameters", "property": "property"}
    if isinstance(value, Items) and not value.mapping:
        return Text((Out(value.go, f"list_{value.kind if value.kind in kind else 'any'}_{indent}_{level}"),))
    if isinstance(value, Items) and value.kind == "property":
        return Text((Out(value.go, f"properties_{indent}_{level}"),))
    if isinstance(value, Thing) and value.kind == "called" and not indent:
        name, called = to_json(Text((Out(f"{value.go}.Name"),)), {}), Out(f"{value.go}.Arguments", "map_0_0")
        return Text(('{"name": ', *name.nodes, ', "arguments": ', called, "}"))
    if isinstance(value, Items | Thing):
        writer = "map" if isinstance(value, Items) else kind.get(value.kind, "any")
        return Text((Out(value.go, f"{writer}_{indent}_{level}"),))
    raise NotTranslatable("it writes a value of the request as JSON that Go does not have")


def _escaped(node: Node) -> Node:
    if isinstance(node, Out) and not node.by:
        return Out(node.go, "escaped")
    if isinstance(node, When):
        return When(node.condition, tuple(map(_escaped, node.then)), tuple(map(_escaped, node.otherwise)))
    raise NotTranslatable("it writes a text that it has changed as JSON")
