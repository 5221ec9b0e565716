"""The report as one HTML page: records in, text out, nothing read from the task and nothing written.

The order is the order of the questions that people ask: was it worth it, how good is it, why, what
changed, where is it wrong, is it sure of the right things, what does it cost, how did training go, on
which data, where does it come from, which rows are wrong, can I do it again. What was not measured is
said in its place. The script of the row browser, page.js, stands beside this file.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib import resources

from nlp_skills.evaluation.page.browser import predictions_section
from nlp_skills.evaluation.page.calibration import calibration_section
from nlp_skills.evaluation.page.changes import changes_section
from nlp_skills.evaluation.page.cost import cost_section
from nlp_skills.evaluation.page.data import data_section
from nlp_skills.evaluation.page.diagnosis import diagnosis_section
from nlp_skills.evaluation.page.evidence import Attempt, Evidence
from nlp_skills.evaluation.page.history import again_section, lineage_section, training_section
from nlp_skills.evaluation.page.knowledge import forgetting_section
from nlp_skills.evaluation.page.results import (
    confusion_section,
    labels_section,
    scores_section,
    verdict_section,
)
from nlp_skills.evaluation.page.slices import slices_section
from nlp_skills.evaluation.page.tools import tools_section
from nlp_skills.evaluation.verdict import metric_name
from nlp_skills.page import render_page
from nlp_skills.page.markup import Html, element, join

SECTIONS: dict[str, tuple[str, Callable[[Evidence], Html | None]]] = {
    "verdict": ("", verdict_section),
    "scores": ("Scores", scores_section),
    "diagnosis": ("Diagnosis", diagnosis_section),
    "changes": ("Changes", changes_section),
    "slices": ("Kinds of rows", slices_section),
    "labels": ("Labels", labels_section),
    "confusion": ("Confusion", confusion_section),
    "calibration": ("Calibration", calibration_section),
    "tools": ("Tool use", tools_section),
    "forgetting": ("General knowledge", forgetting_section),
    "cost": ("Speed and cost", cost_section),
    "training": ("Training", training_section),
    "data": ("Data", data_section),
    "lineage": ("Lineage", lineage_section),
    "predictions": ("Predictions", predictions_section),
    "again": ("Do it again", again_section),
}
"""By its id: the name in the list at the top, and what makes it; that gives None where a task of its type has no such thing."""


def render(evidence: Evidence) -> str:
    """The page. The same evidence gives the same text."""
    parts = {name: part for name, (_, show) in SECTIONS.items() if (part := show(evidence)) is not None}
    return render_page(
        f"{evidence.task.name} {evidence.latest.version}",
        header=_header(evidence),
        main=join(parts.values()),
        footer=_footer(evidence),
        nav={name: SECTIONS[name][0] for name in parts if SECTIONS[name][0]},
        script=resources.files("nlp_skills.evaluation.page").joinpath("page.js").read_text(encoding="utf-8"),
    )


def _header(evidence: Evidence) -> Html:
    task, latest = evidence.task, evidence.latest
    facts = [task.type.value.replace("_", " "), f"judged by {metric_name(evidence.metric)}"]
    facts += [f"{'trained' if latest.job else 'created'} {day}"] if (day := _date(latest)) else []
    return join(
        (
            element("p", task.name, " · ", latest.version, class_="eyebrow"),
            element("h1", task.goal),
            element("p", " · ".join(facts), class_="quiet"),
        )
    )


def _footer(evidence: Evidence) -> Html:
    return element(
        "p",
        f"Made by nlp-skills from the files of the task {evidence.task.name}, nothing else. The task was created on {evidence.task.created[:10]}.",
    )


def _date(attempt: Attempt) -> str | None:
    if attempt.job is not None:
        return (attempt.job.ended or attempt.job.started)[:10]
    return attempt.lineage.created[:10] if attempt.lineage else None
