"""The page about a whole task: the best version, all of them side by side, how they came to be, what they cost."""

from __future__ import annotations

from collections.abc import Collection

from nlp_skills.evaluation.page.cost import cost_table
from nlp_skills.evaluation.page.evidence import Attempt, Evidence
from nlp_skills.evaluation.page.history import lineage_figure
from nlp_skills.evaluation.page.promotion import promotion_part
from nlp_skills.evaluation.page.results import score_parts, verdict_part
from nlp_skills.evaluation.verdict import (
    good_enough,
    good_everywhere,
    keeps_knowledge,
    metric_name,
    show_interval,
    worth_it,
)
from nlp_skills.page import render_page
from nlp_skills.page.markup import Child, Html, element, join
from nlp_skills.page.parts import lead, section, table

NAV = {"versions": "Versions", "scores": "Scores", "lineage": "Lineage", "cost": "Cost"}


def render_task(evidence: Evidence, pages: Collection[str]) -> str:
    """The page; `pages` are the versions that have one of their own, which it links to."""
    task, best = evidence.task, evidence.best
    facts = f"{task.type.value.replace('_', ' ')} · judged by {metric_name(evidence.metric)}"
    return render_page(
        task.name,
        header=join(
            (
                element("p", task.name, class_="eyebrow"),
                element("h1", task.goal),
                element("p", f"{facts} · {_versions(len(evidence.attempts))}", class_="quiet"),
            )
        ),
        main=join(
            (
                _verdict(evidence),
                section("versions", "Versions", _table(evidence, pages)),
                section("scores", "Scores", *score_parts(evidence, best.version if best else None)),
                section("lineage", "Lineage", lineage_figure(evidence, best.version if best else None)),
                section("cost", "Cost", cost_table(evidence.attempts)),
            )
        ),
        footer=element("p", f"Made by nlp-skills from the files of the task {task.name}, nothing else."),
        nav=NAV,
    )


def _versions(count: int) -> str:
    return f"{count:,} version{'' if count == 1 else 's'}"


def _verdict(evidence: Evidence) -> Html:
    best, task = evidence.best, evidence.task
    if best is None or best.result is None:
        count = _versions(len(evidence.attempts))
        return verdict_part(f"Nothing has been evaluated yet, of {count}.", [])
    metric = evidence.metric
    statements = [
        worth_it(best.version, metric, best.result),
        good_enough(best.version, task.chosen_metric, task.target, best.result),
        good_everywhere(best.version, best.result),
        keeps_knowledge(best.version, best.result),
    ]
    tested = sum(a.result is not None for a in evidence.attempts)
    value = f"{metric_name(metric)} {show_interval(best.result.metrics[metric])}"
    headline = f"{best.version} has the best {metric_name(metric)}. {statements[0].headline if statements[0] else ''}"
    several = " The best of several looks a little better than it is."
    return verdict_part(
        headline,
        [s for s in statements if s],
        lead(f"{best.version} reaches {value}, the best of {tested:,} tested versions.{several}")
        if tested > 1
        else lead(f"{best.version} reaches {value}; no other version was tested."),
        promotion_part(evidence.promotion, best.version),
    )


def _table(evidence: Evidence, pages: Collection[str]) -> Html:
    best = evidence.best
    return table(
        ["Version", "Created", "Reaches", "Answer takes (p95)", "What changed"],
        [_row(a, evidence.metric, a is best, a.version in pages) for a in reversed(evidence.attempts)],
        stack=True,
        caption="The newest first",
    )


def _row(attempt: Attempt, metric: str, best: bool, has_page: bool) -> list[Child]:
    link = element("a", attempt.version, href=f"versions/{attempt.version}/report.html")
    score = attempt.result.metrics.get(metric) if attempt.result else None
    latency = attempt.result.latency if attempt.result else None
    state = f"not evaluated; training {attempt.job.status}" if attempt.job else "not trained"
    return [
        element(
            "span",
            link if has_page else attempt.version,
            element("strong", " ★ best") if best else None,
            class_="whole",
        ),
        element("span", attempt.lineage.created[:10] if attempt.lineage else "not recorded", class_="whole"),
        show_interval(score) if score else state,
        f"{latency.p95:,.0f} ms" if latency else "not measured",
        "; ".join(attempt.lineage.changes if attempt.lineage else []) or "none recorded",
    ]
