"""Answers to all rows in their order, each kept as soon as it is there: a prediction that was killed goes on.

keep   {"predictor": …, "how": …}                       who was asked, and how
       {"prompt": "9f86d081884c7d65", "answered": {…}}  a line for each row, in any order
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec

from nlp_skills.data.example import Example
from nlp_skills.evaluation.predictors.predictor import Answered, Decoding, Predictor
from nlp_skills.records import Progress, silent


class _Asked(msgspec.Struct):
    """The first line: answers of another model or another decoding are not taken."""

    predictor: str
    how: str


class _Kept(msgspec.Struct):
    prompt: str
    answered: Answered


def predict(
    predictor: Predictor,
    examples: Sequence[Example],
    how: Decoding,
    *,
    keep: Path | None = None,
    progress: Progress = silent,
) -> list[Answered]:
    """The answer to each row, in the rows' order.

    Rows whose answer is in the file `keep`, from the same model, prompt and decoding, are not asked again; new ones are
    added to it. Whoever calls removes it once the results are written. Raises what the predictor raises.
    """
    if keep is None:
        found = dict(predictor.answer(examples, how, progress))
        return [found[index] for index in range(len(examples))]
    found = kept_answers(predictor, examples, how, keep)
    missing = [index for index in range(len(examples)) if index not in found]
    with keep.open("ab") as stream:
        for place, answered in predictor.answer(
            [examples[i] for i in missing], how, _shifted(progress, len(found))
        ):
            stream.write(msgspec.json.encode(_Kept(answered.prompt_sha256, answered)) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
            found[missing[place]] = answered
    return [found[index] for index in range(len(examples))]


def kept_answers(
    predictor: Predictor, examples: Sequence[Example], how: Decoding, keep: Path
) -> dict[int, Answered]:
    """What the file `keep` has of these rows, by their index; it is made where it is not there."""
    # How many rows share a batch changes no answer.
    known = _read(keep, _Asked(predictor.identity, how.with_changes(batch_size=1).digest()))
    found: dict[int, Answered] = {}
    for index, prompt in enumerate(predictor.prompt_hashes(examples)):
        if known[prompt]:  # two rows with one prompt are two rows
            found[index] = known[prompt].pop(0)
    return found


def _read(keep: Path, asked: _Asked) -> defaultdict[str, list[Answered]]:
    """The answers by their prompt. What a kill has cut, or belongs to another model, is taken out of the file."""
    known: defaultdict[str, list[Answered]] = defaultdict(list)
    head = msgspec.json.encode(asked) + b"\n"
    data = keep.read_bytes() if keep.is_file() else b""
    whole = data[: data.rfind(b"\n") + 1]
    if not whole.startswith(head):
        keep.parent.mkdir(parents=True, exist_ok=True)
        keep.write_bytes(head)
        return known
    if len(whole) < len(data):
        with keep.open("r+b") as stream:
            stream.truncate(len(whole))
    for line in whole[len(head) :].splitlines():
        kept = msgspec.json.decode(line, type=_Kept)
        known[kept.prompt].append(kept.answered)
    return known


def _shifted(progress: Progress, before: int) -> Progress:
    """The same listener; rows that were answered before count too."""

    def told(message: str, done: float, total: float | None) -> None:
        progress(message, done + before, None if total is None else total + before)

    return told
