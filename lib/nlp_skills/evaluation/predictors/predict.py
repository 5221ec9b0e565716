"""Answers to all rows in their order, kept as they come."""

from __future__ import annotations

from collections.abc import Sequence

from nlp_skills.data.example import Example
from nlp_skills.evaluation.predictors.predictor import Answered, Decoding, Predictor
from nlp_skills.records import Progress, silent


def predict(
    predictor: Predictor, examples: Sequence[Example], how: Decoding, *, progress: Progress = silent
) -> list[Answered]:
    """The answer to each row, in the rows' order."""
    found = dict(predictor.answer(examples, how, progress))
    return [found[index] for index in range(len(examples))]
