"""Trees of choices as tensors, for one forward pass: one tree for all rows of a batch, or one for each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlp_skills.evaluation.predictors.choice_tree import ROOT, ChoiceTree

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TreeTensors:
    """All int64 but `sees`; a tree that is smaller than another is filled up with what no choice reads."""

    tokens: torch.Tensor
    """Shape (trees, nodes)."""
    depths: torch.Tensor
    """Shape (trees, nodes)."""
    sees: torch.Tensor
    """Whether a node sees another: bool of shape (trees, nodes, nodes)."""
    at: torch.Tensor
    """The logits at which an edge is read, 0 being those of the prompt: shape (trees, edges)."""
    follows: torch.Tensor
    """The token that is read there: shape (trees, edges)."""
    paths: torch.Tensor
    """The edges of each choice, filled up with the number of edges: shape (trees, choices, longest)."""
    places: torch.Tensor
    """Where each choice stands among all choices: shape (trees, choices)."""


def lay_out(trees: Sequence[ChoiceTree], *, beyond: int, pad: int, device: Any) -> TreeTensors:
    """`beyond` is the place of a choice that a tree has not."""
    import torch

    nodes = max(len(tree.tokens) for tree in trees)
    edges = max(len(tree.edges) for tree in trees)
    longest = max((len(path) for tree in trees for path in tree.paths), default=0)
    paths = [[_filled(path, longest, edges) for path in tree.paths] for tree in trees]
    most = max(map(len, paths))
    sees = torch.eye(nodes, dtype=torch.bool, device=device).repeat(len(trees), 1, 1)
    for one, tree in zip(sees, trees, strict=True):
        if tree.sight:
            one[tuple(torch.tensor(tree.sight, device=device).T)] = True

    def table(rows: list[list[int]], size: int, fill: int) -> torch.Tensor:
        return torch.tensor([_filled(row, size, fill) for row in rows], dtype=torch.long, device=device)

    return TreeTensors(
        tokens=table([tree.tokens for tree in trees], nodes, pad),
        depths=table([tree.depths for tree in trees], nodes, 0),
        sees=sees,
        at=table([[node - ROOT for node, _ in tree.edges] for tree in trees], edges, 0),
        follows=table([[token for _, token in tree.edges] for tree in trees], edges, 0),
        paths=torch.tensor(
            [_filled(one, most, [edges] * longest) for one in paths], dtype=torch.long, device=device
        ).reshape(len(trees), most, longest),
        places=table([tree.places for tree in trees], most, beyond),
    )


def _filled(row: Sequence[Any], size: int, fill: Any) -> list[Any]:
    return [*row, *[fill] * (size - len(row))]
