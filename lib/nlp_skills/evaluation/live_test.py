"""An A/B test on live traffic: how many users, how long, and who sees what.

    arm_of(user, test)  ──▶ "a" or "b"     from a hash: the same user always sees the same model, no list is kept

A user and not a request is what is divided and counted: requests of one user resemble each other. A success is what
stands for a good answer (accepted, solved without a person, not asked again), decided before the test begins, and the
number of users is fixed before too: looking every day and stopping at the first p below 0.05 is wrong far more
often than 5 % of the time (Armitage, McPherson and Rowe 1969, JRSS A 132:235).
"""

from __future__ import annotations

import hashlib
import math
from typing import Literal

from nlp_skills.errors import NotValid, counted
from nlp_skills.evaluation.significance import SIGNIFICANT
from nlp_skills.records import Record

WEEK = 7


class LivePlan(Record):
    """The plan of an A/B test of two proportions."""

    success_rate: float
    """Of the present system."""
    users_a: int
    """Who keep the present system."""
    users_b: int
    """Who see the new one."""
    days: int | None = None
    """In whole weeks, so that every day of the week counts alike; None where the traffic is not known."""
    split: str
    """How users are divided, in words."""
    message: str


def plan_live(
    task: str,
    success_rate: float,
    difference: float,
    power: float,
    users_per_day: float | None,
    share: float,
) -> LivePlan:
    """How many users each side needs. Raises NotValid for rates outside 0 to 1.

    Two proportions with the arcsine transformation (Cohen 1988, Statistical Power Analysis, chapter 6), sides of
    unequal size by their harmonic mean.
    """
    from scipy.stats import norm

    if not 0 < success_rate < 1 or not 0 < success_rate + difference < 1:
        raise NotValid(
            f"success_rate: {success_rate:g} and {success_rate + difference:g} after the change have to lie between 0 and 1."
        )
    if not 0 < share < 1:
        raise NotValid("share: the part of the users that sees the new model, above 0 and below 1.")
    effect = 2 * math.asin(math.sqrt(success_rate + difference)) - 2 * math.asin(math.sqrt(success_rate))
    z = float(norm.ppf(1 - SIGNIFICANT / 2) + norm.ppf(power))
    whole = (z / effect) ** 2 / (share * (1 - share))
    users_a, users_b = math.ceil(whole * (1 - share)), math.ceil(whole * share)
    days = None
    if users_per_day is not None:
        if users_per_day <= 0:
            raise NotValid("users_per_day: give the new users of a day, above 0.")
        days = WEEK * math.ceil(whole / users_per_day / WEEK)
    lasts = (
        "" if days is None else f", {counted(days // WEEK, 'week')} at {users_per_day:,.0f} new users a day"
    )
    return LivePlan(
        success_rate=success_rate,
        users_a=users_a,
        users_b=users_b,
        days=days,
        split=f'arm_of(user, "{task}", {share:g}) of nlp_skills.evaluation.live_test: a hash of the user\'s id, for each stratum'
        " (language, plan) on its own; compare within strata where their rates differ.",
        message=f"Live: {users_a:,} users keep the present system and {users_b:,} see the new one{lasts}; then once, at the end,"
        f" the share of successes of {success_rate:.0%} is told from {success_rate + difference:.0%} in {power:.0%} of cases.",
    )


def arm_of(user: str, test: str, share: float = 0.5) -> Literal["a", "b"]:
    """Which model a user sees: b for about `share` of all users, always the same one in the same test.

    Another test divides the users anew, so that one test's groups do not carry over into the next.
    """
    digest = hashlib.sha256(f"{test}\0{user}".encode()).digest()
    return "b" if int.from_bytes(digest[:8], "big") / 2**64 < share else "a"
