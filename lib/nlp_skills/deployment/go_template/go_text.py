"""Output as the text of a Go template."""

from __future__ import annotations

import re
from collections.abc import Iterator

from nlp_skills.deployment.go_template.formulas import negate
from nlp_skills.deployment.go_template.go_values import condition
from nlp_skills.deployment.go_template.values import Each, Jump, Node, Not, Out, Set, When
from nlp_skills.deployment.go_template.writers import Order, definition, literal


def go_text(nodes: tuple[Node, ...], order: Order) -> str:
    """The template, with the templates that it calls before it."""
    body = _body(nodes, "")
    found: dict[str, str] = {}
    wanted = sorted({node.by for node in _outputs(nodes) if node.by})
    while wanted:
        name = wanted.pop(0)
        if name not in found:
            found[name], called = definition(name, order)
            wanted += called
    return "".join(found.values()) + body


def _outputs(nodes: tuple[Node, ...]) -> Iterator[Out]:
    for node in nodes:
        if isinstance(node, Out):
            yield node
        elif isinstance(node, When):
            yield from _outputs((*node.then, *node.otherwise))
        elif isinstance(node, Each):
            yield from _outputs(node.body)


def _body(nodes: tuple[Node, ...], dot: str) -> str:
    joined: list[Node] = []
    for node in nodes:
        if isinstance(node, str) and joined and isinstance(joined[-1], str):
            joined[-1] += node
        else:
            joined.append(node)
    return "".join(literal(node) if isinstance(node, str) else _node(node, dot) for node in joined)


def _node(node: Node, dot: str) -> str:
    if isinstance(node, Out):
        go = _seen(node.go, dot)
        called = f"({go})" if " " in go else go
        return f'{{{{ template "{node.by}" {called} }}}}' if node.by else f"{{{{ {go} }}}}"
    if isinstance(node, When):
        return f"{{{{ {_branches(node, dot)}{{{{ end }}}}"
    if isinstance(node, Each):
        over = _seen(node.over, dot)
        return f"{{{{ range ${node.index}, ${node.element} := {over} }}}}{_body(node.body, node.element)}{{{{ end }}}}"
    if isinstance(node, Set):
        return f"{{{{ ${node.name} {':=' if node.declared else '='} {_seen(node.go, dot)} }}}}"
    if isinstance(node, Jump):
        return f"{{{{ {node.word} }}}}"
    return literal(node)


def _branches(node: When, dot: str) -> str:
    """`if … }}…{{ else if … }}…` without its end."""
    if not node.then or (
        node.otherwise and isinstance(node.condition, Not) and not _is_branch(node.otherwise)
    ):
        node = When(negate(node.condition), node.otherwise, node.then)
    head = f"if {_seen(condition(node.condition), dot)} }}}}{_body(node.then, dot)}"
    if not node.otherwise:
        return head
    (first, *more) = node.otherwise
    if isinstance(first, When) and not more:
        return f"{head}{{{{ else {_branches(first, dot)}"
    return f"{head}{{{{ else }}}}{_body(node.otherwise, dot)}"


def _is_branch(nodes: tuple[Node, ...]) -> bool:
    return len(nodes) == 1 and isinstance(nodes[0], When)


def _seen(go: str, dot: str) -> str:
    """The expression where `dot` names the variable that is the dot."""

    def name(found: re.Match[str]) -> str:
        variable, field = found.groups()
        if variable == dot:
            return field or "."
        return f"${variable}{field}"

    return re.sub(r"\0(\w*)\0(\.?)", name, go)
