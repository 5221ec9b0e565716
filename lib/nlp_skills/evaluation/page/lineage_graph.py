"""The lineage graph: a line for each version, the oldest on top, with an edge from the version it was made from.

    ● v1  macro F1 0.701
    │ ● v2  macro F1 0.744  120 rows added
    ● v3  macro F1 0.812 ★ best

It grows downwards, so that it is as readable on a phone and on paper as on a wide screen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from nlp_skills.page.charts import picture, shorten
from nlp_skills.page.markup import Html, element, number

LINE, LANE, RADIUS = 52.0, 22.0, 7.0
MOST_LANES = 6
"""Branches side by side; further ones share the last lane."""
WIDEST = 46
"""Characters of a line: what a phone shows beside two lanes."""


@dataclass(frozen=True)
class Node:
    """A version in the graph."""

    name: str
    parent: str | None
    note: str = ""
    """What it reaches, in a few words."""
    change: str = ""
    """What was changed against the parent, in a few words."""
    current: bool = False
    best: bool = False


def lineage_graph(nodes: Sequence[Node], *, alternative: str) -> Html:
    """Each version below its parent: the first child goes straight down, further ones branch off to the right."""
    lanes = lanes_of(nodes)
    rows = {node.name: row for row, node in enumerate(nodes)}
    left = LANE * (max(lanes.values(), default=0) + 1) + 8
    room = WIDEST - round(left / 7.5)
    edges = [_edge(node, lanes, rows) for node in nodes if node.parent in rows]
    lines = [_line(node, lanes[node.name], row, left, room) for row, node in enumerate(nodes)]
    return picture([*edges, *lines], LINE * len(nodes) - 4, alternative, "lineage-graph")


def lanes_of(nodes: Sequence[Node]) -> dict[str, int]:
    """Version → lane, so that no edge runs through a version that it does not belong to.

    A chain (a version, its first child, that one's first child …) has one lane, from where it branches off to its end.
    """
    rows = {node.name: row for row, node in enumerate(nodes)}
    first_child: dict[str, str] = {}
    for node in nodes:
        if node.parent in rows:
            first_child.setdefault(node.parent or "", node.name)
    lanes: dict[str, int] = {}
    taken: list[list[tuple[int, int]]] = []
    for node in nodes:
        if node.name in lanes:
            continue
        chain = [node.name]
        while chain[-1] in first_child:
            chain.append(first_child[chain[-1]])
        start = rows[node.parent or ""] + 1 if node.parent in rows else rows[node.name]
        end = rows[chain[-1]]
        free = (i for i, spans in enumerate(taken) if all(end < a or b < start for a, b in spans))
        lane = min(next(free, len(taken)), MOST_LANES - 1)
        taken += [[] for _ in range(lane + 1 - len(taken))]
        taken[lane].append((start, end))
        lanes |= dict.fromkeys(chain, lane)
    return lanes


def _place(lane: int, row: int) -> tuple[float, float]:
    return LANE * lane + RADIUS + 3, LINE * row + 17


def _edge(node: Node, lanes: dict[str, int], rows: dict[str, int]) -> Html:
    start_x, start_y = _place(lanes[node.parent or ""], rows[node.parent or ""])
    end_x, end_y = _place(lanes[node.name], rows[node.name])
    path = f"M{number(start_x)} {number(start_y)}"
    if start_x != end_x:
        # Down its own lane, so that it does not run through the versions of the parent's.
        path += f" Q{number(end_x)} {number(start_y)} {number(end_x)} {number(start_y + LINE / 2)}"
    return element("path", d=f"{path} V{number(end_y)}", class_="edge")


def _line(node: Node, lane: int, row: int, left: float, room: int) -> Html:
    x, y = _place(lane, row)
    kind = " ".join(
        k for k, on in (("node", True), ("current", node.current), ("best-node", node.best)) if on
    )
    return element(
        "g",
        element("circle", cx=x, cy=y, r=RADIUS),
        element(
            "text",
            element("tspan", shorten(node.name, 12), class_="node-name"),
            element("tspan", node.note, dx=8),
            element("tspan", "★ best", dx=8, class_="node-best") if node.best else None,
            x=left,
            y=y + 5,
        ),
        element("text", shorten(node.change, room), x=left, y=y + 23, class_="tick"),
        class_=kind,
    )
