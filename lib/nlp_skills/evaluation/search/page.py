"""`search.html`: the trials of a search, what mattered, and where in each range the good values lie."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from nlp_skills.errors import counted
from nlp_skills.evaluation.figures import show_value
from nlp_skills.evaluation.search.record import SearchDefinition, SearchReport, Trial
from nlp_skills.evaluation.search.study import ENOUGH_TO_TELL
from nlp_skills.page import render_page
from nlp_skills.page.charts import (
    Bar,
    bar_chart,
    nice_ticks,
    percent,
    picture,
    share_of,
    text_at,
    tick_anchor,
    vertical,
)
from nlp_skills.page.markup import Html, element, join
from nlp_skills.page.parts import absent, figure, lead, section, table
from nlp_skills.records import write_atomic
from nlp_skills.training.search_space import Choices, Range

HEIGHT = 200


def write_search_page(file: Path, definition: SearchDefinition, report: SearchReport) -> None:
    """Write the page; the same records give the same page."""
    write_atomic(file, search_page(definition, report).encode())


def search_page(definition: SearchDefinition, report: SearchReport) -> str:
    """The page's text."""
    valued = [t for t in report.trials if t.value is not None]
    main = join(
        (
            _trials(definition, report, valued),
            _importance(report),
            _fields(definition, valued),
            _table(definition, report),
        )
    )
    return render_page(
        f"{report.task}: search {report.key}",
        header=_header(definition, report),
        main=main,
        footer=element(
            "p",
            "Made by nlp-skills from search.json beside this page. All figures are of the validation rows; the test"
            f" rows were not looked at. The search again: nlp-skills search-settings {report.task}",
        ),
        nav={"trials": "Trials", "mattered": "What mattered", "values": "Values", "all": "All trials"},
    )


def _header(definition: SearchDefinition, report: SearchReport) -> Html:
    ended = [t for t in report.trials if t.state != "running"]
    title = (
        f"No trial of {report.trials_wanted} has ended yet"
        if report.best is None
        else f"{report.best} is the best of {counted(len(ended), 'trial')}: {report.metric} {show_value(report.best_value or 0.0, '.4f')}"
    )
    quiet = [
        f"{counted(report.trials_wanted, 'trial')} from {report.parent}",
        f"{report.count('pruned')} ended early",
    ]
    quiet += [f"{report.count('failed')} failed"] if report.count("failed") else []
    return join(
        (
            element("p", f"{report.task} · search {report.key} · {report.state}", class_="eyebrow"),
            element("h1", title),
            element("p", ", ".join(quiet) + f", seed {definition.seed}", class_="quiet"),
            element("p", report.error, class_="warnings") if report.error else None,
        )
    )


def _trials(definition: SearchDefinition, report: SearchReport, valued: Sequence[Trial]) -> Html:
    better = "Lower" if definition.lower_is_better else "Higher"
    if not valued:
        return section("trials", "Trials", absent("No trial has a value yet."))
    points = [(float(t.number), t.value or 0.0, t.state == "complete") for t in valued]
    across = nice_ticks(0, max(1, *(t.number for t in valued)), count=6)
    across = [tick for tick in across if tick % 1 == 0]
    told = f"{report.metric} of {counted(len(valued), 'trial')}; the best is {report.best}."
    return section(
        "trials",
        "Trials",
        lead(
            f"Each dot is a trial, in their order. {better} is better. Filled: trained to the end. Hollow: ended early, with"
            " the value that it had then. The line is the best so far of those trained to the end, the ring the best of all."
        ),
        figure(dot_chart(points, across, [f"{t:g}" for t in across], alternative=told, best=definition)),
    )


def dot_chart(
    points: Sequence[tuple[float, float, bool]],
    across: list[float],
    names: Sequence[str],
    *,
    alternative: str,
    best: SearchDefinition | None = None,
) -> Html:
    """Points (x, value, trained to the end) over an axis with named ticks; `best`: with the line of the best so far."""
    values = [value for _, value, _ in points]
    upward = nice_ticks(min(values), max(values), count=4)

    def down(value: float) -> float:
        return HEIGHT * (1 - share_of(value, upward))

    parts = [element("line", x1="0", x2="100%", y1=down(t), y2=down(t), class_="grid") for t in upward]
    parts += [text_at("0", down(t) + 4, f"{t:g}", "tick", "end", dx=-8) for t in upward]
    parts += [
        text_at(percent(t, across), HEIGHT + 18, name, "tick", tick_anchor(t, across))
        for t, name in zip(across, names, strict=True)
    ]
    if best is not None:
        parts += _best_so_far(points, across, down, best)
    parts += [
        element(
            "circle",
            cx=percent(x, across),
            cy=down(value),
            r=4.5 if whole else 4,
            class_="dot evaluation" if whole else "dot hollow",
        )
        for x, value, whole in points
    ]
    return picture(parts, HEIGHT + 26, alternative, "chart with-axis")


