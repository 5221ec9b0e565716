"""Conditions over a request, put together and simplified."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from nlp_skills.deployment.go_template.values import (
    All,
    Any_,
    Choice,
    Equal,
    Facts,
    Formula,
    Is,
    NeverReached,
    Not,
)


def negate(formula: Formula) -> Formula:
    """The opposite, without double negation."""
    if isinstance(formula, bool):
        return not formula
    return formula.part if isinstance(formula, Not) else Not(formula)


def every(*parts: Formula) -> Formula:
    """All of them, simplified."""
    return _together(All, parts)


def some(*parts: Formula) -> Formula:
    """Any of them, simplified."""
    return _together(Any_, parts)


def _together(kind: type[All | Any_], parts: Iterable[Formula]) -> Formula:
    decides = kind is Any_  # the part that decides alone, wherever it stands; its opposite adds nothing
    found: list[Formula] = []
    for part in parts:
        if part is decides:
            return decides
        for one in part.parts if isinstance(part, kind) else (part,):
            if not isinstance(one, bool) and one not in found:
                if negate(one) in found:
                    return decides
                found.append(one)
    return kind(tuple(found)) if len(found) > 1 else found[0] if found else not decides


def either(condition: Formula, then: Formula, otherwise: Formula) -> Formula:
    """A formula that is one or the other."""
    if then == otherwise:
        return then
    if isinstance(then, bool) and isinstance(otherwise, bool):
        return condition if then else negate(condition)
    return some(every(condition, then), every(negate(condition), otherwise))


def known(formula: Formula, facts: Facts) -> Formula:
    """The formula with what is known put in."""
    if isinstance(formula, bool):
        return formula
    if isinstance(formula, Not):
        return negate(known(formula.part, facts))
    if isinstance(formula, All):
        return every(*(known(part, facts) for part in formula.parts))
    if isinstance(formula, Any_):
        return some(*(known(part, facts) for part in formula.parts))
    if formula in facts:
        return facts[formula]
    excluded = isinstance(formula, Equal) and any(
        holds and isinstance(fact, Equal) and fact.of == formula.of for fact, holds in facts.items()
    )
    return False if excluded else formula


def learned(formula: Formula, holds: bool) -> Iterator[tuple[Is, bool]]:
    """What follows of single expressions when the formula holds, or does not."""
    if isinstance(formula, Not):
        yield from learned(formula.part, not holds)
    elif isinstance(formula, Is):
        yield formula, holds
    elif isinstance(formula, All if holds else Any_):
        for part in formula.parts:
            yield from learned(part, holds)


def choose(condition: Formula, then: Any, otherwise: Any) -> Any:
    """The value, or a Choice."""
    if isinstance(condition, bool):
        return then if condition else otherwise
    if isinstance(then, Choice) and then.condition == condition:
        then = then.then
    if isinstance(otherwise, Choice) and otherwise.condition == condition:
        otherwise = otherwise.otherwise
    if type(then) is type(otherwise) and then == otherwise:
        return then
    return Choice(condition, then, otherwise)


def lifted(apply: Callable[..., Any], *values: Any) -> Any:
    """`apply` on every combination of what the values may be, without those that Jinja stops at."""
    for place, value in enumerate(values):
        if isinstance(value, Choice):
            results = []
            for one in (value.then, value.otherwise):
                with contextlib.suppress(NeverReached):
                    results.append(lifted(apply, *values[:place], one, *values[place + 1 :]))
            if not results:
                raise NeverReached("whatever the request is, Jinja stops there")
            return choose(value.condition, results[0], results[-1])
    return apply(*values)
