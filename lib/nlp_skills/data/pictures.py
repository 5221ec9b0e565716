"""Pictures and lists of what data hold: for data/validation.html and for the report of a version."""

from __future__ import annotations

from collections.abc import Mapping

from nlp_skills.data.report import OTHERS, Finding
from nlp_skills.page import charts
from nlp_skills.page.charts import Bar
from nlp_skills.page.markup import Html, element
from nlp_skills.page.parts import figure, lead, listed, table


def share_bars(counts: Mapping[str, Mapping[str, int]], noun: str = "label") -> list[Html]:
    """By split or file: how many rows each label (language, source …) has, as bars with a table; of a single one a sentence."""
    totals: dict[str, int] = {}
    for row in counts.values():
        for label, count in row.items():
            totals[label] = totals.get(label, 0) + count
    others = totals.pop(OTHERS, 0)
    order = sorted(totals, key=lambda label: (-totals[label], label))
    if len(order) == 1 and not others:  # a picture of one value says less than a sentence
        return [lead(f"All {totals[order[0]]:,} rows: “{order[0]}”.")]
    shown, rest = order[: charts.MOST_LABELS], order[charts.MOST_LABELS :]
    groups = {
        label: [
            Bar(
                row.get(label, 0) / (sum(row.values()) or 1),
                f"{100 * row.get(label, 0) / (sum(row.values()) or 1):.1f} % · {row.get(label, 0):,}",
                index % 3,
            )
            for index, row in enumerate(counts.values())
        ]
        for label in shown
    }
    grid = table(
        [noun.capitalize(), *counts],
        [
            [label, *(f"{row.get(label, 0):,}" for row in counts.values())]
            for label in [*order, *([OTHERS] if others else [])]
        ],
        numbers=True,
    )
    told = f"The most frequent is “{order[0]}” with {totals[order[0]]:,} rows"
    told += f"; {others:,} rows have {noun}s that are not listed." if others else _rarest(order[-1], totals)
    chart = charts.bar_chart(groups, alternative=f"Share of each {noun} in {listed(counts)}. {told}")
    legend = [element("span", name, class_=f"key series-{index % 3}") for index, name in enumerate(counts)]
    return [
        element("p", legend, class_="legend"),
        figure(chart, table=grid),
        lead(
            f"{told} Each bar is the share of its split."
            + (f" {len(rest)} rarer {noun}s stand only in the table." if rest else "")
        ),
    ]


def _rarest(label: str, totals: Mapping[str, int]) -> str:
    return f", the rarest “{label}” with {totals[label]:,}."


def length_histogram(name: str, buckets: Mapping[str, int]) -> Html:
    """The rows by the length of their input, with a table."""
    common = max(buckets, key=lambda bucket: buckets[bucket])
    told = f"Of {sum(buckets.values()):,} rows most ({buckets[common]:,}) are in {common}."
    chart = charts.histogram(buckets, alternative=f"Histogram of {name}. {told}")
    grid = table(["Bucket", "Rows"], [[b, f"{n:,}"] for b, n in buckets.items()], numbers=True)
    return element("div", element("h4", name[:1].upper() + name[1:]), figure(chart, table=grid))


def finding_item(finding: Finding) -> Html:
    """A finding as an item of a list: level, id, what, cure, rows."""
    rows = [
        element("li", element("code", f"{row.file}:{row.line}"), f" {row.text}" if row.text else None)
        for row in finding.rows
    ]
    return element(
        "li",
        element(
            "p",
            element("span", finding.level, class_=f"level {finding.level}"),
            " ",
            element("code", finding.check),
        ),
        element("p", finding.message),
        element("p", finding.fix, class_="quiet"),
        element("ul", rows, class_="rows") if rows else None,
    )
