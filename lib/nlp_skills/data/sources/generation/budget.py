"""What requests cost, and a limit that is not passed.

    spent (answers, lost requests) + under way at their worst + the next one at its worst ≤ budget

A token is at least one byte of text in every tokenizer in use, so the bytes of a prompt are the most
tokens that it can have; the provider's own wrapping is allowed for. An answer has at most
max_output_tokens. A provider that reports more than that has the last word on what was spent.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import msgspec

from nlp_skills.data.sources.generation.journal import Answered, Journal
from nlp_skills.data.sources.generation.place import is_own_machine
from nlp_skills.data.sources.source import GeneratedSource, Price
from nlp_skills.errors import NotValid

WRAPPING = 512
"""Input tokens that a provider may add: roles, a system prompt for structured output."""


@dataclass(frozen=True)
class Cost:
    """Tokens (input and output) and US dollars; None where no price is known."""

    tokens: int = 0
    usd: float | None = 0.0

    def __add__(self, other: Cost) -> Cost:
        usd = None if self.usd is None or other.usd is None else self.usd + other.usd
        return Cost(self.tokens + other.tokens, usd)

    def times(self, count: int) -> Cost:
        """So many of them."""
        return Cost(self.tokens * count, None if self.usd is None else self.usd * count)

    def __str__(self) -> str:
        usd = "an unknown price" if self.usd is None else f"{self.usd:,.4f} USD"
        return f"{self.tokens:,} tokens, {usd}"


def price_of(source: GeneratedSource) -> Price | None:
    """The source's price; nothing for a model on the own machines; None where it is not known.

    Raises NotValid for a budget in dollars that could not be kept.
    """
    price = source.price or (Price(input=0, output=0) if is_own_machine(source) else None)
    if price is None and source.budget_usd is not None:
        raise NotValid(
            f"{source.name}: budget_usd needs the price of {source.model}. Add what {source.provider} charges for a"
            " million tokens: price: {input: …, output: …}, or set budget_tokens in its place."
        )
    return price


def require_limit(source: GeneratedSource, price: Price | None) -> None:
    """Raises NotValid for a source that costs money and may cost any amount."""
    if not is_free(price) and source.budget_tokens is None and source.budget_usd is None:
        raise NotValid(
            f"{source.name}: a source of type llm_generated that costs money needs a limit. Set budget_tokens, for"
            " example budget_tokens: 200000 (input and output together), or budget_usd: 2 with price: {input: …,"
            " output: …}. Without one goes only a model that runs on your own machines."
        )


def is_free(price: Price | None) -> bool:
    """Whether nobody sends a bill."""
    return price is not None and not price.input and not price.output


def cost(price: Price | None, input_tokens: int, output_tokens: int) -> Cost:
    """What a request with so many tokens costs."""
    usd = price and (price.input * input_tokens + price.output * output_tokens) / 1_000_000
    return Cost(input_tokens + output_tokens, usd)


def worst_cost(source: GeneratedSource, price: Price | None, prompt: str, schema: dict[str, Any]) -> Cost:
    """The most that a request can cost."""
    sent = len(prompt.encode()) + len(msgspec.json.encode(schema)) + WRAPPING
    return cost(price, sent, source.max_output_tokens)


def spent(journal: Journal, price: Price | None) -> Cost:
    """What the source has cost so far, with requests that were lost on the way at their worst."""
    total = Cost()
    for answer in journal.paid:
        total += cost_of(answer, price)
    for sent in journal.unanswered:
        # Nobody knows how its tokens divide: without a price at the time all count as output.
        today = cost(price, 0, sent.worst_tokens).usd
        total += Cost(sent.worst_tokens, today if sent.worst_usd is None else sent.worst_usd)
    return total


def cost_of(answer: Answered, price: Price | None) -> Cost:
    """As written down when it was paid; where no price was known then, at today's."""
    counted = cost(price, answer.input_tokens, answer.output_tokens)
    return counted if answer.cost_usd is None else Cost(counted.tokens, answer.cost_usd)


def affordable(source: GeneratedSource, so_far: Cost, worst: Cost) -> int | None:
    """How many requests at their worst the rest of the budget pays for; None: any number."""
    tokens, usd = source.budget_tokens, source.budget_usd
    rests = [(tokens - so_far.tokens) // worst.tokens] if tokens is not None and worst.tokens else []
    if usd is not None and worst.usd:
        rests.append(int((usd - (so_far.usd or 0) + 1e-9) / worst.usd))
    return max(0, min(rests)) if rests else None


def budget_text(source: GeneratedSource) -> str:
    """The limits as they stand in data_source.yaml; empty without one."""
    tokens = "" if source.budget_tokens is None else f"budget_tokens: {source.budget_tokens}"
    usd = "" if source.budget_usd is None else f"budget_usd: {source.budget_usd:g}"
    return ", ".join(filter(None, (tokens, usd)))


class OutOfBudget(Exception):
    """The next request might pass the budget."""


class Budget:
    """The limits of a source, for requests that run at the same time."""

    def __init__(self, source: GeneratedSource, so_far: Cost) -> None:
        self._limits = (source.budget_tokens, source.budget_usd)
        self._spent = so_far
        self._under_way: list[Cost] = []
        self._changed = threading.Condition()

    @property
    def spent(self) -> Cost:
        """Up to now, requests under way not counted."""
        return self._spent

    def open(self, worst: Cost) -> None:
        """Set the worst aside before a request; waits while one under way may leave enough.

        Raises OutOfBudget when it fits in no case.
        """
        with self._changed:
            while not self._fits(worst):
                if not self._under_way:
                    raise OutOfBudget
                self._changed.wait()
            self._under_way.append(worst)

    def close(self, worst: Cost, actual: Cost) -> None:
        """Put what a request has cost in the place of what was set aside."""
        with self._changed:
            self._under_way.remove(worst)
            self._spent += actual
            self._changed.notify_all()

    def _fits(self, worst: Cost) -> bool:
        total = sum(self._under_way, self._spent + worst)
        tokens, usd = self._limits
        return (tokens is None or total.tokens <= tokens) and (
            usd is None or (total.usd is not None and total.usd <= usd + 1e-9)
        )
