"""Records that were extracted: is the answer JSON, does it have the right shape, and which fields are right.

{"to": "Ann", "items": [{"sku": "a1"}]}   →   fields  to = "Ann"   items[0].sku = "a1"
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from nlp_skills.evaluation.metrics.classification import score_each
from nlp_skills.evaluation.metrics.json_schema import infer_schema
from nlp_skills.evaluation.metrics.json_values import NOT_JSON, expect_structures, is_same, read_json
from nlp_skills.evaluation.metrics.metric import Metric, mean, ratio
from nlp_skills.evaluation.results import LabelScore, Prediction

if TYPE_CHECKING:
    import numpy as np


def fields(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Path and value of each field of a JSON value; what is empty counts as a field itself."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from fields(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value:
        for place, inner in enumerate(value):
            yield from fields(inner, f"{path}[{place}]")
    else:
        yield path, value


def compare_fields(row: Prediction) -> tuple[list[str], list[str], list[str]]:
    """The paths that are right, that were given, and that are expected."""
    expected, given = (dict(fields(read_json(text))) for text in (row.expected, row.predicted))
    if read_json(row.predicted) is NOT_JSON:
        given = {}
    right = [path for path, value in expected.items() if path in given and is_same(value, given[path])]
    return right, list(given), list(expected)


def per_field(rows: Sequence[Prediction]) -> dict[str, LabelScore]:
    """Precision, recall and F1 of each field; the places of a list count together: items[].sku."""
    counts: tuple[Counter[str], Counter[str], Counter[str]] = (Counter(), Counter(), Counter())
    for row in rows:
        for count, paths in zip(counts, compare_fields(row), strict=True):
            count.update(map(_without_places, paths))
    return score_each(*counts)


def _without_places(path: str) -> str:
    head, *rest = path.split("[")
    return "[".join([head, *(part[part.index("]") :] for part in rest if "]" in part)])


def _field_counts(rows: Sequence[Prediction]) -> np.ndarray:
    """Fields that are right, and those that are expected or were given, shape (rows, 2)."""
    import numpy as np

    compared = [compare_fields(row) for row in rows]
    table = [(len(right), len({*given, *expected})) for right, given, expected in compared]
    return np.array(table, dtype=np.float64).reshape(-1, 2)


def _json_valid(row: Prediction) -> float:
    return float(read_json(row.predicted) is not NOT_JSON)


def _schema_valid(rows: Sequence[Prediction]) -> np.ndarray:
    import numpy as np
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(infer_schema([read_json(row.expected) for row in rows]))
    read = (read_json(row.predicted) for row in rows)
    valid = [value is not NOT_JSON and validator.is_valid(value) for value in read]
    return np.array([(float(fits), 1.0) for fits in valid], dtype=np.float64).reshape(-1, 2)


FIELDS: dict[str, Metric] = {
    "field_accuracy": Metric("field accuracy", _field_counts, ratio, applies=expect_structures),
    "json_valid": mean("valid JSON", _json_valid, applies=expect_structures),
    "schema_valid": Metric("valid by schema", _schema_valid, ratio, applies=expect_structures),
}
