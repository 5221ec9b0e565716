"""Entities that were found: strict as seqeval counts them, by their place alone, and with half marks for a part.

    expected  [PER Ada Lovelace]        strict   type and place are right                   entity_f1, macro_entity_f1
    predicted [PER Ada]                 span     the place is right                         span_f1
                                        partial  1 for the place, half for a part of it     partial_span_f1

The last is the "partial" of SemEval-2013 task 9 (and of MUC-5). Where the entities of a row have offsets on both sides
the offsets are the place, otherwise the text is.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nlp_skills.evaluation.metrics.classification import count_labels, macro_f1, micro_f1, score_each
from nlp_skills.evaluation.metrics.entities import Entity, have_offsets, place_of, read_entities, strict_keys
from nlp_skills.evaluation.metrics.metric import Metric
from nlp_skills.evaluation.results import LabelScore, Prediction

if TYPE_CHECKING:
    import numpy as np


def expect_entities(rows: Sequence[Prediction]) -> bool:
    """Whether every right answer is a list of entities, and some entity is named at all."""
    read = [read_entities(row.expected) for row in rows]
    return None not in read and any(read)


def per_type(rows: Sequence[Prediction]) -> dict[str, LabelScore]:
    """Precision, recall and F1 of each type of entity, counted strictly."""
    counts: tuple[Counter[str], Counter[str], Counter[str]] = (Counter(), Counter(), Counter())
    for row in _strict(rows):
        for count, types in zip(counts, row, strict=True):
            count.update(types)
    return score_each(*counts)


def _read(rows: Sequence[Prediction]) -> Iterator[tuple[list[Entity], list[Entity]]]:
    """What is expected and what was found; an answer that cannot be read has found nothing."""
    for row in rows:
        yield read_entities(row.expected) or [], read_entities(row.predicted) or []


Types = tuple[list[str], list[str], list[str]]


def _strict(rows: Sequence[Prediction], *, typed: bool = True) -> list[Types]:
    """The types of the hits, of what was found and of what is expected, for each row."""
    found = []
    for expected, predicted in _read(rows):
        with_offsets = have_offsets(expected, predicted)
        true, claimed = (
            strict_keys(side, with_offsets=with_offsets, typed=typed) for side in (expected, predicted)
        )
        found.append((_types(true & claimed), _types(claimed), _types(true)))
    return found


def _types(keys: Counter[tuple[Any, ...]]) -> list[str]:
    return [key[0] for key in keys.elements()]


def _partial(rows: Sequence[Prediction]) -> np.ndarray:
    """Marks, entities found and entities expected, shape (rows, 3)."""
    import numpy as np

    table = [(_marks(e, p), float(len(p)), float(len(e))) for e, p in _read(rows)]
    return np.array(table, dtype=np.float64).reshape(-1, 3)


def _marks(expected: list[Entity], predicted: list[Entity]) -> float:
    """1 for each place that was found, half for each part of one; an expected entity is found once."""
    with_offsets = have_offsets(expected, predicted)
    true, claimed = ([place_of(e, with_offsets=with_offsets) for e in side] for side in (expected, predicted))
    exact = Counter(true) & Counter(claimed)
    left, wrong = list((Counter(true) - exact).elements()), (Counter(claimed) - exact).elements()
    half = 0.5 * sum(_take_overlapping(left, place) for place in wrong)
    return sum(exact.values()) + half


def _take_overlapping(left: list[Any], place: Any) -> bool:
    """Whether one of the places that are left overlaps; it is taken off the list."""
    for number, other in enumerate(left):
        if _overlap(place, other):
            del left[number]
            return True
    return False


def _overlap(a: Any, b: Any) -> bool:
    if isinstance(a, str) or isinstance(b, str):  # never a text and offsets
        return type(a) is type(b) and bool(a and b) and (a in b or b in a)
    return max(a[0], b[0]) < min(a[1], b[1])


ENTITIES: dict[str, Metric] = {
    "entity_f1": Metric(
        "entity F1", lambda rows: count_labels(_strict(rows)), micro_f1, applies=expect_entities
    ),
    "macro_entity_f1": Metric(
        "macro entity F1", lambda rows: count_labels(_strict(rows)), macro_f1, applies=expect_entities
    ),
    "span_f1": Metric(
        "span F1", lambda rows: count_labels(_strict(rows, typed=False)), micro_f1, applies=expect_entities
    ),
    "partial_span_f1": Metric("partial span F1", _partial, micro_f1, applies=expect_entities),
}
