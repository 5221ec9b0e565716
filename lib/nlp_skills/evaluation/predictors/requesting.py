"""What all programs that answer over HTTP have in common: rows in, answers out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import TypeAlias

from nlp_skills.data.example import Example
from nlp_skills.errors import NotValid
from nlp_skills.evaluation.predictors.asking import Asking
from nlp_skills.evaluation.predictors.predictor import Answered, Decoding
from nlp_skills.records import Progress

AskOnce: TypeAlias = Callable[[Example, Decoding, int], Answered]
"""(row, decoding, number of the sample) → one answer."""


def ask_rows(
    asking: Asking,
    once: AskOnce,
    examples: Sequence[Example],
    how: Decoding,
    progress: Progress,
    name: str,
) -> Iterator[tuple[int, Answered]]:
    """Index and answer of every row as they come, `how.batch_size` requests under way. Raises RunFailed."""

    def ask(row: int) -> Answered:
        return together([once(examples[row], how, number) for number in range(how.samples)])

    for done, found in enumerate(asking.all(ask, len(examples), how.batch_size), start=1):
        yield found
        progress(f"{name}: answering", done, len(examples))


def together(drawn: Sequence[Answered]) -> Answered:
    """Several answers to one row as one, the first of them its text."""
    if len(drawn) == 1:
        return drawn[0]
    tokens = [one.tokens for one in drawn if one.tokens is not None]
    return replace(
        drawn[0],
        samples=tuple(one.text for one in drawn),
        milliseconds=sum(one.milliseconds or 0.0 for one in drawn),
        tokens=sum(tokens) if len(tokens) == len(drawn) else None,
        cut=any(one.cut for one in drawn),
    )


def no_scores(name: str) -> NotValid:
    """Why labels cannot be scored there, and what to do."""
    return NotValid(
        f"{name} says nothing of the probability of a given answer, so labels and pairs of answers cannot be scored with it."
        " Ask a version, a folder or a GGUF file; or let it generate the answer: a Decoding without labels, suites of a"
        " benchmark that are answered in words."
    )