def _best_so_far(
    points: Sequence[tuple[float, float, bool]], across: list[float], down: Any, definition: SearchDefinition
) -> list[Html]:
    steps: list[tuple[float, float]] = []
    for x, value, whole in points:
        if whole and (not steps or definition.better(value, steps[-1][1])):
            steps.append((x, value))
    if not steps:
        return []
    levels = [
        element("line", x1=percent(x, across), x2=percent(end, across), y1=down(y), y2=down(y), class_="best")
        for (x, y), end in zip(steps, [*(x for x, _ in steps[1:]), points[-1][0]], strict=True)
    ]
    drops = [
        vertical(percent(x, across), down(above), down(y), "best") for (_, above), (x, y) in pairwise(steps)
    ]
    x, y = steps[-1]
    return [*levels, *drops, element("circle", cx=percent(x, across), cy=down(y), r=9, class_="ring")]


def _importance(report: SearchReport) -> Html:
    if not report.importance:
        told = (
            f"It takes {ENOUGH_TO_TELL} trials trained to the end, with values that differ, to tell which setting"
            f" mattered. So far: {counted(report.count('complete'), 'trial')}."
        )
        return section("mattered", "What mattered", absent(told))
    bars = {field: [Bar(share, f"{share:.0%}")] for field, share in report.importance.items()}
    told = ", ".join(f"{field} {share:.0%}" for field, share in report.importance.items())
    return section(
        "mattered",
        "What mattered",
        lead(
            f"The share of the differences between {report.count('complete')} complete trials that each setting"
            " explains (fANOVA). It is an estimate: with twice as many trials it may come out otherwise."
        ),
        figure(bar_chart(bars, alternative=f"Importance: {told}")),
    )


def _fields(definition: SearchDefinition, valued: Sequence[Trial]) -> Html | None:
    if not valued:
        return None
    charts = [
        element("div", element("h3", field), figure(_field_chart(definition, field, values, valued)))
        for field, values in definition.space.items()
    ]
    return section("values", "Values", element("div", charts, class_="columns"))


def _field_chart(
    definition: SearchDefinition, field: str, values: Range | Choices, valued: Sequence[Trial]
) -> Html:
    told = f"{definition.metric} by {field}"
    if isinstance(values, Choices):
        across = [float(place) for place in range(len(values.choices))]
        names = [f"{choice}" for choice in values.choices]
        points = [(float(values.choices.index(t.settings[field])), t) for t in valued]
    elif values.log:
        across = [math.log10(end) for end in (values.low, math.sqrt(values.low * values.high), values.high)]
        names = [f"{10**tick:.2g}" for tick in across]
        points = [(math.log10(t.settings[field]), t) for t in valued]
    else:
        across = [values.low, (values.low + values.high) / 2, values.high]
        names = [f"{tick:g}" for tick in across]
        points = [(float(t.settings[field]), t) for t in valued]
    marks = [(x, t.value or 0.0, t.state == "complete") for x, t in points]
    return dot_chart(marks, across, names, alternative=told)


def _table(definition: SearchDefinition, report: SearchReport) -> Html:
    words = {"complete": "trained", "pruned": "ended early", "failed": "failed", "running": "running"}
    rows = [
        [
            f"{t.number}",
            t.version or "",
            "the best" if t.version == report.best and t.state == "complete" else words[t.state],
            "" if t.value is None else show_value(t.value, ".4f"),
            *(f"{t.settings.get(field, '')}" for field in definition.space),
            t.note or "",
        ]
        for t in report.trials
    ]
    heads = ["Trial", "Version", "", report.metric, *definition.space, "Note"]
    return section("all", "All trials", table(heads, rows))
