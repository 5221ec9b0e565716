"""ERROR-CLUSTER: kinds of inputs that are answered wrongly more often than the others, named by their words.

A term (a word, a pair, or two to three characters where there are no blanks) marks the rows that hold it. Of all terms those are
kept whose rows are wrong more often than chance allows (hypergeometric test, over all terms that were tried). The
surest names a cluster; terms with nearly the same rows are its other names; its rows are taken out, and so on.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nlp_skills.errors import NotReady
from nlp_skills.evaluation.baselines import vectorise
from nlp_skills.evaluation.diagnosis.causes import figure, name_cause
from nlp_skills.evaluation.diagnosis.chance import LEVEL, overlaps_by_chance, show_p
from nlp_skills.evaluation.diagnosis.material import Material, show_prediction
from nlp_skills.evaluation.diagnosis.record import Cause

if TYPE_CHECKING:
    import numpy as np

FEWEST = 5
"""Wrong rows of a cluster."""
MOST = 3
"""Clusters that are named."""
SAME_ROWS = 0.5
"""The share of a cluster's wrong rows that another of its names holds."""


@dataclass(frozen=True)
class Cluster:
    """Rows with a term."""

    names: list[str]
    rows: list[int]
    """Numbers of the wrong ones among all rows."""
    size: int
    """Rows that hold the first name, right or wrong."""
    p: float
    """Over all terms that were tried."""


def find_clusters(texts: Sequence[str], wrong: Sequence[bool]) -> list[Cluster]:
    """The clusters of wrong rows, the surest first."""
    import numpy as np

    marks = np.array(wrong)
    if marks.sum() < FEWEST or marks.all() or not any(text.strip() for text in texts):
        return []
    vectoriser, weights = vectorise(texts)
    holds = (weights > 0).astype(np.int64).tocsc()
    names = vectoriser.get_feature_names_out()
    tried = np.flatnonzero(np.asarray(holds.sum(axis=0)).ravel() >= FEWEST)
    # A blank at its end makes no other term of a character's.
    tried = np.array([k for k in tried if names[k].strip() == names[k] and len(names[k]) > 1], dtype=np.int64)
    found: list[Cluster] = []
    left = marks.copy()
    while len(found) < MOST and left.sum() >= FEWEST and len(tried):
        cluster = _surest(holds, names, tried, left)
        if cluster is None:
            break
        found.append(cluster)
        left[cluster.rows] = False
    return found


def _surest(holds: Any, names: np.ndarray, tried: np.ndarray, wrong: np.ndarray) -> Cluster | None:
    import numpy as np

    some = holds[:, tried]
    sizes = np.asarray(some.sum(axis=0)).ravel()
    shared = np.asarray(some.T @ wrong.astype(np.int64)).ravel()
    chances = overlaps_by_chance(shared, sizes, int(wrong.sum()), len(wrong))
    chances[shared < FEWEST] = 1.0
    best = int(chances.argmin())
    p = min(1.0, float(chances[best]) * len(tried))
    if p > LEVEL:
        return None
    rows = np.flatnonzero((some[:, [best]].toarray().ravel() > 0) & wrong)
    together = np.asarray(some[rows].sum(axis=0)).ravel()
    order = np.argsort(chances, kind="stable")
    close = [
        k
        for k in order
        if k != best and together[k] >= SAME_ROWS * len(rows) and chances[k] * len(tried) <= LEVEL
    ]
    told = [str(names[tried[k]]) for k in [best, *close]]
    return Cluster(_distinct(told), rows.tolist(), int(sizes[best]), p)


def _distinct(names: list[str]) -> list[str]:
    """The first three of which none is a part of another."""
    kept: list[str] = []
    for name in names:
        if not any(name in other or other in name for other in kept):
            kept.append(name)
    return kept[:3]


def error_clusters(material: Material) -> Iterator[Cause]:
    """The clusters of this version's wrong rows. Raises NotReady where there is nothing to tell them from."""
    rows = material.predictions or []
    every = len(material.wrong)
    if every < FEWEST or every == len(rows):
        raise NotReady(f"{every} of {len(rows)} rows are wrong; {FEWEST} and a right one are needed")
    for cluster in find_clusters([row.input for row in rows], [not row.correct for row in rows]):
        name = ", ".join(map(repr, cluster.names))
        yield name_cause(
            material,
            "ERROR-CLUSTER",
            f"{len(cluster.rows)} of {cluster.size} rows with {name} are wrong, of all rows {every} of {len(rows)}"
            f" ({show_p(cluster.p)} by chance).",
            "some",
            [
                figure(f"rows with {cluster.names[0]!r}", cluster.size, material.predictions_file),
                figure("of them wrong", len(cluster.rows), material.predictions_file),
            ],
            rows=(show_prediction(material, rows[n]) for n in cluster.rows),
            share=len(cluster.rows) / max(1, every),
        )
