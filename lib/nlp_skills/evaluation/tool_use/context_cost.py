"""What tool definitions cost: tokens of a given model's prompt, their share of its context window, and what to prune.

4 %    the same definitions are small in a window of 200,000 tokens     8,000 tokens, for example
25 %   the most that leaves room for the work                          in one of 32,000
100 %  nothing else fits                                               in one of 8,000
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any, Literal, NamedTuple, Self

from nlp_skills.evaluation.tool_use.record import Calling
from nlp_skills.records import Record

SMALL, RECOMMENDED, WHOLE = 0.04, 0.25, 1.0
USUAL_WINDOWS = (200_000, 32_000, 8_000)
"""Claude, and local models with a long and a short window."""
ALIKE = 0.7
"""Shared words of two tools' names and descriptions (Jaccard) from which they are hard to tell apart."""
LARGE = 0.1
"""Share of all tool tokens from which one tool is named."""
Fit = Literal["small", "recommended", "too much", "does not fit"]


class ToolCost(Record):
    """One definition."""

    name: str
    tokens: int
    share: float
    """Of the tokens that the tools of a prompt take which offers it, on average."""
    used: int | None = None
    """Calls of it in the data; None where the data hold no calls."""


class WindowShare(Record):
    """A context window, and how much of it the definitions take."""

    window: int
    share: float
    fit: Fit
    of_the_model: bool = False


class Pruning(Record):
    """What could go, and why."""

    tools: list[str]
    reason: str
    tokens: int
    """That it would save in a prompt at most."""


class ContextCost(Record):
    """What a set of tools costs with a model."""

    model: str
    calling: Calling
    source: str
    """Where the definitions were read."""
    together: int
    """Tools that a prompt offers at once: all of them; of rows, those of the row whose tools are the largest."""
    tokens: int
    """Of these together, with the words around them."""
    median_tokens: int
    """Of the tools of one row; as `tokens` where one set is offered to all."""
    windows: list[WindowShare]
    tools: list[ToolCost]
    """The largest first."""
    prune: list[Pruning]
    saved: str | None = None
    """Where the definitions were kept, within the task."""

    def brief(self) -> Self:
        """The twenty largest tools."""
        return self.model_copy(update={"tools": self.tools[:20]})


Count = Callable[[Sequence[Mapping[str, Any]]], int]
"""How many tokens a prompt has that offers these tools."""


Tools = Sequence[Mapping[str, Any]]


class Offer(NamedTuple):
    """Tools that stand in one prompt together."""

    tools: Tools
    rows: int
    """How many rows offer these."""
    tokens: int

    @property
    def names(self) -> list[str]:
        """Of its tools."""
        return [tool_name(tool) for tool in self.tools]


def context_cost(
    tools: Tools,
    offered: Sequence[tuple[Tools, int]],
    count: Count,
    used: Counter[str] | None,
    window: int | None,
    *,
    model: str,
    calling: Calling,
    source: str,
    saved: str | None = None,
) -> ContextCost:
    """The costs, largest first; one definition's is what the prompt grows by when it is listed once more.

    `tools` is each tool once, `offered` the sets that stand in a prompt together, with the number of rows that offer
    each: nothing is added up that no prompt holds.
    """
    nothing = count([])
    offers = [Offer(some, rows, count(some) - nothing) for some, rows in offered]
    largest = max(offers, key=lambda offer: offer.tokens)
    costs = _costs(tools, offers, count, used)
    windows = [window] if window else []
    return ContextCost(
        model=model,
        calling=calling,
        source=source,
        together=len(largest.tools),
        tokens=largest.tokens,
        median_tokens=_median(offers),
        windows=[
            _window(size, largest.tokens, size == window)
            for size in dict.fromkeys([*windows, *USUAL_WINDOWS])
        ],
        tools=costs,
        prune=list(_prune(tools, offers, costs)),
        saved=saved,
    )


def _costs(tools: Tools, offers: Sequence[Offer], count: Count, used: Counter[str] | None) -> list[ToolCost]:
    rows, tokens = Counter[str](), Counter[str]()
    for offer in offers:
        for name in set(offer.names):
            rows[name] += offer.rows
            tokens[name] += offer.rows * offer.tokens
    sizes = {tool_name(tool): count([tool, tool]) - count([tool]) for tool in tools}
    return [
        ToolCost(
            name=name,
            tokens=size,
            share=round(min(1.0, size * rows[name] / max(1, tokens[name])), 4),
            used=None if used is None else used[name],
        )
        for name, size in sorted(sizes.items(), key=lambda item: (-item[1], item[0]))
    ]


def _median(offers: Sequence[Offer]) -> int:
    """Of the tokens that the tools of a row take; the lower one of two."""
    ordered = sorted(offers, key=lambda offer: offer.tokens)
    half, seen = sum(offer.rows for offer in offers) / 2, 0
    for offer in ordered:
        seen += offer.rows
        if seen >= half:
            return offer.tokens
    return 0


def _window(size: int, tokens: int, own: bool) -> WindowShare:
    share = tokens / size
    fit: Fit = (
        "small"
        if share <= SMALL
        else "recommended"
        if share <= RECOMMENDED
        else "too much"
        if share < WHOLE
        else "does not fit"
    )
    return WindowShare(window=size, share=round(share, 4), fit=fit, of_the_model=own)


def _prune(tools: Tools, offers: Sequence[Offer], costs: Sequence[ToolCost]) -> Iterator[Pruning]:
    """Never called, hard to tell apart, large: in this order."""
    tokens = {cost.name: cost.tokens for cost in costs}
    never = [cost.name for cost in costs if cost.used == 0]
    if never:
        saved = max(sum(tokens[name] for name in set(never).intersection(offer.names)) for offer in offers)
        yield Pruning(tools=never, reason="never called in the data", tokens=saved)
    words = {tool_name(tool): _words(tool) for tool in tools}
    together = dict.fromkeys(pair for offer in offers for pair in combinations(dict.fromkeys(offer.names), 2))
    for one, other in together:
        alike = _likeness(words[one], words[other])
        if alike >= ALIKE:
            reason = f"names and descriptions share {alike:.0%} of their words: a model mixes them up"
            yield Pruning(tools=[one, other], reason=reason, tokens=min(tokens[one], tokens[other]))
    for cost in costs:
        beside = [len(offer.tools) for offer in offers if cost.name in offer.names]
        if beside and cost.share >= max(LARGE, 2 / min(beside)):
            reason = (
                f"{cost.share:.0%} of the tool tokens of its prompts: shorten its description or its schema"
            )
            yield Pruning(tools=[cost.name], reason=reason, tokens=cost.tokens)


def _likeness(a: set[str], b: set[str]) -> float:
    return len(a & b) / len(a | b) if a | b else 0.0


def _words(tool: Mapping[str, Any]) -> set[str]:
    """Of the name (getWeather, get_weather) and the description."""
    inner = tool["function"]
    name = re.sub(r"(?<=[a-z])(?=[A-Z])", " ", inner["name"]).replace("_", " ")
    return set(re.findall(r"\w+", f"{name} {inner.get('description', '')}".lower()))


def tool_name(tool: Mapping[str, Any]) -> str:
    return tool["function"]["name"]
