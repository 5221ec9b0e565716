"""Marking: each answer beside what was expected, and whether it is right."""

from __future__ import annotations

from collections.abc import Sequence

from nlp_skills.data.example import Example
from nlp_skills.evaluation.metrics.answers import is_match
from nlp_skills.evaluation.predictors import Answered
from nlp_skills.evaluation.results import Prediction
from nlp_skills.task.task import Task


def mark(task: Task, examples: Sequence[Example], answered: Sequence[Answered]) -> list[Prediction]:
    """The answers as predictions, in the examples' order."""
    rows = []
    for example, given in zip(examples, answered, strict=True):
        expected = example.output_text
        right = expected == given.text if task.type.has_labels else is_match(expected, given.text)
        rows.append(
            Prediction(
                id=example.meta.id,
                input=example.input_text,
                expected=expected,
                predicted=given.text,
                correct=right,
                scores=given.scores,
                milliseconds=given.milliseconds,
            )
        )
    return rows
