"""The losses of a training run as a picture: one scale for all runs that are compared, so that the eye may compare.

Where one run, or the first steps of it, lie far above the rest, an even scale would press the rest flat onto
its lowest line; there the scale is logarithmic, and the words beside the picture say so.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import NamedTuple

from nlp_skills.page.charts import nice_ticks, percent, picture, share_of, text_at, tick_anchor
from nlp_skills.page.markup import Html, element, number

FAR = 10
"""So many times the median loss is far above the rest."""

DECADES = 4
"""Powers of ten that a logarithmic scale holds at most; what is below stands on its lowest line."""


@dataclass(frozen=True)
class Curve:
    """Points of a training run: (step, loss)."""

    train: list[tuple[float, float]] = field(default_factory=list)
    evaluation: list[tuple[float, float]] = field(default_factory=list)

    @property
    def values(self) -> list[float]:
        """Every loss of the curve."""
        return [loss for _, loss in (*self.train, *self.evaluation)]


class LossScale(NamedTuple):
    """The lines of the axis from the lowest to the highest loss, in nats a token (or what the method's loss is in)."""

    ticks: list[float]
    logarithmic: bool = False

    def share(self, loss: float) -> float:
        """Where a loss stands: 0 on the lowest line, 1 on the highest."""
        if not self.logarithmic:
            return share_of(loss, self.ticks)
        return share_of(
            math.log10(max(loss, self.ticks[0])), [math.log10(self.ticks[0]), math.log10(self.ticks[-1])]
        )

    @property
    def told(self) -> str:
        """What has to be said beside the picture: nothing of an even scale."""
        if not self.logarithmic:
            return ""
        low, high = self.ticks[0], self.ticks[-1]
        return (
            f"The scale is logarithmic, from {low:g} to {high:g}, as some losses are more than {FAR} times the median;"
            f" what is below {low:g} stands on the lowest line."
        )


def loss_scale(curves: Iterable[Curve]) -> LossScale:
    """One scale for all losses of the curves: even, or logarithmic where the highest is far above the rest."""
    values = [loss for curve in curves for loss in curve.values] or [0.0, 1.0]
    low, high = min(values), max(values)
    if low < 0 or high <= FAR * median(values):
        return LossScale(nice_ticks(min(low, 0.0), high, count=4))
    bottom = _round_number(max(min(v for v in values if v > 0), high / 10**DECADES), down=True)
    top = _round_number(high, down=False)
    powers = [10.0**n for n in range(math.floor(math.log10(bottom)), math.ceil(math.log10(top)) + 1)]
    return LossScale([bottom, *(p for p in powers if bottom < p < top), top], logarithmic=True)


def _round_number(value: float, *, down: bool) -> float:
    """The next 1, 2 or 5 times a power of ten, below or above a value over 0."""
    power = math.floor(math.log10(value))
    around = [float(f"{m}e{power}") for m in (1, 2, 5, 10)]
    return max(n for n in around if n <= value) if down else min(n for n in around if n >= value)


def loss_chart(curve: Curve, scale: LossScale, *, alternative: str) -> Html:
    """Training loss as a line, evaluation loss as dots on a line, over the steps."""
    height = 200
    steps = [step for step, _ in (*curve.train, *curve.evaluation)]
    across = nice_ticks(0, max(steps, default=1), count=4)

    def down(loss: float) -> float:
        return height * (1 - scale.share(loss))

    parts = [element("line", x1="0", x2="100%", y1=down(t), y2=down(t), class_="grid") for t in scale.ticks]
    parts += [text_at("0", down(t) + 4, f"{t:g}", "tick", "end", dx=-8) for t in scale.ticks]
    parts += [
        text_at(percent(t, across), height + 18, f"{t:g}", "tick", tick_anchor(t, across)) for t in across
    ]
    lines = [
        _line(points, across, scale, kind)
        for points, kind in ((thin(curve.train), "train"), (curve.evaluation, "evaluation"))
        if len(points) > 1
    ]
    parts.append(
        element(
            "svg",
            lines,
            viewBox="0 0 100 100",
            preserveAspectRatio="none",
            width="100%",
            height=height,
        )
    )
    dots = [(point, "dot evaluation") for point in curve.evaluation]
    if len(curve.train) == 1:
        dots.append((curve.train[0], "dot train"))
    parts += [
        element("circle", cx=percent(step, across), cy=down(loss), r=4, class_=kind)
        for (step, loss), kind in dots
    ]
    return picture(parts, height + 26, alternative, "chart with-axis")


def _line(points: Sequence[tuple[float, float]], across: list[float], scale: LossScale, kind: str) -> Html:
    """A path in a 100 × 100 box that is stretched; the stroke is not (non-scaling)."""
    path = " ".join(
        f"{number(100 * share_of(x, across))},{number(100 * (1 - scale.share(y)))}" for x, y in points
    )
    return element("polyline", points=path, class_=f"curve {kind}", vector_effect="non-scaling-stroke")


def thin(points: list[tuple[float, float]], most: int = 300) -> list[tuple[float, float]]:
    """At most `most` points: the mean of each group of neighbours, the first and last kept."""
    if len(points) <= most:
        return points
    size = math.ceil(len(points) / (most - 2))
    inner = [points[i : i + size] for i in range(1, len(points) - 1, size)]
    means = [(sum(x for x, _ in g) / len(g), sum(y for _, y in g) / len(g)) for g in inner]
    return [points[0], *means, points[-1]]
