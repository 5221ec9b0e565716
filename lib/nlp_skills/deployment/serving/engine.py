"""One thread that owns a model: requests join the running rows and leave them between two steps.

    submit ──▶ waiting ──a piece of prompt at a time──▶ running ──one token of each──▶ told
                                                         ▲   └── ended, cut or cancelled: its row leaves
                                                         └────── rows of like length share a batch

Prompts are read in pieces, so that a long one stops nobody's stream for long. First come, first served: who waits
at the head for memory is not overtaken.
"""

from __future__ import annotations

import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from nlp_skills.deployment.serving.choosing import Chosen, Sampling, choose
from nlp_skills.errors import RunFailed
from nlp_skills.evaluation.predictors.joining import join, keep, step, trim
from nlp_skills.evaluation.predictors.prompt_cache import (
    WORTH_SHARING,
    PromptCache,
    Started,
    common_beginning,
    keeps_all,
    window,
)
from nlp_skills.evaluation.predictors.roomy_cache import roomy_cache

if TYPE_CHECKING:
    import torch

Finish = Literal["stop", "length", "failed", "cancelled"]

SPARSE = 2
"""A batch holds at most this many columns for each token in it; a row that would make it wider begins one of its own."""

STOPPING = "the server is stopping"

REFUSED = (RuntimeError, IndexError, ValueError, RunFailed)
"""What torch and transformers raise for rows that cannot be computed; out of memory is a RuntimeError. RunFailed: they came to NaN."""


@dataclass(frozen=True)
class Said:
    """What a job is told: a token, or its end, or both at once."""

    chosen: Chosen | None = None
    finish: Finish | None = None
    error: str = ""


@dataclass(eq=False)
class Job:
    """One answer that is asked for. `tell` is called in the engine's thread and must not wait."""

    prompt: Sequence[int]
    max_tokens: int
    sampling: Sampling
    tell: Callable[[Said], None]
    cancelled: bool = False
    """Set by whoever does not want it any more; its row leaves before the next step."""
    said: int = 0
    draws: torch.Generator | None = None

    @property
    def room(self) -> int:
        """Columns of the cache that it may come to need."""
        return len(self.prompt) + self.max_tokens


@dataclass
class _Running:
    """Rows that go one token further together; `tokens` are what they have just said."""

    batch: Started
    jobs: list[Job]
    tokens: list[int]


@dataclass
class _Opening:
    """A long prompt, of which `read` tokens are in the cache."""

    job: Job
    cache: Any
    read: int = 0


@dataclass
class _Beginning:
    """What the last prompts began with, computed once: a system prompt that all of them share."""

    ids: list[int] = field(default_factory=list)
    cache: PromptCache | None = None
    last: Sequence[int] = ()


