"""How a model is asked: labels are scored, code is sampled, everything else is generated greedily."""

from __future__ import annotations

from collections.abc import Sequence

from nlp_skills.data.example import Example
from nlp_skills.evaluation.predictors import Decoding
from nlp_skills.task.task import Task

SAMPLES = {"pass_at_5": 10, "pass_at_10": 20}
"""Answers to each row: twice k, so that pass@k is estimated and not only tried once (Chen et al. 2021)."""
TEMPERATURE = 0.8
"""Of several answers. Chen et al. 2021 find 0.2 best for one try and 0.8 for a hundred; MultiPL-E (Cassano et al. 2022)
takes 0.8 for ten."""


def choose_decoding(task: Task, train: Sequence[Example], test: Sequence[Example]) -> Decoding:
    """Labels are scored; free text is generated, with room for the longest answer of the training rows."""
    if task.type.has_labels:
        labels = task.labels or sorted({e.output_text for e in (*train, *test)})
        return Decoding(labels=labels, batch_size=16)
    room = room_for([example.output_text for example in train or test])
    samples = SAMPLES.get(task.chosen_metric, 1)
    if samples > 1:
        return Decoding(max_new_tokens=room, batch_size=8, samples=samples, temperature=TEMPERATURE)
    return Decoding(max_new_tokens=room, batch_size=8)


def generated(how: Decoding) -> Decoding:
    """The same for a model that gives no probabilities: it writes its label."""
    if how.labels is None:
        return how
    return Decoding(max_new_tokens=room_for(how.labels), batch_size=how.batch_size)


def room_for(answers: Sequence[str]) -> int:
    """Tokens that the longest of these answers fits into."""
    return min(1024, max(32, *(_room(answer) for answer in answers), 0))


def _room(answer: str) -> int:
    """Tokens that an answer fits into: two letters a token; a digit each, and what is not ASCII byte by byte.

    That is twice what English needs, and what SmolLM2 needs for Chinese (three tokens for a rare character).
    """
    data = answer.encode("utf-8")
    single = sum(byte > 127 or 48 <= byte <= 57 for byte in data)
    return single + (len(data) - single) // 2 + 1
