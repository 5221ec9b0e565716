"""Why it is as it is: the causes that the diagnosis ranked, each with its evidence, rows and what mending takes."""

from __future__ import annotations

from nlp_skills.evaluation.diagnosis.record import Cause, Diagnosis
from nlp_skills.evaluation.page.evidence import Evidence
from nlp_skills.page.markup import Child, Html, element
from nlp_skills.page.parts import absent, input_text, lead, listed, section, table

SURE = {"strong": "the records leave no other reading", "some": "beyond chance", "weak": "worth a look"}


def diagnosis_section(evidence: Evidence) -> Html:
    """The causes, the likeliest first."""
    found, again = (
        evidence.diagnosis,
        f"nlp-skills diagnose {evidence.task.name} --version {evidence.latest.version}",
    )
    if found is None:
        return section(
            "diagnosis",
            "Diagnosis",
            absent(f"Nobody has asked yet why these figures are as they are. Run: {again}"),
        )
    return section(
        "diagnosis",
        "Diagnosis",
        absent(f"The version was tested again since; this speaks of the test before. Ask again: {again}")
        if evidence.diagnosis_is_old
        else None,
        element("p", found.verdict, class_="verdict-line"),
        lead(f"Asked about: {found.symptom}") if found.symptom else None,
        element("ol", [_cause(cause, evidence.task.language) for cause in found.causes], class_="causes")
        if found.causes
        else None,
        *_rest(found),
    )


def _cause(cause: Cause, language: str | None) -> Html:
    share = f" It touches {cause.share:.0%} of the rows in question." if cause.share else ""
    rows = table(
        ["Row", "What is shown"],
        [
            [
                (input_text(row.text, language), element("span", f"{row.file} · {row.id}", class_="row-id")),
                row.note,
            ]
            for row in cause.rows
        ],
        stack=True,
    )
    facts = [(f.figure, _value(f.value), element("code", f.file)) for f in cause.evidence]
    return element(
        "li",
        element("h3", cause.title),
        element(
            "p",
            element("span", cause.sure, class_=f"level sure-{cause.sure}"),
            f" {cause.kind}: {SURE[cause.sure]}",
            class_="quiet",
        ),
        element("p", f"{cause.says}{share}"),
        element("h4", "Evidence"),
        element(
            "ul",
            [
                element("li", f"{what}: ", element("strong", value), " · ", file)
                for what, value, file in facts
            ],
        ),
        element("details", element("summary", f"Rows that show it ({len(cause.rows)})"), rows)
        if cause.rows
        else None,
        element("h4", "What to do"),
        element("p", cause.fix.does),
        element("pre", element("code", cause.fix.command), tabindex="0"),
        element("p", f"Takes: {cause.fix.takes}", class_="quiet"),
    )


def _rest(found: Diagnosis) -> list[Child]:
    parts: list[Child] = []
    if found.ruled_out:
        parts.append(lead(f"Looked at and not found: {listed(found.ruled_out)}."))
    if found.unchecked:
        parts.append(element("h3", "Not checked"))
        parts.append(
            element(
                "ul", [element("li", f"{one.what}: {one.why}") for one in found.unchecked], class_="quiet"
            )
        )
    return parts


def _value(value: float | int | str) -> str:
    return value if isinstance(value, str) else f"{value:,}" if isinstance(value, int) else f"{value:.4g}"
