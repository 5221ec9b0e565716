"""Pictures for pages: pure functions from data to an SVG string.

A chart is as wide as its column: positions are percentages and text keeps its size, so the same
SVG is readable at 360 px and at 1280 px. The plot is the SVG's own box; labels stand outside of it
(overflow is visible) in the margin that the class in page.css leaves.

Colours are classes: page.css holds the light and the dark palette (Okabe and Ito 2008, which
readers with any kind of colour vision can tell apart), and no meaning is carried by colour alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from nlp_skills.page.markup import Html, element, number

MOST_LABELS = 20
"""More labels than this are not readable side by side; the quietest are added up as `others`."""


class Bar(NamedTuple):
    """One bar: how long (any unit), what is written at its end, and its series (0, 1, 2)."""

    length: float
    text: str
    series: int = 0


def bar_chart(groups: Mapping[str, Sequence[Bar]], *, alternative: str) -> Html:
    """For each name its bars below each other; the longest bar takes three quarters of the width."""
    longest = max((bar.length for bars in groups.values() for bar in bars), default=0) or 1
    parts: list[Html] = []
    y = 0.0
    for name, bars in groups.items():
        parts.append(text_at("0", y + 13, name, "row-label", "start"))
        y += 20
        for bar in bars:
            width = f"{number(72 * bar.length / longest)}%"
            parts.append(
                element("rect", x="0", y=y, width=width, height=9, class_=f"bar series-{bar.series}")
            )
            parts.append(text_at(width, y + 9, bar.text, "tick", "start", dx=8))
            y += 14
        y += 12
    return picture(parts, max(y - 8, 1), alternative, "chart")


def histogram(buckets: Mapping[str, int], *, alternative: str) -> Html:
    """Buckets in their order from top to bottom: any name of a bucket fits, at any width."""
    highest = max(buckets.values(), default=0) or 1
    parts = []
    for index, (name, count) in enumerate(buckets.items()):
        y = index * 20
        width = f"{number(78 * count / highest)}%"
        parts.append(text_at("0", y + 13, name, "tick", "end", dx=-8))
        parts.append(element("rect", x="0", y=y + 2, width=width, height=15, class_="bar series-0"))
        parts.append(text_at(width, y + 13, f"{count:,}", "tick", "start", dx=6))
    return picture(parts, 20 * len(buckets), alternative, "chart with-names")


def nice_ticks(
    low: float, high: float, *, count: int = 5, limit: tuple[float, float] | None = None
) -> list[float]:
    """Round numbers (1, 2 or 5 times a power of ten) that enclose the values, about `count` of them.

    `limit` keeps the axis inside what the value can be at all.
    """
    if high <= low:
        low, high = (low - 0.05, high + 0.05) if limit else (min(low, 0.0), max(high, low + 1.0))
    raw = (high - low) / count
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1.0, 2.0, 5.0, 10.0) if m * power >= raw * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    ticks = [round(i * step, 10) for i in range(first, last + 1)]
    return [t for t in ticks if limit is None or limit[0] - 1e-9 <= t <= limit[1] + 1e-9]


def percent(value: float, ticks: Sequence[float]) -> str:
    """Where a value stands on the axis: `42.5%`."""
    return f"{number(100 * share_of(value, ticks))}%"


def shorten(text: str, most: int) -> str:
    """The text on one line, cut with an ellipsis where it is too wide (a CJK character counts twice)."""
    text = " ".join(text.split())
    if width_of(text) <= most:
        return text
    kept = ""
    for character in text:
        if width_of(kept + character) >= most:
            break
        kept += character
    return f"{kept.rstrip()}…"


def width_of(text: str) -> int:
    return sum(2 if ord(character) >= 0x1100 else 1 for character in text)


def share_of(value: float, ticks: Sequence[float]) -> float:
    span = ticks[-1] - ticks[0]
    return min(max((value - ticks[0]) / span, 0.0), 1.0) if span else 0.5


def tick_anchor(tick: float, ticks: Sequence[float]) -> str:
    return "start" if tick == ticks[0] else "end" if tick == ticks[-1] else "middle"


def text_at(x: str, y: float, text: str, kind: str, anchor: str, dx: float | None = None) -> Html:
    return element("text", text, x=x, y=y, class_=kind, text_anchor=anchor, dx=dx)


def vertical(x: str, top: float, bottom: float, kind: str) -> Html:
    return element("line", x1=x, x2=x, y1=top, y2=bottom, class_=kind)


def picture(
    parts: Iterable[Html], height: float, alternative: str, kind: str, width: float | None = None
) -> Html:
    """The SVG element; a screen reader gets the alternative instead of loose numbers.

    One with a width of its own can be made smaller as a whole, which paper needs.
    """
    size = "100%" if width is None else number(width)
    box = None if width is None else f"0 0 {number(width)} {number(height)}"
    return element(
        "svg", *parts, class_=kind, role="img", aria_label=alternative, width=size, height=height, viewBox=box
    )
