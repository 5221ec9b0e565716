"""Whether these numbers can be trusted, and what the model forgot: sanity of the measurement, general questions."""

from __future__ import annotations

from nlp_skills.evaluation.charts import IntervalRow, interval_chart
from nlp_skills.evaluation.page.evidence import Evidence
from nlp_skills.evaluation.verdict import capitalize, show_interval, show_p, show_signed
from nlp_skills.page.markup import Html, element
from nlp_skills.page.parts import absent, figure, lead, section

MOST_QUESTIONS = 30
"""General questions that are listed."""


def sanity_line(evidence: Evidence) -> Html:
    """One paragraph for the scores: do these numbers speak of the model at all?"""
    result = evidence.latest.result
    if result is None or result.sane is None:
        return absent("Whether the measurement itself is sound was not checked.")
    words = {"ok": "sound", "harness error": "not sound (harness error)", "cannot tell": "perhaps not sound"}
    return lead(f"The measurement is {words[result.sane.verdict]}. {capitalize(result.sane.reason)}")


def forgetting_section(evidence: Evidence) -> Html:
    """General questions before and after the training."""
    result = evidence.latest.result
    if result is None or result.forgetting is None:
        return section("forgetting", "General knowledge", absent(_why_none(evidence)))
    found = result.forgetting
    drawn = [IntervalRow("Base model", found.base), IntervalRow(evidence.latest.version, found.tuned, True)]
    told = "; ".join(f"{row.label} {show_interval(row.interval)}" for row in drawn)
    return section(
        "forgetting",
        "General knowledge",
        lead(
            f"{found.count:,} general questions that have nothing to do with the task, before and after the training. "
            f"{capitalize(found.reason)}"
        ),
        figure(interval_chart(drawn, alternative=f"Share of general questions answered rightly: {told}.")),
        lead(f"Change: {show_signed(found.change)}, {show_p(found.p_value)} (paired)."),
        _questions("Lost: only the base model knows", found.lost),
        _questions("Won: only the tuned model knows", found.won),
    )


def _why_none(evidence: Evidence) -> str:
    result, version = evidence.latest.result, evidence.latest.version
    if result is None:
        return f"{version} has not been evaluated yet."
    return result.not_measured.get(
        "forgetting",
        f"What was forgotten was not measured. Run: nlp-skills evaluate-version {evidence.task.name} --version {version}",
    )


def _questions(title: str, names: list[str]) -> Html | None:
    if not names:
        return None
    rest = len(names) - MOST_QUESTIONS
    return element(
        "details",
        element("summary", f"{title} ({len(names):,})"),
        element("ul", [element("li", name) for name in names[:MOST_QUESTIONS]], class_="quiet"),
        lead(f"And {rest:,} more.") if rest > 0 else None,
    )
