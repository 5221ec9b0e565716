"""`data/validation.html`: what the checks found, for the person who has to mend it.

Can the data be used, what is wrong where, which checks ran, how are labels, lengths, languages and
sources spread. Made from the report, the task and the snapshot; the same records give the same page.
"""

from __future__ import annotations

from nlp_skills.data.checks.catalogue import CATALOGUE
from nlp_skills.data.pictures import finding_item, length_histogram, share_bars
from nlp_skills.data.report import NOT_APPLICABLE, Finding, Level, ValidationReport, at_minute
from nlp_skills.data.snapshot import DataSnapshot
from nlp_skills.errors import counted
from nlp_skills.page import render_page
from nlp_skills.page.markup import Html, element, join
from nlp_skills.page.parts import hash_code, lead, section, table
from nlp_skills.task.task import Task

LEVELS: tuple[tuple[Level, str], ...] = (
    ("error", "Errors: they stop the next step"),
    ("warning", "Warnings"),
    ("info", "Worth knowing"),
)

EDITED = (
    "Since they were made from these sources, the files have been edited by hand. The next regeneration makes them"
    " anew; the edited ones are then kept: nlp-skills list-snapshots shows them."
)

STATES = {
    "passed": ("✓", "yes"),
    "found": ("!", "no"),
    "not run": ("?", "no"),
    "does not apply": ("–", "quiet"),
    "off": ("–", "quiet"),
}
"""How a check's state begins → sign and class."""


def render_validation(
    report: ValidationReport, task: Task, snapshot: DataSnapshot | None = None, *, edited: bool = False
) -> str:
    """The page; `snapshot` is that of the data as they were made from sources, `edited`: by hand since then."""
    sections = [
        _findings(report),
        _gate(report),
        _checks(report),
        *_distributions(report),
        _files(report, snapshot, edited),
    ]
    shown = [part for part in sections if part is not None]
    names = {"findings": "Findings", "gate": "Thresholds", "checks": "Checks", "labels": "Labels"}
    names |= {"languages": "Languages", "characters": "Lengths", "sources": "Sources", "files": "Files"}
    text = join(shown)
    return render_page(
        f"{task.name}: data validation",
        header=_header(report, task),
        main=text,
        footer=element(
            "p",
            f"Made by nlp-skills. The checks again: nlp-skills validate-data {task.name}. "
            f"What can be mended by itself: nlp-skills fix-data {task.name}.",
        ),
        nav={target: name for target, name in names.items() if f'id="{target}"' in text},
    )


def _header(report: ValidationReport, task: Task) -> Html:
    errors = _of(report, "error")
    warnings = _of(report, "warning")
    if not report.passed:
        verdict = f"These data should not be trained on yet: {counted(len(errors), 'error')}"
    elif report.not_run:
        found = f"No error and {counted(len(warnings), 'warning')}" if warnings else "No error"
        verdict = f"{found} found, but {counted(len(report.not_run), 'check')} did not run"
    elif warnings:
        verdict = f"These data can be trained on, with {counted(len(warnings), 'warning')}"
    else:
        verdict = "These data can be trained on: no check found a fault"
    files = ", ".join(f"{name.rsplit('/', 1)[-1]} {rows:,}" for name, rows in report.files.items())
    return join(
        (
            element("p", task.name, " · data validation", class_="eyebrow"),
            element("h1", verdict),
            element("p", f"{files} rows", class_="quiet"),
        )
    )


def _of(report: ValidationReport, level: Level) -> list[Finding]:
    return [finding for finding in report.findings if finding.level == level]


def _findings(report: ValidationReport) -> Html:
    if not report.findings:
        return section("findings", "Findings", lead("No check found anything."))
    parts: list[Html] = []
    for level, heading in LEVELS:
        if found := _of(report, level):
            parts.append(element("h3", heading))
            parts.append(element("ul", [finding_item(finding) for finding in found], class_="findings"))
    return section("findings", "Findings", parts)


