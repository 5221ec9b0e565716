"""Putting rows to a predictor, as the task's type and the version's method want it; predictions come back.

labels, text, calls, code   answered, then marked
preferences                 both answers scored: which one is more probable
plain text (cpt)            every token scored: how probable the text is
"""

from __future__ import annotations

import re
import string
import time
from collections.abc import Sequence
from pathlib import Path

import msgspec

from nlp_skills.data.example import Example
from nlp_skills.evaluation.decoding import generated
from nlp_skills.evaluation.marking import is_right, mark, mark_preferences, preference_texts
from nlp_skills.evaluation.metrics.code import run_tests
from nlp_skills.evaluation.plain_text import foresee
from nlp_skills.evaluation.predictors import Decoding, Predictor, predict
from nlp_skills.evaluation.results import Prediction
from nlp_skills.records import Progress
from nlp_skills.task.task import Task, TaskType
from nlp_skills.training.config import TrainConfig

AT_ONCE = 16
"""Preference rows between two signs of progress."""


def ask(
    task: Task,
    config: TrainConfig,
    predictor: Predictor,
    examples: Sequence[Example],
    how: Decoding,
    progress: Progress,
    keep: Path | None = None,
) -> list[Prediction]:
    """The predictions for the examples, in their order; answers are kept in `keep`, so that a cut-off run goes on.

    Raises NotValid where the predictor cannot give what the task needs.
    """
    if config.method == "cpt":
        return foresee(predictor, examples, config, progress)
    if task.type is TaskType.PREFERENCE:
        return _prefer(predictor, examples, progress)
    scored = how.labels is not None and predictor.can_score
    answered = predict(predictor, examples, how if scored else generated(how), keep=keep, progress=progress)
    rows = mark(task, examples, answered)
    if how.labels is not None and not scored:
        rows = [as_label(task, row, how.labels) for row in rows]
    return with_tests(examples, rows, progress)


def _prefer(predictor: Predictor, examples: Sequence[Example], progress: Progress) -> list[Prediction]:
    rows: list[Prediction] = []
    for start in range(0, len(examples), AT_ONCE):
        some = examples[start : start + AT_ONCE]
        started = time.perf_counter()
        scores = predictor.score_choices(some, [preference_texts(example) for example in some])
        spent = (time.perf_counter() - started) * 1000 / len(some)
        rows += mark_preferences(some, scores, spent)
        progress(f"{predictor.name}: scoring both answers", len(rows), len(examples))
    return rows


def as_label(task: Task, row: Prediction, labels: Sequence[str]) -> Prediction:
    """What was written as the label that is meant: the same but for case and marks, or the only one that is named.

    "not good" names one label, though "good" stands in it.
    """
    said = row.predicted.casefold().strip()
    same = [label for label in labels if label.casefold() == said.strip(string.punctuation + "「」。、 ")]
    named = same or [label for label in labels if _names(said, label)]
    longest = max(named, key=len, default="")
    if not named or any(label.casefold() not in longest.casefold() for label in named):
        return row
    return msgspec.structs.replace(row, predicted=longest, correct=is_right(task, row.expected, longest))


def _names(said: str, label: str) -> bool:
    """Whether the label stands in the text as words of its own; where words are not divided by blanks, anywhere."""
    plain = label.casefold()
    before, after = (r"\b" if edge.isascii() and edge.isalnum() else "" for edge in (plain[:1], plain[-1:]))
    return bool(plain) and re.search(f"{before}{re.escape(plain)}{after}", said) is not None


def with_tests(examples: Sequence[Example], rows: list[Prediction], progress: Progress) -> list[Prediction]:
    """Of rows whose answer is code: what its tests say of every answer that was drawn."""
    if not any(example.meta.tests for example in examples):
        return rows
    passed = run_tests(examples, [row.samples or [row.predicted] for row in rows], progress=progress)
    return [
        msgspec.structs.replace(row, passed=results, correct=results[0])
        for row, results in zip(rows, passed, strict=True)
    ]
