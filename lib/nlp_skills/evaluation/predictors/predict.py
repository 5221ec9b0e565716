"""Answers to all rows in their order, each kept as soon as it is there: a prediction that was killed goes on.

keep   {"asked": "4355a46b19d348dc", "prompt": "9f86d081884c7d65", "answered": {…}}

A line for each row, in any order. `asked` names the model and the decoding: answers of others are passed over and left
there, because another process may be writing them.
"""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import msgspec

from nlp_skills.data.example import Example
from nlp_skills.evaluation.predictors.predictor import Answered, Decoding, Predictor
from nlp_skills.records import Progress, silent


class _Kept(msgspec.Struct):
    asked: str
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
    asked = _asked(predictor, how)
    found = _kept(asked, predictor.prompt_hashes(examples), keep)
    missing = [index for index in range(len(examples)) if index not in found]
    keep.parent.mkdir(parents=True, exist_ok=True)
    with keep.open("ab") as stream:
        for place, answered in predictor.answer(
            [examples[i] for i in missing], how, _shifted(progress, len(found))
        ):
            stream.write(msgspec.json.encode(_Kept(asked, answered.prompt_sha256, answered)) + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
            found[missing[place]] = answered
    return [found[index] for index in range(len(examples))]


def kept_answers(
    predictor: Predictor, examples: Sequence[Example], how: Decoding, keep: Path
) -> dict[int, Answered]:
    """What the file `keep` has of these rows, by their index."""
    return _kept(_asked(predictor, how), predictor.prompt_hashes(examples), keep)


def _asked(predictor: Predictor, how: Decoding) -> str:
    """The name of a model and a decoding; how many rows share a batch changes no answer."""
    told = f"{predictor.identity} {how.with_changes(batch_size=1).digest()}"
    return hashlib.sha256(told.encode()).hexdigest()[:16]


def _kept(asked: str, prompts: Sequence[str], keep: Path) -> dict[int, Answered]:
    """The answers by the index of their prompt. A line that a kill has cut is taken out of the file."""
    data = keep.read_bytes() if keep.is_file() else b""
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        with keep.open("r+b") as stream:
            stream.truncate(len(whole))
    known: defaultdict[str, list[Answered]] = defaultdict(list)
    for line in whole.splitlines():
        with suppress(msgspec.DecodeError):  # what cannot be read is asked again
            kept = msgspec.json.decode(line, type=_Kept)
            if kept.asked == asked:
                known[kept.prompt].append(kept.answered)
    # Two rows with one prompt are two rows.
    return {index: known[prompt].pop(0) for index, prompt in enumerate(prompts) if known[prompt]}


def _shifted(progress: Progress, before: int) -> Progress:
    """The same listener; rows that were answered before count too."""

    def told(message: str, done: float, total: float | None) -> None:
        progress(message, done + before, None if total is None else total + before)

    return told
