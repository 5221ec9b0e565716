"""PREF-SAME and PREF-LENGTH: pairs that prefer nothing, and pairs that prefer length.

A model that learns from pairs of which the longer one nearly always wins learns to write more
(Singhal et al., A Long Way to Go: Investigating Length Correlations in RLHF, arXiv 2310.03716;
Park et al., Disentangling Length from Quality in DPO, arXiv 2403.19159).
"""

from __future__ import annotations

import math
from array import array
from statistics import median
from typing import ClassVar

import msgspec

from nlp_skills.data.checks.rows import Context, Rows
from nlp_skills.data.checks.tally import SHOWN, Tally
from nlp_skills.data.example import Example, Message
from nlp_skills.data.excerpt import excerpt
from nlp_skills.data.report import DoesNotApply, Finding, RowReference
from nlp_skills.errors import counted

SHARE = 0.6
"""Share of the pairs of unequal length in which the longer answer wins, from which on it is clearly more than half."""
CHANCE = 0.01
"""What the sign test has to be below: with few pairs such a share may be chance."""

_encode = msgspec.json.Encoder().encode


class Preferences:
    """Compares the two answers of each pair."""

    checks: ClassVar[tuple[str, ...]] = ("PREF-SAME", "PREF-LENGTH")

    def __init__(self, _context: Context, /) -> None:
        self._pairs = 0
        self._ratios = array("d")
        """Characters of the better answer for one of the worse, of pairs of unequal length."""
        self._longest: list[tuple[float, RowReference]] = []
        fix = "Drop these pairs, or write the worse answer anew: they teach nothing"
        self._same = Tally(
            "PREF-SAME", "error", "The chosen and the rejected answer are the same: {rows}.", fix
        )
        self._alike = Tally(
            "PREF-SAME",
            "error",
            "The chosen and the rejected answer differ in nothing but white space: {rows}.",
            fix,
        )

    def see(self, rows: Rows) -> None:
        """Take in the next rows; those that are no pairs are passed over."""
        for line, example in zip(rows.lines, rows.examples, strict=True):
            if example.chosen and example.rejected:
                self._pairs += 1
                if is_same_pair(example):
                    equal = example.chosen == example.rejected
                    tally = self._same if equal else self._alike
                    tally.add(rows.file, line, example.output_text)
                self._measure(rows.file, line, example)

    def _measure(self, file: str, line: int, example: Example) -> None:
        better, worse = characters(example.chosen or []), characters(example.rejected or [])
        if better == worse:
            return
        ratio = better / max(worse, 1)
        self._ratios.append(ratio)
        if ratio > 1 and (len(self._longest) < SHOWN or ratio > self._longest[-1][0]):
            text = f"{better:,} characters to {worse:,}: {example.input_text}"
            row = RowReference(file=file, line=line, text=excerpt(text))
            self._longest = _extreme([*self._longest, (ratio, row)])

    def merge(self, later: Preferences) -> None:
        """Take in what another process has seen of later rows."""
        self._pairs += later._pairs
        self._ratios.extend(later._ratios)
        self._longest = _extreme([*self._longest, *later._longest])
        self._same.merge(later._same)
        self._alike.merge(later._alike)

    def findings(self) -> list[Finding]:
        """Equal pairs, pairs that are equal up to white space, and a preference for length."""
        return [*self._same.findings(), *self._alike.findings(), *self._length()]

    def _length(self) -> list[Finding]:
        """The share of longer answers, their median ratio, and how likely chance gives so many."""
        unequal = len(self._ratios)
        longer = sum(ratio > 1 for ratio in self._ratios)
        chance = sign_test(longer, unequal)
        if not unequal or longer / unequal < SHARE or chance >= CHANCE:
            return []
        message = (
            f"The chosen answer is the longer one in {longer / unequal:.0%} of {counted(unequal, 'pair')} of unequal"
            f" length (in the median {median(self._ratios):.2f} times as long as the rejected one; by chance"
            f" {_probability(chance)})."
        )
        fix = (
            "Add pairs in which the shorter answer is the better one, or drop some of the longest chosen answers;"
            " otherwise the model learns to write more"
        )
        rows = [row for _, row in self._longest]
        return [
            Finding(check="PREF-LENGTH", level="warning", message=message, count=longer, rows=rows, fix=fix)
        ]

    def not_run(self) -> dict[str, str]:
        """There have to be pairs."""
        if self._pairs:
            return {}
        return dict.fromkeys(self.checks, DoesNotApply("no row is a pair of a chosen and a rejected answer"))


def is_same_pair(example: Example) -> bool:
    """Whether the two answers of a pair say the same, up to white space."""
    return bool(example.chosen) and _said(example.chosen) == _said(example.rejected or [])


def _said(messages: list[Message]) -> list[tuple[str, str, bytes]]:
    return [
        (turn.role, " ".join((turn.content or "").split()), _encode(turn.tool_calls)) for turn in messages
    ]


def characters(messages: list[Message]) -> int:
    """What the assistant writes, tool calls as their JSON."""
    own = [turn for turn in messages if turn.role == "assistant"]
    calls = sum(len(_encode(turn.tool_calls).decode()) for turn in own if turn.tool_calls)
    return calls + sum(len(turn.content or "") for turn in own)


def sign_test(longer: int, unequal: int) -> float:
    """The probability that of so many fair coins at least `longer` show heads.

    P(X ≥ k) = Σ C(n, i) / 2ⁿ for i from k to n: the one-sided sign test, ties left out (Dixon and Mood,
    The Statistical Sign Test, Journal of the American Statistical Association 41, 1946).
    """
    if 2 * longer <= unequal:
        return 1.0 if longer == 0 else min(1.0, 1.0 - _upper_tail(unequal - longer + 1, unequal))
    return min(1.0, _upper_tail(longer, unequal))


def _upper_tail(least: int, coins: int) -> float:
    """The sum from `least` on, which is beyond the middle: each term is smaller than the one before."""
    if least > coins:
        return 0.0
    term = math.exp(
        math.lgamma(coins + 1) - math.lgamma(least + 1) - math.lgamma(coins - least + 1) - coins * math.log(2)
    )
    total = 0.0
    for heads in range(least, coins + 1):
        total += term
        term *= (coins - heads) / (heads + 1)
        if term < 1e-17 * total:
            break
    return total


def _extreme(rows: list[tuple[float, RowReference]]) -> list[tuple[float, RowReference]]:
    """The pairs with the greatest ratio; of equal ones the first."""
    return sorted(rows, key=lambda row: -row[0])[:SHOWN]


def _probability(chance: float) -> str:
    return (
        f"with a probability of {chance:.2g}"
        if chance >= 1e-6
        else "with a probability below one in a million"
    )
