"""How far a judge can be trusted: does it say the same in both orders, and the same as people?"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from nlp_skills.evaluation.metrics.judge import Verdict
from nlp_skills.records import Record


class JudgeAgreement(Record):
    """What a judge said of pairs of answers, and what that is worth."""

    count: int
    a: int
    b: int
    ties: int
    unread: int
    """Pairs of which at least one reply gave no verdict; they count nowhere else."""
    consistency: float | None = None
    """Of the pairs with two verdicts: the share where both orders gave the same. None: there are no such pairs."""
    first: int = 0
    """Inconsistent pairs where what stood first won both times; half of them would be no bias."""
    second: int = 0
    """Inconsistent pairs where what stood last won both times."""
    people: int = 0
    """Pairs with two verdicts of which people said which answer is better."""
    agreement: float | None = None
    """The share of these where the judge's verdict is theirs."""
    kappa: float | None = None
    """Cohen's kappa with people: 0 is chance, 1 is the same every time; None where it is not defined."""


def measure_agreement(
    verdicts: Sequence[Verdict], people: Sequence[str | None] | None = None
) -> JudgeAgreement:
    """Consistency of the verdicts, and their agreement with people's (a, b or tie; None where nobody said)."""
    said = zip(verdicts, people or [None] * len(verdicts), strict=True)
    read = [(v, winner, human) for v, human in said if (winner := v.winner) is not None]
    won = Counter(winner for _, winner, _ in read)
    both = [(winner, human) for _, winner, human in read if human is not None]
    orders = Counter((v.forward, v.swapped) for v, _, _ in read)
    same = sum(count for (forward, swapped), count in orders.items() if forward == swapped)
    return JudgeAgreement(
        count=len(verdicts),
        a=won["a"],
        b=won["b"],
        ties=won["tie"],
        unread=len(verdicts) - len(read),
        consistency=same / len(read) if read else None,
        first=orders["a", "b"],
        second=orders["b", "a"],
        people=len(both),
        agreement=sum(x == y for x, y in both) / len(both) if both else None,
        kappa=cohen_kappa([x for x, _ in both], [y for _, y in both]),
    )


def cohen_kappa(a: Sequence[str], b: Sequence[str]) -> float | None:
    """Agreement of two raters beyond chance (Cohen 1960); None without rows, or where both always say one and the same.

    Raises ValueError where they did not rate the same number of things.
    """
    if len(a) != len(b):
        raise ValueError(f"{len(a)} and {len(b)} ratings")
    if not a:
        return None
    seen = sum(x == y for x, y in zip(a, b, strict=True)) / len(a)
    of_a, of_b = Counter(a), Counter(b)
    chance = sum(of_a[label] * of_b[label] for label in of_a) / len(a) ** 2
    return (seen - chance) / (1 - chance) if chance < 1 else None
