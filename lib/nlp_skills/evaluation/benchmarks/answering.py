"""The harness's requests put to a predictor: as a chat, with the template and the end tokens of the task's own rows.

A choice's probability holds its end token, as in every other evaluation here; the harness's own `hf` model leaves it
out. Plain texts (plain_texts.py) are what published figures of base models are measured with.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from nlp_skills.data.example import Example, Message, Meta
from nlp_skills.errors import NotValid
from nlp_skills.evaluation.predictors import Decoding, Predictor
from nlp_skills.records import Progress

AT_ONCE = 64
"""Rows that are scored between two signs of progress."""
MAX_NEW_TOKENS = 256
"""Where a task does not say (the harness's own default)."""


class ChatAnswers:
    """Answers requests whose contexts are the JSON of turns."""

    def __init__(self, predictor: Predictor, batch_size: int, seed: int, progress: Progress) -> None:
        self._predictor = predictor
        self._batch_size = batch_size
        self._seed = seed
        self._progress = progress

    def __call__(self, what: str, rows: list[Any]) -> list[Any]:
        """The answers to the rows of one request, in their order."""
        return self._choices(rows) if what == "choices" else self._generate(rows)

    def _choices(self, rows: list[dict[str, Any]]) -> list[list[tuple[float, bool]]]:
        found: list[list[tuple[float, bool]]] = []
        for start in range(0, len(rows), AT_ONCE):
            some = rows[start : start + AT_ONCE]
            said = [[choice.lstrip(" ") for choice in row["choices"]] for row in some]
            scores = self._predictor.score_choices([turns(row["context"]) for row in some], said)
            # Whether a choice is what greedy decoding says is not looked at: harness_worker refuses what needs it.
            found += [[(value, False) for value in row] for row in scores]
            self._progress(f"{self._predictor.name}: scoring", len(found), len(rows))
        return found

    def _generate(self, rows: list[dict[str, Any]]) -> list[str]:
        said = [""] * len(rows)
        for how, places in self._alike(rows).items():
            limit, temperature, number = how
            decoding = Decoding(
                max_new_tokens=limit,
                batch_size=self._batch_size,
                temperature=temperature,
                seed=self._seed + number,
            )
            examples = [turns(rows[place]["context"]) for place in places]
            for index, answer in self._predictor.answer(examples, decoding, self._progress):
                place = places[index]
                said[place] = until(answer.text, stops(rows[place]["settings"]))
        return said

    @staticmethod
    def _alike(rows: list[dict[str, Any]]) -> dict[tuple[int, float, int], list[int]]:
        """Rows that are decoded alike; a context that comes again is drawn again, with another seed."""
        seen: Counter[str] = Counter()
        alike: defaultdict[tuple[int, float, int], list[int]] = defaultdict(list)
        for place, row in enumerate(rows):
            alike[(*decoding_of(row["settings"]), seen[row["context"]])].append(place)
            seen[row["context"]] += 1
        return alike


def turns(context: str) -> Example:
    """A context as a row that waits for its answer."""
    messages = [Message(turn["role"], turn["content"]) for turn in json.loads(context)]
    return Example(
        meta=Meta(id="benchmark", source="benchmark"), messages=[*messages, Message("assistant", "")]
    )


def decoding_of(settings: dict[str, Any]) -> tuple[int, float]:
    """Tokens at most and temperature, under the names that tasks of the harness use."""
    limit = next(
        (settings[n] for n in ("max_gen_toks", "max_new_tokens", "max_tokens") if n in settings), None
    )
    drawn = settings.get("do_sample", False) or "do_sample" not in settings
    temperature = float(settings.get("temperature") or 0.0) if drawn else 0.0
    if settings.get("num_beams", 1) != 1:
        raise NotValid("A task asks for beam search, which no predictor here does. Leave num_beams out.")
    return int(limit or MAX_NEW_TOKENS), temperature


def stops(settings: dict[str, Any]) -> Sequence[str]:
    """The strings that end an answer."""
    given = settings.get("until") or []
    return [given] if isinstance(given, str) else given


def until(text: str, ends: Sequence[str]) -> str:
    """The text before the first of its ends."""
    for end in ends:
        if end:
            text = text.split(end, 1)[0]
    return text
