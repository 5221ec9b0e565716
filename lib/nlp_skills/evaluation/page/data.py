"""The data: splits and their labels, sources, input lengths, and what the validation found."""

from __future__ import annotations

from nlp_skills.data.pictures import finding_item, length_histogram, share_bars
from nlp_skills.data.report import ValidationReport
from nlp_skills.data.sources.source import SPLITS
from nlp_skills.evaluation.page.evidence import Attempt, Evidence
from nlp_skills.page.markup import Html, element
from nlp_skills.page.parts import absent, hash_code, lead, listed, section, table


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
    told = f"{snapshot.duplicates_dropped:,} duplicates dropped; split with seed {snapshot.seed}."
    facts = lead(f"{snapshot.against} {told}".strip())
    counts = {
        name: snapshot.splits[name].label_counts for name in names if snapshot.splits[name].label_counts
    }
    if not counts:
        return [grid, facts]
    return [grid, facts, element("h3", "Labels in each split"), *share_bars(counts)]


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
        if name.startswith("characters") and buckets
    ]
    if not drawn:
        return [
            element("h3", "Input length"),
            absent("No lengths were measured: the data has not been validated."),
        ]
    return [
        element("h3", "Input length"),
        element("div", [length_histogram(name, buckets) for name, buckets in drawn], class_="columns"),
    ]


def _validation(evidence: Evidence) -> list[Html]:
    report = evidence.validation
    heading = element("h3", "Validation")
    if report is None:
        return [heading, absent("The data has not been validated: data/validation.json is not there.")]
    clean = sum(state == "passed" for state in report.checks.values())
    words = f"{report.verdict}. {clean:,} of {len(report.checks):,} checks found nothing."
    not_run = [
        element("li", element("code", check), f" not run: {why}") for check, why in report.not_run.items()
    ]
    return [
        heading,
        lead(words),
        element("ul", [finding_item(f) for f in report.findings], class_="findings")
        if report.findings
        else lead("No findings."),
        *([element("ul", not_run, class_="quiet")] if not_run else []),
        *(lead(look) for look in report.looks),
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
