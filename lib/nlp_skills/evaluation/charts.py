"""Pictures for the report: intervals and confusion, drawn as page/charts.py says.

The heat map has a width of its own, and scrolls inside its box where that is too wide.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from nlp_skills.evaluation.results import Interval
from nlp_skills.page.charts import (
    MOST_LABELS,
    nice_ticks,
    percent,
    picture,
    share_of,
    shorten,
    text_at,
    tick_anchor,
    vertical,
    width_of,
)
from nlp_skills.page.markup import Html, element, join, number

SHADES = ((0.1, 0.14), (0.25, 0.26), (0.5, 0.42), (0.75, 0.9), (1.0, 1.0))
"""Share of a row, up to → opacity. Nothing in between 0.42 and 0.9, where neither ink nor paper can be read."""

DARK = 0.5
"""Above this opacity a cell's number is written in the colour of the paper."""


class IntervalRow(NamedTuple):
    """One line of the interval chart."""

    label: str
    interval: Interval
    emphasis: bool = False


def interval_chart(rows: Sequence[IntervalRow], *, alternative: str, target: float | None = None) -> Html:
    """A dot for each value and a line for its 95 % interval, on one shared axis."""
    row_height, top = 50, 20 if target is not None else 0
    values = [v for row in rows for v in (row.interval.low, row.interval.high, row.interval.value)]
    ends = values if target is None else [*values, target]
    ticks = nice_ticks(min(ends), max(ends), limit=(0.0, 1.0))
    height = top + row_height * len(rows)

    def place(value: float) -> str:
        return percent(value, ticks)

    parts = [vertical(place(tick), top, height, "grid") for tick in ticks]
    parts += [
        text_at(place(tick), height + 18, f"{tick:g}", "tick", tick_anchor(tick, ticks)) for tick in ticks
    ]
    if target is not None:
        parts.append(vertical(place(target), top - 4, height, "target"))
        share = share_of(target, ticks)
        anchor = "end" if share > 0.85 else "start" if share < 0.15 else "middle"
        parts.append(text_at(place(target), 10, f"target {target:g}", "target-text", anchor))
    for index, row in enumerate(rows):
        parts.append(_interval(row, top + index * row_height, place))
    return picture(parts, height + 26, alternative, "chart with-rows")


def _interval(row: IntervalRow, top: float, place: Callable[[float], str]) -> Html:
    kind = "mark strong" if row.emphasis else "mark"
    value, low, high = row.interval.value, row.interval.low, row.interval.high
    return element(
        "g",
        text_at("0", top + 15, shorten(row.label, 32), "row-label", "start"),
        text_at("100%", top + 15, f"{value:.3f}", "row-value", "end"),
        element("line", x1=place(low), x2=place(high), y1=top + 30, y2=top + 30),
        element("line", x1=place(low), x2=place(low), y1=top + 26, y2=top + 34),
        element("line", x1=place(high), x2=place(high), y1=top + 26, y2=top + 34),
        element("circle", cx=place(value), cy=top + 30, r=5.5),
        class_=kind,
    )


def heat_map(confusion: Mapping[str, Mapping[str, int]], labels: Sequence[str], *, alternative: str) -> Html:
    """Rows are what was expected, columns what was predicted; the shade is the share of the row."""
    # At least so wide that the word "expected" has room where labels are short.
    cell, left = 46, max(64, 18 + 7.2 * min(max(map(width_of, labels), default=0), 22))
    top = left * 0.72 + 26
    parts = [
        element("text", "predicted", x=left, y=12, class_="tick"),
        element("text", "expected", x=left - 10, y=top - 10, class_="tick", text_anchor="end"),
    ]
    for index, label in enumerate(labels):
        middle = index * cell + cell / 2
        x, y = left + middle, top - 8
        parts.append(
            element(
                "text",
                shorten(label, 22),
                x=x,
                y=y,
                class_="cell-label",
                transform=f"rotate(-45 {number(x)} {number(y)})",
            )
        )
        parts.append(
            element(
                "text",
                shorten(label, 22),
                x=left - 10,
                y=top + middle + 4,
                class_="cell-label",
                text_anchor="end",
            )
        )
    for i, expected in enumerate(labels):
        row = confusion.get(expected, {})
        total = sum(row.values())
        for j, predicted in enumerate(labels):
            count = row.get(predicted, 0)
            parts.append(
                _cell(count, total, left + j * cell, top + i * cell, cell - 2, expected == predicted)
            )
    width = left + cell * len(labels) + left * 0.5
    return picture(parts, top + cell * len(labels), alternative, "natural", width)


def _cell(count: int, total: int, x: float, y: float, size: float, right: bool) -> Html:
    share = count / total if total else 0.0
    fill = "cell right" if right else "cell wrong"
    square = element("rect", x=x, y=y, width=size, height=size, rx=3, class_="cell")
    if not count:
        return square
    opacity = next(shade for upper, shade in SHADES if share <= upper)
    shade = element("rect", x=x, y=y, width=size, height=size, rx=3, class_=fill, fill_opacity=opacity)
    text = "count dark" if opacity > DARK else "count"
    middle = x + size / 2
    return join(
        (
            square,
            shade,
            element("text", f"{count}", x=middle, y=y + size / 2 + 5, class_=text, text_anchor="middle"),
        )
    )


def fold_confusion(
    confusion: Mapping[str, Mapping[str, int]], most: int = MOST_LABELS
) -> tuple[dict[str, dict[str, int]], list[str]]:
    """The labels in order and their counts; of more than `most`, those with fewest errors become one."""
    labels = sorted({*confusion, *(label for row in confusion.values() for label in row)})
    if len(labels) <= most:
        return {label: dict(confusion.get(label, {})) for label in labels}, labels
    errors = {
        label: sum(n for e, row in confusion.items() for p, n in row.items() if e != p and label in (e, p))
        for label in labels
    }
    kept = sorted(sorted(labels, key=lambda label: (-errors[label], label))[: most - 1])
    others = f"{len(labels) - len(kept)} others"
    folded: dict[str, dict[str, int]] = {label: {} for label in (*kept, others)}
    for expected, row in confusion.items():
        target = folded[expected if expected in kept else others]
        for predicted, count in row.items():
            name = predicted if predicted in kept else others
            target[name] = target.get(name, 0) + count
    return folded, [*kept, others]
