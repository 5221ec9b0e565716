"""SPLIT-LEAK, measured: test rows whose input stands in train, and how much better they are answered.

the same input                                       certain
the same but for case, digits and punctuation        a template or a copy: worth a look
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator

from nlp_skills.data.example import Example, read_examples
from nlp_skills.errors import counted
from nlp_skills.evaluation.diagnosis.causes import figure, name_cause
from nlp_skills.evaluation.diagnosis.chance import more_in_one, show_p
from nlp_skills.evaluation.diagnosis.material import Material, show_prediction
from nlp_skills.evaluation.diagnosis.record import Cause, Sure
from nlp_skills.evaluation.results import Prediction

MATTERS = 0.01
"""The share of leaked test rows from which on the score is not one."""
_TOLD_APART_BY = re.compile(r"[\W\d_]+")


def leaked_rows(material: Material) -> Iterator[Cause]:
    """Test rows that were learned, against the others."""
    tested, predictions = material.tested or [], material.predictions or []
    rows = (
        material.train
        if len(material.train or []) == material.train_count
        else read_examples(material.task / material.train_file)
    )
    same, alike = _known_inputs(rows or [])
    leaked = [row.asked_hash() in same for row in tested]
    near = [
        not copied and (key := _folded(row.input_text)) != "" and key in alike
        for row, copied in zip(tested, leaked, strict=True)
    ]
    kinds: tuple[tuple[list[bool], str, Sure], ...] = (
        (leaked, "the input stands in a training row", "strong"),
        (near, "it stands in one but for case, digits and punctuation", "some"),
    )
    for marks, words, sure in kinds:
        found = [row for row, mark in zip(predictions, marks, strict=True) if mark]
        # A template that is filled in anew is no leak: of those, many have to be alike.
        if found and (sure == "strong" or _matters(found, predictions)):
            others = [row for row, a, b in zip(predictions, leaked, near, strict=True) if not a and not b]
            yield _leak(material, found, others, words, sure if _matters(found, predictions) else "weak")


def _matters(found: list[Prediction], predictions: list[Prediction]) -> bool:
    return len(found) >= MATTERS * len(predictions)


def _known_inputs(rows: Iterable[Example]) -> tuple[set[str], set[str]]:
    same, alike = set(), set()
    for row in rows:
        same.add(row.asked_hash())
        alike.add(_folded(row.input_text))
    return same, alike


def _folded(text: str) -> str:
    return _TOLD_APART_BY.sub(" ", unicodedata.normalize("NFKC", text).casefold()).strip()


def _leak(
    material: Material, found: list[Prediction], others: list[Prediction], words: str, sure: Sure
) -> Cause:
    right, right_others = (sum(row.correct for row in group) for group in (found, others))
    share = len(found) / max(1, len(found) + len(others))
    compared = ""
    evidence = [
        figure("leaked test rows", len(found), material.split_file),
        figure("of them right", right / len(found), material.predictions_file),
    ]
    if others:
        p = more_in_one(right, len(found), right_others, len(others))
        compared = f" Of them {right / len(found):.0%} are right, of the others {right_others / len(others):.0%} ({show_p(p)})."
        evidence.append(
            figure("of the other rows right", right_others / len(others), material.predictions_file)
        )
    return name_cause(
        material,
        "SPLIT-LEAK",
        f"In {counted(len(found), 'test row')} ({share:.1%}) {words}.{compared}",
        sure,
        evidence,
        rows=(show_prediction(material, row, "stands in data/train.jsonl too") for row in found),
        share=share,
    )
