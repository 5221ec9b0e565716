"""Answers that are generated, many rows at a time; a row that has ended leaves its batch, and another takes its place.

Greedy means the most probable token and nothing else: penalties and limits that a model's own
generation_config asks for (repetition_penalty, top_k) would be settings that nobody sees in the results.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from nlp_skills.evaluation.predictors.batches import longest_first
from nlp_skills.evaluation.predictors.joining import join, keep, step, trim
from nlp_skills.evaluation.predictors.own_state import say_alone
from nlp_skills.evaluation.predictors.predictor import Decoding
from nlp_skills.evaluation.predictors.prompt_cache import PromptCache, Started

if TYPE_CHECKING:
    import torch

GROUP = 8
"""New prompts are read once an eighth of the batch is free: one that is read alone costs as much as a token of all rows."""

PADDING, PADDING_GPU = 32, 1024
"""Tokens of padding that cost no more than reading the weights once again, on a processor and on a GPU."""


@dataclass(frozen=True)
class Generated:
    """The tokens of one answer, its end included where there is one."""

    ids: list[int]
    cut: bool
    """No end came before the limit of tokens."""
    seconds: float = field(default=0.0, compare=False)
    """Its share of the time of the batches that it stood in."""


Answers: TypeAlias = tuple[int, list[Generated]]
"""A prompt's index, and what was said to it."""


def generate(
    model: Any, start: PromptCache, ends: frozenset[int], prompts: Sequence[Sequence[int]], how: Decoding
) -> list[list[Generated]]:
    """The answers to each prompt, in the prompts' order: see `generate_each`."""
    found = dict(generate_each(model, start, ends, prompts, how))
    return [found[index] for index in range(len(prompts))]


def generate_each(
    model: Any, start: PromptCache, ends: frozenset[int], prompts: Sequence[Sequence[int]], how: Decoding
) -> Iterator[Answers]:
    """A prompt's index and its `how.samples` answers, as they come, up to an end token or `how.max_new_tokens`.

    `how.batch_size` prompts are under way at once, the longest first; of a GPU that has no room for them, half as many.
    A model that keeps a state of its own is asked one after the other.
    """
    if not start.takes_cache:
        for index in longest_first(prompts):
            yield index, [_alone(model, ends, prompts[index], how, n) for n in range(how.samples)]
        return
    import torch

    waiting = deque(longest_first(prompts))
    running = _Running(model, start, ends, how)
    at_once, large = how.batch_size, set[int]()
    while waiting or running.rows:
        new = running.take(waiting, prompts, at_once)
        under_way = [*dict.fromkeys(row.index for row in running.rows), *new]
        ended = _in_memory(running, {index: prompts[index] for index in new}, alone=len(under_way) == 1)
        if ended is None:
            waiting.extendleft(reversed(under_way))
            at_once, large = len(under_way) // 2, {*under_way}
            running = _Running(model, start, ends, how)
            torch.cuda.empty_cache()
            continue
        yield from ended
        large -= {index for index, _ in ended}
        if not large:  # those that follow are shorter
            at_once = how.batch_size


def _alone(model: Any, ends: frozenset[int], prompt: Sequence[int], how: Decoding, number: int) -> Generated:
    started, draw = time.perf_counter(), _draw(how, prompt, number)
    ids = say_alone(
        model,
        ends,
        prompt,
        how.max_new_tokens,
        lambda logits: _choose(logits, how.temperature, [draw])[0],
    )
    return Generated(ids, ids[-1] not in ends, time.perf_counter() - started)


def _in_memory(running: _Running, new: dict[int, Sequence[int]], *, alone: bool) -> list[Answers] | None:
    """What has ended; None where the GPU has no room for all that is under way. Raises for one prompt `alone`."""
    import torch

    try:
        return running.begin(new) if new else running.go_on()
    except torch.OutOfMemoryError:
        if alone:
            raise
    return None


@dataclass(eq=False)
class _Row:
    """One answer that is under way."""

    index: int
    """Of its prompt."""
    number: int
    """Among the answers to it."""
    draw: torch.Generator
    said: list[int] = field(default_factory=list)
    seconds: float = 0.0


