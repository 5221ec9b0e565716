"""Questions about the code of a template: jinja2's syntax tree."""

from __future__ import annotations

from typing import Any


def only_raises(body: list[Any]) -> bool:
    """Whether a branch does nothing but raise."""
    for node in body:
        for part in getattr(node, "nodes", ()):
            if type(part).__name__ == "Call" and getattr(part.node, "name", "") == "raise_exception":
                return True
    return False


def nodes_of(body: list[Any], kind: str) -> list[Any]:
    """Every node of that kind in the body that writes or sets something."""
    found, todo = [], list(body)
    while todo:
        node = todo.pop()
        if type(node).__name__ == kind and not (kind == "Output" and not _says_anything(node)):
            found.append(node)
        todo += node.iter_child_nodes()
    return found


def _says_anything(output: Any) -> bool:
    return any(type(part).__name__ != "TemplateData" or part.data for part in output.nodes)


def set_attributes(node: Any) -> list[Any]:
    """The names in namespaces that a loop sets."""
    return [one.target for one in nodes_of(node.body, "Assign") if type(one.target).__name__ == "NSRef"]


def uses_loop(node: Any) -> bool:
    """Whether a loop's body asks for `loop.index` and the like."""
    return any(one.name == "loop" for one in nodes_of(node.body, "Name"))


def is_name(node: Any, name: str) -> bool:
    """Whether the node is this name."""
    return type(node).__name__ == "Name" and node.name == name


def adds_to(assignment: Any, name: str, attribute: str) -> bool:
    """Whether it is `name.attribute = name.attribute + …`."""
    left = assignment.node
    while type(left).__name__ == "Add":
        left = left.left
        if type(left).__name__ == "Getattr" and left.attr == attribute and is_name(left.node, name):
            return True
    return False


def set_values(node: Any, attribute: str) -> list[Any]:
    """What a loop sets a namespace's name to: constants as they are, yes or no as a bool, the rest as None."""
    found = []
    for one in nodes_of(node.body, "Assign"):
        if type(one.target).__name__ == "NSRef" and one.target.attr == attribute:
            kind = type(one.node).__name__
            decides = kind in ("Compare", "Not", "And", "Or", "Test")
            found.append(one.node.value if kind == "Const" else decides or None)
    return found
