"""Requests to the provider, several at a time: set aside, written down, sent, written down, used.

budget.open → journal.sent → ask → journal.answered → budget.close
                   ▲           │ 429, 5xx, broken connection: wait as the server says, at most 5 times
                   └───────────┘
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from typing import Any

from nlp_skills.data.sources.generation.answer import Answer, Ask, NoAnswer, Request
from nlp_skills.data.sources.generation.budget import (
    Budget,
    Cost,
    OutOfBudget,
    budget_text,
    cost,
    price_of,
    worst_cost,
)
from nlp_skills.data.sources.generation.journal import Answered, Asked, Journal, key_of
from nlp_skills.data.sources.generation.place import key_state
from nlp_skills.data.sources.generation.providers import connect
from nlp_skills.data.sources.source import GeneratedSource
from nlp_skills.errors import RunFailed, lasting
from nlp_skills.records import now

REPEATS = 5
LONGEST_WAIT = 120.0
"""Seconds; a server that asks for more is left alone, and the generation goes on another day."""


@dataclass(frozen=True)
class Letter:
    """A request that is to be sent: the name it has in the journal, and what it says."""

    key: str
    asked: Asked


class Sending:
    """The requests of one generation. `use` sees every answer as it comes, and may raise to stop the rest."""

    def __init__(
        self, source: GeneratedSource, schema: dict[str, Any], journal: Journal, budget: Budget
    ) -> None:
        self._source = source
        self._schema = schema
        self._price = price_of(source)
        self._journal = journal
        self._budget = budget
        self._stopped = threading.Event()

    def send(self, letters: Sequence[Letter], use: Callable[[Answered], None]) -> None:
        """Answers to all of them into the journal. What is under way when one fails is still waited for: it is paid.

        Raises RunFailed when the provider or the budget ends it, and what `use` raises.
        """
        self._stopped.clear()
        with connect(self._source, self._schema) as ask, ThreadPoolExecutor(self._source.parallel) as pool:
            under_way = [pool.submit(self._answered, ask, letter) for letter in letters]
            try:
                for done in as_completed(under_way):
                    if (answer := self._result(done)) is not None:
                        use(answer)
            finally:
                self._stopped.set()
                pool.shutdown(cancel_futures=True)

    def _result(self, done: Future[Answered | None]) -> Answered | None:
        try:
            return done.result()
        except OutOfBudget:
            raise RunFailed(self._over()) from None
        except NoAnswer as error:
            raise RunFailed(self._failed(error)) from None

    def _answered(self, ask: Ask, letter: Letter) -> Answered | None:
        """None where others have failed before it was this one's turn."""
        worst = worst_cost(self._source, self._price, letter.asked.prompt, self._schema)
        request = self._request(letter)
        for repeat in range(REPEATS + 1):
            if self._stopped.is_set():
                return None
            self._budget.open(worst)
            paid, wait = Cost(), 0.0
            try:
                if self._stopped.is_set():  # while it waited for room in the budget
                    return None
                self._journal.sent(letter.key, letter.asked, worst.tokens, worst.usd)
                paid = worst
                answer = ask(request)
                line = self._line(letter.key, answer, worst)
                paid = Cost(line.input_tokens + line.output_tokens, line.cost_usd)
                return self._journal.answered(line)
            except NoAnswer as error:
                if not error.may_be_billed:
                    paid = Cost()
                    self._journal.turned_away(letter.key, error.status)
                wait = min(0.5 * 2**repeat, 8.0) if error.wait is None else error.wait
                if repeat == REPEATS or not error.passes or wait > LONGEST_WAIT:
                    self._stopped.set()
                    raise
            finally:
                self._budget.close(worst, paid)
            self._stopped.wait(wait)
        return None

    def _request(self, letter: Letter) -> Request:
        asked = letter.asked
        name = f"nlp-skills-{key_of(letter.key, asked.prompt)[:40]}"
        return Request(asked.prompt, name, int(letter.key[:7], 16))

    def _line(self, key: str, answer: Answer, worst: Cost) -> Answered:
        """Where the server does not count tokens, the most that they can be."""
        sent, written = answer.input_tokens, answer.output_tokens
        most = self._source.max_output_tokens
        sent = worst.tokens - most if sent is None else sent
        written = most if written is None else written
        usd = cost(self._price, sent, written).usd
        return Answered(key, now(), answer.model, answer.text, answer.stopped, sent, written, usd)

    def _failed(self, error: NoAnswer) -> str:
        source = self._source
        text = str(error) if str(error).endswith(".") else f"{error}."
        status = "" if error.status in (None, 200) else f" (HTTP {error.status})"
        key = f" {key_state(source)}" if error.status in (401, 403) else ""
        asks = f" It asks to wait {lasting(error.wait)}." if error.wait and error.wait > LONGEST_WAIT else ""
        return (
            f"{source.name}: {source.provider} gave no answer{status}: {text}{key}{asks} {self._so_far()} What is answered"
            " is kept and not paid again: mend it and regenerate the data to go on."
        )

    def _over(self) -> str:
        return (
            f"{self._source.name}: the next request might pass the budget ({budget_text(self._source)}), so it was not"
            f" sent. {self._so_far()} The data stay as they were. Raise the budget in data_source.yaml and regenerate"
            " the data to go on: what is answered is not paid again. Or lower count to what there is."
        )

    def _so_far(self) -> str:
        answers, lost = len(self._journal.answers), len(self._journal.unanswered)
        unclear = f", {lost} without an answer counted at their worst" if lost else ""
        return f"So far this source has {answers} answered requests ({self._budget.spent}{unclear})."