class _Running:
    """The rows that go one token further together."""

    def __init__(self, model: Any, start: PromptCache, ends: frozenset[int], how: Decoding) -> None:
        self._model, self._start, self._ends, self._how = model, start, ends, how
        self._batch: Started | None = None
        self._ended: dict[int, list[_Row]] = {}
        self.rows: list[_Row] = []

    def take(self, waiting: deque[int], prompts: Sequence[Sequence[int]], at_once: int) -> list[int]:
        """Those from the head of the queue whose turn it is: of like length, where the others can join later."""
        joins = self._start.keeps_all
        free = at_once - -(-len(self.rows) // self._how.samples)
        if not waiting or (self.rows and not joins) or free < min(len(waiting), max(1, at_once // GROUP)):
            return []
        most = PADDING if self._model.device.type == "cpu" else PADDING_GPU
        longest, padding, taken = len(prompts[waiting[0]]), 0, [waiting.popleft()]
        while waiting and len(taken) < free:
            padding += longest - len(prompts[waiting[0]])
            if joins and padding > most:
                break
            taken.append(waiting.popleft())
        return taken

    def begin(self, prompts: dict[int, Sequence[int]]) -> list[Answers]:
        """Read prompts, which say their first token; those that have ended with it."""
        import torch

        started, numbers = time.perf_counter(), range(self._how.samples)
        rows = [
            _Row(index, n, _draw(self._how, prompt, n)) for index, prompt in prompts.items() for n in numbers
        ]
        with torch.inference_mode():
            batch = self._start.start(list(prompts.values()))
            if len(numbers) > 1:
                batch = keep(batch, [place for place in range(len(prompts)) for _ in numbers])
            batch, ended = self._say(batch, rows)
            if batch is not None:
                self._batch = batch if self._batch is None else join(self._batch, batch)
        self.rows += [row for row in rows if row not in ended]
        return self._told(rows, ended, started)

    def go_on(self) -> list[Answers]:
        """Each row says one more token; those that have ended with it."""
        import torch

        started, rows, batch = time.perf_counter(), self.rows, self._batch
        assert batch is not None
        with torch.inference_mode():
            batch = step(self._model, batch, [row.said[-1] for row in rows])
            self._batch, ended = self._say(batch, rows)
        self.rows = [row for row in rows if row not in ended]
        return self._told(rows, ended, started)

    def _say(self, batch: Started, rows: list[_Row]) -> tuple[Started | None, list[_Row]]:
        """The next token of each row; the batch of those that go on, and the rows that have ended."""
        chosen = _choose(batch.logits, self._how.temperature, [row.draw for row in rows])
        going: list[int] = []
        for place, (row, token) in enumerate(zip(rows, chosen, strict=True)):
            row.said.append(token)
            if token not in self._ends and len(row.said) < self._how.max_new_tokens:
                going.append(place)
        if len(going) == len(rows):
            return batch, []
        ended = [row for place, row in enumerate(rows) if place not in set(going)]
        if not going:
            return None, ended
        batch = keep(batch, going)
        return trim(batch) if self._start.keeps_all else batch, ended

    def _told(self, rows: list[_Row], ended: list[_Row], started: float) -> list[Answers]:
        """The prompts all of whose answers have ended; `rows` share the time since `started`."""
        share = (time.perf_counter() - started) / len(rows)
        for row in rows:
            row.seconds += share
        found = []
        for row in ended:
            answers = self._ended.setdefault(row.index, [])
            answers.append(row)
            if len(answers) == self._how.samples:
                del self._ended[row.index]
                answers.sort(key=lambda one: one.number)
                found.append((row.index, [self._generated(one) for one in answers]))
        return found

    def _generated(self, row: _Row) -> Generated:
        return Generated(row.said, row.said[-1] not in self._ends, row.seconds)


def _choose(logits: torch.Tensor, temperature: float, draws: list[torch.Generator]) -> list[int]:
    import torch

    if temperature == 0:
        return logits.argmax(dim=-1).tolist()
    shares = (logits.float() / temperature).softmax(dim=-1).cpu()
    return [int(torch.multinomial(row, 1, generator=g)) for row, g in zip(shares, draws, strict=True)]


def _draw(how: Decoding, prompt: Sequence[int], number: int) -> torch.Generator:
    """The row's own draws: the same in every batch, and others for every row and sample."""
    import hashlib

    import torch

    name = f"{how.seed} {number} {' '.join(map(str, prompt))}".encode()
    return torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(name).digest()[:7]))
