"""Entities against seqeval, on real headlines and on any sequence of tags."""

import json
import warnings
from collections import defaultdict
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nlp_skills.evaluation.metrics import METRICS
from nlp_skills.evaluation.metrics.entities import Entity, read_entities
from nlp_skills.evaluation.metrics.entity_scores import per_type
from nlp_skills.evaluation.results import Prediction

NAMES = ("entity_f1", "macro_entity_f1", "span_f1", "partial_span_f1")


def row(expected: str, predicted: str) -> Prediction:
    return Prediction(id="", expected=expected, predicted=predicted, correct=expected == predicted)


def measure(*pairs: tuple[str, str]) -> tuple[float, ...]:
    return tuple(METRICS[name].measure([row(*pair) for pair in pairs]) for name in NAMES)


def seqeval(expected: list[list[str]], predicted: list[list[str]], average: str) -> float:
    from seqeval.metrics import f1_score

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # labels without entities; types that look strange
        return float(f1_score(expected, predicted, average=average))


def headlines(shared_data: Path) -> tuple[list[list[str]], list[list[str]]]:
    """Tags of 800 real headlines, and those of a fallible model: entities moved, cut, dropped, of a wrong type."""
    texts: dict[str, dict[str, str]] = defaultdict(dict)
    with (shared_data / "finance_sentiment" / "sentfin_entity.jsonl").open(encoding="utf-8") as stream:
        for line in stream:
            found = json.loads(line)
            texts[found["text"]][found["entity"]] = found["label"]
    true, said = [], []
    for number, (text, entities) in enumerate(list(texts.items())[:800]):
        words = text.split()
        tags, claims = ["O"] * len(words), ["O"] * len(words)
        for place, (entity, label) in enumerate(entities.items()):
            parts = entity.split()
            start = next((i for i in range(len(words)) if words[i : i + len(parts)] == parts), None)
            if start is None:
                continue
            end = start + len(parts)
            tags[start:end] = [f"B-{label}"] + [f"I-{label}"] * (len(parts) - 1)
            match (number + place) % 6:
                case 0:
                    claims[start] = f"B-{label}"
                case 1:
                    claims[start:end] = ["B-neutral"] + ["I-neutral"] * (len(parts) - 1)
                case 2:
                    claims[start : end + 1] = [f"I-{label}"] * len(claims[start : end + 1])
                case 3:
                    pass
                case _:
                    claims[start:end] = tags[start:end]
        true.append(tags)
        said.append(claims)
    return true, said


def test_on_real_headlines_strict_f1_is_seqevals_for_tags_and_for_json(shared_data: Path):
    true, said = headlines(shared_data)
    reference = seqeval(true, said, "micro"), seqeval(true, said, "macro")
    assert 0.3 < reference[0] < 0.9
    tags = [row(" ".join(e), " ".join(p)) for e, p in zip(true, said, strict=True)]
    as_json = [row(spans(e), spans(p)) for e, p in zip(true, said, strict=True)]
    for rows in (tags, as_json):
        found = METRICS["entity_f1"].measure(rows), METRICS["macro_entity_f1"].measure(rows)
        assert found == pytest.approx(reference, abs=1e-9)


def spans(tags: list[str]) -> str:
    """The same entities as JSON with offsets."""
    return json.dumps(
        [{"label": e.type, "start": e.start, "end": e.end} for e in read_entities(" ".join(tags)) or []]
    )


def test_the_scores_of_each_type_are_seqevals(shared_data: Path):
    from seqeval.metrics.sequence_labeling import precision_recall_fscore_support

    true, said = headlines(shared_data)
    table = per_type([row(" ".join(e), " ".join(p)) for e, p in zip(true, said, strict=True)])
    assert list(table) == ["negative", "neutral", "positive"]
    found = [
        [getattr(scores, part) for scores in table.values()]
        for part in ("precision", "recall", "f1", "support")
    ]
    for mine, reference in zip(found, precision_recall_fscore_support(true, said), strict=True):
        assert mine == pytest.approx(list(reference), abs=1e-9)


TAGS = st.lists(
    st.sampled_from(["O", "B-PER", "I-PER", "E-PER", "S-PER", "B-ORG", "I-ORG", "S-ORG", "B", "I"]),
    min_size=1,
    max_size=12,
)