def _gate(report: ValidationReport) -> Html | None:
    if not report.gate:
        return None
    rows = [[element("code", check), told] for check, told in report.gate.items()]
    return section(
        "gate",
        "Thresholds of task.yaml",
        lead("What this task asks of its data, under quality in task.yaml."),
        table(["Check", "Asked and found"], rows),
    )


def _checks(report: ValidationReport) -> Html:
    ran = [state for state in report.checks.values() if state in ("passed", "found")]
    told = f"{len(ran):,} of {len(report.checks):,} checks ran, {ran.count('passed'):,} found nothing."
    if report.not_run:
        told += f" Of these nothing is known: {', '.join(report.not_run)}."
    if report.examined:
        told += " Some looked at a sample; nlp-skills validate-data --deep looks at every row."
    if report.told_deep:
        told += " Where a time stands, every row was looked at then; that holds while the data are the same."
    rows = [
        [element("code", check), CATALOGUE.get(check, ""), _state(check, state, report)]
        for check, state in sorted(report.checks.items(), key=lambda item: _says_nothing(item[1]))
    ]
    return section("checks", "Checks", lead(told), table(["Check", "Looks for", "Result"], rows, stack=True))


def _says_nothing(state: str) -> bool:
    """Whether the check is off or has nothing to look at here: these come last."""
    return state.startswith(("off", NOT_APPLICABLE))


def _state(check: str, state: str, report: ValidationReport) -> Html:
    sign, kind = next((shown for start, shown in STATES.items() if state.startswith(start)), ("–", ""))
    words = {"passed": "nothing found", "found": "found something"}.get(state, state)
    if check in report.examined:
        words += f" in a sample of {report.examined[check]:,} rows"
    elif check in report.told_deep:
        words += f" (every row was looked at, {at_minute(report.deep[check])})"
    return element(
        "span", element("span", sign, class_="sign", aria_hidden="true"), " ", words, class_=kind or None
    )


def _distributions(report: ValidationReport) -> list[Html | None]:
    return [
        _shares(report, "labels", "Labels", "label"),
        _lengths(report),
        _shares(report, "languages", "Languages", "language"),
        _shares(report, "sources", "Sources", "source"),
    ]


def _by_split(report: ValidationReport, kind: str) -> dict[str, dict[str, int]]:
    """`labels train` → {"train": {…}}."""
    return {
        name.removeprefix(kind).strip() or "all": buckets
        for name, buckets in report.distributions.items()
        if name.split(" ")[0] == kind and buckets
    }


def _shares(report: ValidationReport, kind: str, title: str, noun: str) -> Html | None:
    counts = _by_split(report, kind)
    return section(kind, title, share_bars(counts, noun)) if counts else None


def _lengths(report: ValidationReport) -> Html | None:
    pictures = [
        length_histogram(f"{split}: {words}", buckets)
        for kind, words in (("characters", "characters of the input"), ("tokens", "tokens of the row"))
        for split, buckets in _by_split(report, kind).items()
    ]
    return section("characters", "Lengths", element("div", pictures, class_="columns")) if pictures else None


def _files(report: ValidationReport, snapshot: DataSnapshot | None, edited: bool) -> Html:
    grid = table(["File", "Rows"], [[name, f"{rows:,}"] for name, rows in report.files.items()], numbers=True)
    identity = element("p", "Identity of the files: ", hash_code(report.data_sha256))
    if snapshot is None:
        return section("files", "Files", grid, identity)
    dropped = {
        "equal rows": snapshot.duplicates_dropped,
        "near duplicates": snapshot.near_duplicates_dropped,
        "conflicting rows": snapshot.conflicts_dropped,
    }
    told = ", ".join(f"{count:,} {name}" for name, count in dropped.items() if count)
    changes = " ".join(filter(None, (snapshot.against, f"Dropped: {told}." if told else "")))
    fetched = [
        [name, source.type, f"{source.rows:,}", source.fetched[:10]]
        for name, source in snapshot.sources.items()
    ]
    return section(
        "files",
        "Files",
        grid,
        identity,
        element("h3", "Where they come from"),
        table(["Source", "Type", "Rows", "Fetched"], fetched, stack=True),
        *([lead(changes)] if changes else []),
        *([lead(EDITED)] if edited else []),
    )