class Engine:
    """Continuous batching for one model of transformers."""

    def __init__(
        self, model: Any, pad: int, ends: frozenset[int], *, rows: int, piece: int, room: int
    ) -> None:
        """`rows` run at once; `piece` tokens of prompts are read between two steps; `room` tokens fit into the caches."""
        self._model = model
        self._pad = pad
        self._ends = ends
        self._rows = rows
        self._piece = piece
        self._room = room
        self._joins = keeps_all(model)
        # A window counts columns: padding between a shared beginning and the rest would push tokens out of it.
        self._shares = self._joins and window(model) is None
        self._waiting: deque[Job] = deque()
        self._running: list[_Running] = []
        self._opening: _Opening | None = None
        self._reading: list[Job] = []
        """Whose prompts are read in this round."""
        self._beginning = _Beginning()
        self._changed = threading.Condition()
        self._closing = False
        self._fault: str | None = None
        self._thread = threading.Thread(target=self._work, name="nlp-skills engine", daemon=True)
        self._thread.start()

    @property
    def fault(self) -> str | None:
        """Why it answers no more; None while it does."""
        return self._fault

    @property
    def waiting(self) -> int:
        """Requests whose prompt has not been read yet."""
        return len(self._waiting) + (self._opening is not None)

    @property
    def running(self) -> int:
        """Requests that are being answered."""
        return sum(len(some.jobs) for some in self._running)

    def submit(self, job: Job) -> None:
        """Queue it; from any thread. An engine that is closed tells it so."""
        with self._changed:
            if not self._closing:
                self._waiting.append(job)
                self._changed.notify()
                return
        job.tell(Said(finish="failed", error=self._fault or STOPPING))

    def close(self) -> None:
        """Stop after the step that is under way; whoever is still asking is told."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _work(self) -> None:
        import torch

        try:
            with torch.inference_mode():
                while self._wait():
                    self._round()
        finally:
            died = sys.exception()
            with self._changed:
                self._closing = True
                self._fault = STOPPING if died is None else _told(died)
            running = (job for some in self._running for job in some.jobs)
            left = dict.fromkeys((*self._waiting, *self._opened(), *self._reading, *running))
            self._fail(list(left), self._fault)
            self._waiting.clear()
            self._opening, self._reading, self._running = None, [], []

    def _wait(self) -> bool:
        """Until there is something to do; False when it is to stop."""
        with self._changed:
            self._changed.wait_for(lambda: self._closing or self._waiting or self._running or self._opening)
            return not self._closing

    def _round(self) -> None:
        """A piece of the prompts that wait, then one token of every row that runs."""
        import torch

        self._drop_cancelled()
        self._reading = self._opened() or self._next()
        try:
            started = self._read(self._reading)
            if started is not None:
                self._speak(started)
                self._admit(started)
        except torch.AcceleratorError:  # nothing can be computed on the GPU by this process any more
            raise
        except REFUSED as error:  # these rows are lost, the others go on
            self._opening = None
            self._fail(self._reading, _told(error))
        self._reading = []
        for some in list(self._running):
            try:
                some.batch = step(self._model, some.batch, some.tokens)
                self._speak(some)
            except torch.AcceleratorError:
                raise
            except REFUSED as error:
                self._fail(some.jobs, _told(error))
                some.jobs = []
        self._running = [some for some in self._running if some.jobs]

    def _opened(self) -> list[Job]:
        return [self._opening.job] if self._opening else []

    def _drop_cancelled(self) -> None:
        """Who has gone away leaves its place before anything more is computed for it."""
        with self._changed:
            left = [job for job in self._waiting if job.cancelled]
            for job in left:
                self._waiting.remove(job)
        if self._opening and self._opening.job.cancelled:
            left.append(self._opening.job)
            self._opening = None
        for some in self._running:
            left += [job for job in some.jobs if job.cancelled]
            self._leave(some, [place for place, job in enumerate(some.jobs) if not job.cancelled])
        self._running = [some for some in self._running if some.jobs]
        for job in left:
            job.tell(Said(finish="cancelled"))

    def _next(self) -> list[Job]:
        """Those from the head of the queue whose prompts make up a piece and who have room; at least one who has room."""
        taken: list[Job] = []
        longest = 0
        free = self._room - sum(job.room * SPARSE for some in self._running for job in some.jobs)
        with self._changed:
            while self._waiting and self.running + len(taken) < self._rows:
                job = self._waiting[0]
                longest = max(longest, len(job.prompt))
                idle = not (
                    taken or self._running
                )  # one that needs all of the room gets it when nobody else is there
                free -= job.room * SPARSE
                if (free < 0 and not idle) or (taken and longest * (len(taken) + 1) > self._piece):
                    break
                taken.append(self._waiting.popleft())
        return taken

    def _read(self, jobs: list[Job]) -> _Running | None:
        """The prompts in the cache, with the logits of what comes next; None where a long one is not at its end yet."""
        if not jobs:
            return None
        if self._opening is None and self._joins and len(jobs) == 1 and len(jobs[0].prompt) > self._piece:
            self._opening = _Opening(jobs[0], roomy_cache())
        batch = self._go_on(self._opening) if self._opening else self._begun(jobs)
        if batch is None:
            return None
        self._opening = None
        return _Running(batch, jobs, [])

    def _go_on(self, opening: _Opening) -> Started | None:
        """Another piece of a long prompt."""
        import torch

        prompt = opening.job.prompt
        end = min(opening.read + self._piece, len(prompt))
        device = self._model.device
        out = self._model(
            input_ids=torch.tensor([list(prompt[opening.read : end])], device=device),
            position_ids=torch.arange(opening.read, end, device=device)[None],
            past_key_values=opening.cache,
            use_cache=True,
            logits_to_keep=1,
        )
        opening.read = end
        if end < len(prompt):
            return None
        mask = torch.ones(1, end, dtype=torch.long, device=device)
        return Started(out.logits[:, -1], opening.cache, mask, torch.tensor([[end - 1]], device=device))

    def _begun(self, jobs: list[Job]) -> Started:
        """Prompts together; what they begin with is not computed again where the last ones began alike."""
        prompts = [job.prompt for job in jobs]
        known = self._beginning
        size = len(known.ids)
        if known.cache is None or any(len(p) <= size or list(p[:size]) != known.ids for p in prompts):
            both = [*prompts, known.last] if known.last else prompts
            shared = common_beginning(both) if self._shares and len(both) > 1 else 0
            if shared >= WORTH_SHARING:
                known.ids, known.cache = list(prompts[0][:shared]), PromptCache(self._model, self._pad, both)
            else:
                known.cache = None
        known.last = prompts[-1]
        cache = known.cache or PromptCache(self._model, self._pad, [])
        return cache.start(prompts)

    def _speak(self, some: _Running) -> None:
        """The next token of each row, told to whom it belongs; rows that have ended leave."""
        chosen = choose(
            some.batch.logits, [job.sampling for job in some.jobs], [self._draws(job) for job in some.jobs]
        )
        going: list[int] = []
        for place, (job, token) in enumerate(zip(some.jobs, chosen, strict=True)):
            job.said += 1
            finish: Finish | None = None
            if token.id in self._ends:
                finish = "stop"
            elif job.said >= job.max_tokens:
                finish = "length"
            else:
                going.append(place)
            job.tell(Said(token, finish))
        some.tokens = [token.id for token in chosen]
        self._leave(some, going)

    def _draws(self, job: Job) -> torch.Generator | None:
        """The request's own draws: the same seed gives the same ones, whoever else is in the batch."""
        import torch

        if job.draws is None and job.sampling.temperature > 0:
            job.draws = torch.Generator()
            if job.sampling.seed is None:
                job.draws.seed()
            else:
                job.draws.manual_seed(job.sampling.seed)
        return job.draws

    def _leave(self, some: _Running, going: list[int]) -> None:
        if len(going) == len(some.jobs):
            return
        some.jobs = [some.jobs[place] for place in going]
        some.tokens = [some.tokens[place] for place in going]
        if going:
            some.batch = keep(some.batch, going)
            if self._joins:
                some.batch = trim(some.batch)

    def _admit(self, new: _Running) -> None:
        """Into the batch that it fits best, or as one of its own."""
        if not new.jobs:
            return
        if self._joins:
            for some in sorted(self._running, key=lambda some: -len(some.jobs)):
                if _is_dense(some.batch, new.batch):
                    some.batch = join(some.batch, new.batch)
                    some.jobs += new.jobs
                    some.tokens += new.tokens
                    return
        self._running.append(new)

    def _fail(self, jobs: Sequence[Job], error: str) -> None:
        for job in jobs:
            job.tell(Said(finish="failed", error=error))


def _is_dense(first: Started, second: Started) -> bool:
    """Whether the two in one batch leave no more columns empty than is worth it."""
    rows = len(first.mask) + len(second.mask)
    columns = max(first.mask.shape[1], second.mask.shape[1])
    return rows * columns <= SPARSE * int(first.mask.sum() + second.mask.sum())


def _told(error: BaseException) -> str:
    return f"the model failed: {str(error).splitlines()[0] if str(error) else type(error).__name__}"