@settings(max_examples=150)
@given(
    pairs=st.lists(TAGS.flatmap(lambda t: st.tuples(st.just(t), st.permutations(t))), min_size=1, max_size=5)
)
def test_any_tags_of_any_scheme_are_cut_into_entities_as_seqeval_cuts_them(
    pairs: list[tuple[list[str], list[str]]],
):
    true, said = [e for e, _ in pairs], [p for _, p in pairs]
    rows = [row(" ".join(e), " ".join(p)) for e, p in pairs]
    assert METRICS["entity_f1"].measure(rows) == pytest.approx(seqeval(true, said, "micro"))
    if METRICS["entity_f1"].applies(rows):
        assert METRICS["macro_entity_f1"].measure(rows) == pytest.approx(seqeval(true, said, "macro"))
    strict, _, span, partial = measure(*((r.expected, r.predicted) for r in rows))
    assert strict <= span + 1e-12
    assert span <= partial + 1e-12


ADA = Entity("PER", "Ada Lovelace")


@pytest.mark.parametrize(
    ("answer", "entities"),
    [
        ('[{"text": "Ada  Lovelace", "type": "PER"}]', [ADA]),
        ('{"entities": [{"entity": "Ada Lovelace", "label": "PER"}]}', [ADA]),
        ('[{"word": "Ada Lovelace", "entity": "PER", "score": 0.9}]', [ADA]),
        ('[{"name": "PER", "value": "Ada Lovelace"}]', [ADA]),
        ('{"PER": ["Ada Lovelace"], "ORG": []}', [ADA]),
        ('[["Ada Lovelace", "PER"]]', [ADA]),
        ('[[0, 12, "PER"]]', [Entity("PER", "", 0, 12)]),
        ('[{"text": "Ada", "label": "PER", "start": 0, "end": 3}]', [Entity("PER", "Ada", 0, 3)]),
        ('["Ada", "Acme"]', [Entity("", "Ada"), Entity("", "Acme")]),
        ('["B-PER", "I-PER", "O"]', [Entity("PER", "", 0, 2)]),
        ("B-PER I-PER O B-ORG", [Entity("PER", "", 0, 2), Entity("ORG", "", 3, 4)]),
        ("Ada B-PER\nLovelace I-PER\nslept O", [Entity("PER", "", 0, 2)]),
        ("[]", []),
        ("O O", []),
        ("Ada Lovelace", None),
        ("", None),
        ('{"vendor": "Acme", "total": 12}', None),
        ('[{"name": "Widget", "price": 3}]', None),
        ("[1, 2]", None),
        ('"Ada"', None),
    ],
)
def test_entities_are_read_whatever_way_they_are_written(answer: str, entities: list[Entity] | None):
    assert read_entities(answer) == entities


def test_a_part_of_a_place_is_half_and_a_wrong_type_counts_for_the_place_only():
    ada, acme = {"text": "Ada Lovelace", "type": "PER"}, {"text": "Acme", "type": "ORG"}
    expected = json.dumps([ada, acme])
    assert measure((expected, json.dumps([acme, ada]))) == (1, 1, 1, 1)
    assert measure((expected, json.dumps([{**ada, "text": "Ada"}, acme]))) == (0.5, 0.5, 0.5, 0.75)
    assert measure((expected, json.dumps([ada, {**acme, "type": "PER"}]))) == pytest.approx(
        (0.5, 1 / 3, 1, 1)
    )
    assert measure((expected, "no idea")) == (0, 0, 0, 0)
    assert measure((expected, json.dumps([ada, ada, acme]))) == pytest.approx((0.8, 5 / 6, 0.8, 0.8))


def test_offsets_without_a_text_are_no_text_that_all_entities_share():
    said = '[[10, 13, "PER"], ["Ada", "PER"]]'
    assert measure(('[[0, 3, "PER"]]', said)) == (0, 0, 0, 0)
    assert measure(('[[10, 13, "PER"]]', said)) == pytest.approx((2 / 3,) * 4)
    assert measure(('[[11, 14, "PER"]]', said)) == (0, 0, 0, pytest.approx(1 / 3))
    assert measure(('[[0, 3, "PER"]]', '[{"text": "", "type": "PER"}]')) == (0, 0, 0, 0)


def test_entities_are_asked_for_only_where_every_row_names_them_in_such_a_way():
    named, none = row('["Ada"]', "[]"), row("[]", "[]")
    assert METRICS["entity_f1"].applies([named, none])
    assert not METRICS["entity_f1"].applies([none])
    assert not METRICS["entity_f1"].applies([named, row("Ada", "Ada")])
