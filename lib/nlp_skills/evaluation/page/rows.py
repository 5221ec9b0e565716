"""Single rows: those that the version fixed and broke, and the wrong predictions to browse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from nlp_skills.errors import clip
from nlp_skills.evaluation.page.evidence import Evidence
from nlp_skills.evaluation.results import Interval, Prediction
from nlp_skills.evaluation.verdict import (
    capitalize,
    metric_name,
    show_p,
    show_signed,
)
from nlp_skills.page.markup import Html, element, json_block
from nlp_skills.page.parts import LONGEST_INPUT, absent, input_text, lead, plain, section, table
from nlp_skills.task.comparison import ChangedRow, Comparison

MOST_CHANGED = 30
"""Fixed and broken rows that are listed."""


FIRST_ROWS = 20
"""Wrong predictions that stand in the page itself: for print, and where scripts do not run."""


def changes_section(evidence: Evidence) -> Html:
    latest, comparison = evidence.latest, evidence.comparison
    if latest.parent is None:
        return section(
            "changes", "Against the version before", absent(f"{latest.version} is the first version.")
        )
    title = f"{latest.version} against {latest.parent}"
    if comparison is None or isinstance(comparison, str):
        reason = comparison or f"{latest.parent} and {latest.version} have not both been evaluated."
        return section("changes", title, absent(f"Not compared: {reason}"))
    metrics = table(
        ["", comparison.a, comparison.b, "Difference", "95 % interval"],
        [
            [
                capitalize(metric_name(name)),
                f"{d.a:.3f}",
                f"{d.b:.3f}",
                *_difference_cells(d.difference, d.low, d.high),
            ]
            for name, d in comparison.metrics.items()
        ],
        numbers=True,
    )
    settings = [[name, plain(a), plain(b)] for name, (a, b) in comparison.config_changes.items()]
    p = f", McNemar {show_p(comparison.p_value)}" if comparison.p_value is not None else ""
    return section(
        "changes",
        title,
        lead(
            f"On {comparison.count:,} rows: {comparison.fixed:,} fixed, {comparison.broken:,} broken{p}. "
            f"The data {'changed' if comparison.data_changed else 'did not change'}."
        ),
        metrics,
        table(["Setting", comparison.a, comparison.b], settings) if settings else lead("No setting changed."),
        _changed_rows("Fixed", comparison.fixed, comparison.fixed_rows, comparison, evidence.task.language),
        _changed_rows(
            "Broken", comparison.broken, comparison.broken_rows, comparison, evidence.task.language
        ),
    )


def _difference_cells(value: float, low: float, high: float) -> list[str]:
    change, interval = show_signed(Interval(value=value, low=low, high=high)).split(" (95 % interval ")
    return [change, interval.rstrip(")")]


def _changed_rows(
    title: str, count: int, rows: Sequence[ChangedRow], comparison: Comparison, language: str | None
) -> Html:
    shown = rows[:MOST_CHANGED]
    rest = count - len(shown)
    grid = table(
        ["Input", "Expected", comparison.a, comparison.b],
        [[input_text(row.input or row.id, language), row.expected, row.a, row.b] for row in shown],
        stack=True,
    )
    more = lead(f"And {rest:,} more.") if rest > 0 else None
    return element(
        "details",
        element("summary", f"{title} rows ({count:,})"),
        grid if shown else lead("None."),
        more,
        open=title == "Broken" and 0 < count <= 10,
    )


def mistakes_section(evidence: Evidence) -> Html:
    found, version = evidence.predictions, evidence.latest.version
    if found is None:
        return section("mistakes", "Wrong predictions", absent(f"{version} has no predictions yet."))
    counted = lead(f"{found.wrong_count:,} of {found.count:,} rows are wrong.")
    if not found.wrong:
        return section("mistakes", "Wrong predictions", counted)
    cut = found.wrong_count - len(found.wrong)
    rows = [_mistake(prediction) for prediction in found.wrong]
    scored = any(row[4] is not None for row in rows)
    static = [
        [
            input_text(row[1] or row[0], evidence.task.language),
            row[2],
            row[3],
            *([_confidence(row[4])] if scored else []),
        ]
        for row in rows[:FIRST_ROWS]
    ]
    grid = table(
        ["Input", "Expected", "Predicted", *(["Confidence"] if scored else [])],
        static,
        stack=True,
        identifier="wrong",
    )
    order = element(
        "label",
        element("input", type="checkbox", id="by-confidence"),
        " most confident first",
        class_="check",
    )
    return section(
        "mistakes",
        "Wrong predictions",
        counted,
        element("noscript", lead(f"The first {len(static)} are shown; the filter needs a script."))
        if found.wrong_count > len(static)
        else None,
        element(
            "div",
            element(
                "label",
                "Filter",
                element(
                    "input", type="search", id="filter", autocomplete="off", placeholder="text, label or id"
                ),
                class_="filter",
            ),
            order if scored else None,
            element("output", f"{len(rows):,} rows", id="shown", for_="filter"),
            class_="controls",
            hidden=True,
            id="controls",
        ),
        grid,
        element("button", "Show more", type="button", id="more", hidden=True),
        lead(f"{cut:,} more stand in versions/{version}/predictions.jsonl.") if cut else None,
        json_block("rows", {"language": evidence.task.language, "scored": scored, "rows": rows}),
    )


def _mistake(prediction: Prediction) -> list[Any]:
    """id, input, expected, predicted, confidence."""
    text = prediction.input
    if len(text) > LONGEST_INPUT:
        text = f"{text[:LONGEST_INPUT]}… ({len(text) - LONGEST_INPUT:,} more characters)"
    confidence = (prediction.scores or {}).get(prediction.predicted)
    rounded = None if confidence is None else round(confidence, 4)
    return [
        prediction.id,
        text,
        clip(prediction.expected, LONGEST_INPUT),
        clip(prediction.predicted, LONGEST_INPUT),
        rounded,
    ]


def _confidence(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
