"""Against the version before: metrics, settings, and the rows that were fixed and broken."""

from __future__ import annotations

from collections.abc import Sequence

from nlp_skills.errors import counted
from nlp_skills.evaluation.page.evidence import Evidence
from nlp_skills.evaluation.results import Interval
from nlp_skills.evaluation.verdict import (
    capitalize,
    metric_name,
    show_p,
    show_signed,
)
from nlp_skills.page.markup import Html, element
from nlp_skills.page.parts import absent, input_text, lead, plain, section, table
from nlp_skills.task.comparison import ChangedRow, Comparison

MOST_CHANGED = 30
"""Fixed and broken rows that are listed."""


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
            f"On {counted(comparison.count, 'row')}: {comparison.fixed:,} fixed, {comparison.broken:,} broken{p}. "
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
