"""The data: splits and their labels, sources, input lengths, and what the validation found."""

from __future__ import annotations

from collections.abc import Mapping

from nlp_skills.data.report import Finding, ValidationReport
from nlp_skills.data.sources.source import SPLITS
from nlp_skills.evaluation import charts
from nlp_skills.evaluation.charts import Bar
from nlp_skills.evaluation.markup import Html, element
from nlp_skills.evaluation.page.evidence import Attempt, Evidence
from nlp_skills.evaluation.page.parts import absent, figure, hash_code, lead, listed, section, table
from nlp_skills.evaluation.verdict import (
    capitalize,
)


def data_section(evidence: Evidence) -> Html:
    return section(
        "data",
        "Data",
        *_splits(evidence.latest),
        *_sources(evidence),
        *_distributions(evidence),
        *_validation(evidence),
    )


def _splits(attempt: Attempt) -> list[Html]:
    snapshot = attempt.snapshot
    if snapshot is None:
        return [absent(f"{attempt.version} has no data snapshot yet.")]
    names = [s for s in SPLITS if s in snapshot.splits] + [s for s in snapshot.splits if s not in SPLITS]
    grid = table(
        ["Split", "Rows", "SHA-256"],
        [
            [name, f"{snapshot.splits[name].count:,}", hash_code(snapshot.splits[name].sha256)]
            for name in names
        ],
    )
    against = f"{snapshot.added:,} rows added, {snapshot.removed:,} removed, {snapshot.changed:,} changed against the snapshot before; "
    facts = lead(
        f"{capitalize(against)}{snapshot.duplicates_dropped:,} duplicates dropped; split with seed {snapshot.seed}."
    )
    counts = {
        name: snapshot.splits[name].label_counts for name in names if snapshot.splits[name].label_counts
    }
    if not counts:
        return [grid, facts]
    return [grid, facts, element("h3", "Labels in each split"), *_label_bars(counts)]


def _label_bars(counts: Mapping[str, Mapping[str, int]]) -> list[Html]:
    totals: dict[str, int] = {}
    for row in counts.values():
        for label, count in row.items():
            totals[label] = totals.get(label, 0) + count
    order = sorted(totals, key=lambda label: (-totals[label], label))
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
        ["Label", *counts],
        [[label, *(f"{row.get(label, 0):,}" for row in counts.values())] for label in order],
        numbers=True,
    )
    told = f"The most frequent is “{order[0]}” with {totals[order[0]]:,} rows, the rarest “{order[-1]}” with {totals[order[-1]]:,}."
    chart = charts.bar_chart(groups, alternative=f"Share of each label in {listed(counts)}. {told}")
    legend = [element("span", name, class_=f"key series-{index % 3}") for index, name in enumerate(counts)]
    return [
        element("p", legend, class_="legend"),
        figure(chart, table=grid),
        lead(
            f"{told} Each bar is the share of its split."
            + (f" {len(rest)} rarer labels stand only in the table." if rest else "")
        ),
    ]


def _sources(evidence: Evidence) -> list[Html]:
    """Where the rows come from: as fetched, or as declared while nothing was fetched."""
    snapshot = evidence.latest.snapshot
    if snapshot is not None and snapshot.sources:
        rows = [
            [
                name,
                s.type,
                f"{s.rows:,}",
                s.fetched[:10],
                ", ".join(f"{k}: {v}" for k, v in s.request.items() if v is not None),
            ]
            for name, s in snapshot.sources.items()
        ]
        return [
            element("h3", "Sources"),
            table(["Source", "Type", "Rows", "Fetched", "Request"], rows, stack=True),
        ]
    if evidence.sources is None or not evidence.sources.sources:
        return [absent("No source is declared in data_source.yaml.")]
    names = listed(f"{s.name} ({s.type})" for s in evidence.sources.sources)
    return [absent(f"Declared in data_source.yaml, but not fetched for this version: {names}.")]


def _distributions(evidence: Evidence) -> list[Html]:
    report = evidence.validation
    drawn = [
        (name, buckets)
        for name, buckets in (report.distributions if report else {}).items()
        if not name.startswith("labels") and buckets
    ]
    if not drawn:
        return [
            element("h3", "Input length"),
            absent("No lengths were measured: the data has not been validated."),
        ]
    return [
        element("h3", "Input length"),
        element("div", [_histogram(name, buckets) for name, buckets in drawn], class_="columns"),
    ]


def _histogram(name: str, buckets: Mapping[str, int]) -> Html:
    common = max(buckets, key=lambda bucket: buckets[bucket])
    told = f"Of {sum(buckets.values()):,} rows most ({buckets[common]:,}) are in {common}."
    chart = charts.histogram(buckets, alternative=f"Histogram of {name}. {told}")
    grid = table(["Bucket", "Rows"], [[b, f"{n:,}"] for b, n in buckets.items()], numbers=True)
    return element("div", element("h4", capitalize(name)), figure(chart, table=grid))


def _validation(evidence: Evidence) -> list[Html]:
    report = evidence.validation
    heading = element("h3", "Validation")
    if report is None:
        return [heading, absent("The data has not been validated: data/validation.json is not there.")]
    skipped = {check: state for check, state in report.checks.items() if state.startswith("not run")}
    clean = sum(state == "passed" for state in report.checks.values())
    words = f"{clean:,} of {len(report.checks):,} checks found nothing" + (
        f", {len(skipped):,} did not run." if skipped else "."
    )
    return [
        heading,
        lead(("Passed: no check found an error. " if report.passed else "Not passed. ") + words),
        element("ul", [_finding(f) for f in report.findings], class_="findings")
        if report.findings
        else lead("No findings."),
        *(
            [
                element(
                    "ul",
                    [element("li", element("code", c), f" {s}") for c, s in skipped.items()],
                    class_="quiet",
                )
            ]
            if skipped
            else []
        ),
        *_other_data(report, evidence.latest),
    ]


def _other_data(report: ValidationReport, attempt: Attempt) -> list[Html]:
    """data/validation.json belongs to the data of today, which may not be the data of this version."""
    if attempt.snapshot is None:
        return []
    differs = [
        name
        for name, split in attempt.snapshot.splits.items()
        if report.files.get(f"data/{name}.jsonl", split.count) != split.count
    ]
    if not differs:
        return []
    return [
        lead(
            f"These findings are about newer data than {attempt.version} was trained on: {listed(differs)} has another number of rows."
        )
    ]


def _finding(finding: Finding) -> Html:
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
