"""Marking: each answer beside what was expected, and whether it is right; and by which metrics answers can be judged."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import msgspec

from nlp_skills.data.example import Example
from nlp_skills.errors import NotValid
from nlp_skills.evaluation.metrics import METRICS as FUNCTIONS
from nlp_skills.evaluation.metrics.answers import is_match
from nlp_skills.evaluation.metrics.likelihood import LIKELIHOOD, has_likelihood
from nlp_skills.evaluation.metrics.preference import CHOSEN, REJECTED
from nlp_skills.evaluation.predictors import Answered
from nlp_skills.evaluation.results import Prediction
from nlp_skills.evaluation.tool_use.marks import marks_of
from nlp_skills.task.task import METRICS, Task, TaskType


def mark(task: Task, examples: Sequence[Example], answered: Sequence[Answered]) -> list[Prediction]:
    """The answers as predictions, in the examples' order."""
    rows = []
    for example, given in zip(examples, answered, strict=True):
        expected, others = example.output_text, example.meta.answers or []
        rows.append(
            Prediction(
                id=example.meta.id,
                input=example.input_text,
                expected=expected,
                answers=others,
                predicted=given.text,
                correct=is_right(task, expected, given.text, others),
                scores=given.scores,
                samples=list(given.samples),
                prompt_sha256=given.prompt_sha256,
                prompt_tokens=given.prompt_tokens,
                tokens=given.tokens,
                milliseconds=given.milliseconds,
                cut=given.cut,
            )
        )
    return rows


def is_right(task: Task, expected: str, predicted: str, others: Sequence[str] = ()) -> bool:
    """Whether an answer counts as right: the same label, the same calls, or the same text after normalising."""
    if task.type.has_labels:
        return expected == predicted
    if task.type is TaskType.TOOL_USE:
        return marks_of(expected, predicted).right
    return is_match(expected, predicted, others)


def mark_preferences(
    examples: Sequence[Example], scores: Sequence[Sequence[float]], milliseconds: float
) -> list[Prediction]:
    """Which of both answers a model finds more probable: `scores` are log-probabilities of chosen and rejected.

    They are divided by the answers' bytes: otherwise the shorter answer would win nearly always (as SimPO does by
    tokens, Meng et al. 2024, arXiv:2405.14734; bytes are the same for every tokenizer).
    """
    rows = []
    for example, both in zip(examples, scores, strict=True):
        texts = preference_texts(example)
        means = [score / (len(text.encode("utf-8")) + 1) for score, text in zip(both, texts, strict=True)]
        top = max(means)
        parts = [math.exp(mean - top) for mean in means]
        rows.append(
            Prediction(
                id=example.meta.id,
                input=example.input_text,
                expected=texts[0],
                predicted=texts[0] if means[0] > means[1] else texts[1],
                correct=means[0] > means[1],
                scores={CHOSEN: parts[0] / sum(parts), REJECTED: parts[1] / sum(parts)},
                milliseconds=milliseconds,
            )
        )
    return rows


def preference_texts(example: Example) -> tuple[str, str]:
    """The better and the worse answer of a row. Raises NotValid where it has not both."""
    if not example.chosen or not example.rejected:
        raise NotValid(
            f"Row {example.meta.id} has no chosen and rejected answer, so no preference can be judged. Give the test"
            " split pairs; of answers that are only marked, training-status shows what the validation has measured."
        )
    return example.chosen[-1].content or "", example.rejected[-1].content or ""


def with_slices(rows: Sequence[Prediction], slices: Sequence[Mapping[str, str]]) -> list[Prediction]:
    """The predictions, told of what kind each row is."""
    return [msgspec.structs.replace(row, slices=dict(kinds)) for row, kinds in zip(rows, slices, strict=True)]


def applicable_metrics(task: Task, rows: Sequence[Prediction]) -> list[str]:
    """The metrics that these predictions can be judged by; the task's own comes first where it is among them."""
    if has_likelihood(rows):
        return list(LIKELIHOOD)
    return [name for name in METRICS[task.type] if FUNCTIONS[name].applies(rows)]


def deciding_metric(task: Task, names: Sequence[str]) -> str:
    """The metric that decides: the task's, or the first that could be measured. Raises NotValid where none could."""
    if not names:
        raise NotValid(
            f"{task.name}: nothing that a {task.type.value} task is judged by could be measured on these rows."
        )
    return task.chosen_metric if task.chosen_metric in names else names[0]
