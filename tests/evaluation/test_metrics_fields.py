"""JSON that was extracted: what is valid, what keeps the schema, which fields are right."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from nlp_skills.evaluation.metrics import METRICS
from nlp_skills.evaluation.metrics.fields import per_field
from nlp_skills.evaluation.metrics.json_schema import infer_schema
from nlp_skills.evaluation.metrics.json_values import NOT_JSON, is_same, read_json
from nlp_skills.evaluation.metrics.parts import per_part
from nlp_skills.evaluation.results import Prediction

NAMES = ("field_accuracy", "json_valid", "schema_valid")
ORDER = {"to": "Ann", "paid": True, "items": [{"sku": "a1", "count": 2}, {"sku": "b2", "count": 1}]}


def row(expected: object, predicted: object) -> Prediction:
    texts = [side if isinstance(side, str) else json.dumps(side) for side in (expected, predicted)]
    return Prediction(id="", expected=texts[0], predicted=texts[1], correct=False)


def measure(*pairs: tuple[object, object]) -> tuple[float, ...]:
    return tuple(METRICS[name].measure([row(*pair) for pair in pairs]) for name in NAMES)


def test_the_json_test_suite_is_judged_as_it_says(shared_data: Path):
    files = sorted((shared_data / "awkward" / "json_test_suite").glob("[yn]_*.json"))
    assert len(files) > 280
    wrong = []
    for file in files:
        try:
            text = file.read_bytes().decode("utf-8")
        except UnicodeDecodeError:  # an answer is text
            continue
        if (read_json(text) is not NOT_JSON) != file.name.startswith("y_"):
            wrong.append(file.name)
    assert wrong == []


@pytest.mark.parametrize(
    ("predicted", "found"),
    [
        (ORDER, (1, 1, 1)),
        (dict(reversed(ORDER.items())), (1, 1, 1)),
        ({**ORDER, "to": "Bob"}, (5 / 6, 1, 1)),
        ({**ORDER, "paid": 1}, (5 / 6, 1, 0)),
        ({**ORDER, "note": "x"}, (6 / 7, 1, 0)),
        ({"to": "Ann"}, (1 / 6, 1, 0)),
        ({**ORDER, "items": [ORDER["items"][0]]}, (4 / 6, 1, 1)),
        ([ORDER], (0, 1, 0)),
        ("Ann", (0, 0, 0)),
        (json.dumps(ORDER)[:-1], (0, 0, 0)),
        (f"```json\n{json.dumps(ORDER)}\n```", (0, 0, 0)),
        ('{"to": NaN}', (0, 0, 0)),
    ],
    ids=str,
)
def test_fields_are_compared_by_path_and_value_and_extra_ones_count_as_wrong(
    predicted: object, found: tuple[float, ...]
):
    assert measure((ORDER, predicted)) == pytest.approx(found)


def test_the_scores_of_each_field_take_the_places_of_a_list_together():
    table = per_field([row(ORDER, {**ORDER, "items": [{"sku": "a1", "count": 3}], "note": ""})])
    assert {path: (s.precision, s.recall, s.support) for path, s in table.items()} == {
        "items[].count": (0.0, 0.0, 2),
        "items[].sku": (1.0, 0.5, 2),
        "note": (0.0, 0.0, 0),
        "paid": (1.0, 1.0, 1),
        "to": (1.0, 1.0, 1),
    }


def test_the_schema_is_that_of_all_expected_answers():
    seen = [{"to": "Ann", "cc": None}, {"to": "Bob", "n": 1}, {"to": "Eve", "n": 1.5, "cc": "x"}]
    assert infer_schema(seen) == {
        "type": ["object"],
        "properties": {
            "to": {"type": ["string"]},
            "cc": {"type": ["null", "string"]},
            "n": {"type": ["number"]},
        },
        "required": ["to"],
        "additionalProperties": False,
    }
    assert measure(*((value, seen[0]) for value in seen))[2] == 1
    assert measure(*((value, {"cc": None}) for value in seen))[2] == 0


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=60)
@given(values=st.lists(JSON, min_size=1, max_size=4))
def test_every_value_keeps_the_schema_that_was_made_of_it_and_is_the_same_after_a_round_trip(
    values: list[object],
):
    validator = Draft202012Validator(infer_schema(values))
    for value in values:
        assert validator.is_valid(value)
        assert is_same(value, read_json(json.dumps(value)))
        assert not is_same(value, [value])


def test_json_is_asked_for_only_where_every_right_answer_is_an_object_or_a_list():
    good = row(ORDER, "")
    for name in NAMES:
        assert METRICS[name].applies([good])
        assert not METRICS[name].applies([good, row("Ann", "Ann")])
        assert not METRICS[name].applies([])


def test_an_extraction_is_told_by_type_where_it_names_entities_and_by_field_otherwise():
    entities = row([{"text": "Ada", "type": "PER"}], [])
    assert {name: score.support for name, score in per_part([entities]).items()} == {"PER": 1}
    assert list(per_part([row(ORDER, ORDER)])) == ["items[].count", "items[].sku", "paid", "to"]
    assert per_part([row("Ann", "Ann")]) == {}
