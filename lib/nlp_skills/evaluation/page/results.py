"""The verdict and what it rests on: scores beside the baselines, labels, confusion."""

from __future__ import annotations

from collections.abc import Sequence

from nlp_skills.errors import counted
from nlp_skills.evaluation import charts
from nlp_skills.evaluation.against_baselines import against_baselines
from nlp_skills.evaluation.charts import IntervalRow
from nlp_skills.evaluation.figures import show_gain, show_p, show_value
from nlp_skills.evaluation.page.evidence import Evidence
from nlp_skills.evaluation.page.knowledge import sanity_line
from nlp_skills.evaluation.page.promotion import SIGNS, promotion_part
from nlp_skills.evaluation.results import Interval
from nlp_skills.evaluation.verdict import (
    Statement,
    baseline_name,
    better_than_parent,
    capitalize,
    good_enough,
    good_everywhere,
    keeps_knowledge,
    metric_name,
    show_interval,
    worth_it,
)
from nlp_skills.page.markup import Child, Html, element
from nlp_skills.page.parts import absent, figure, lead, section, table


def verdict_section(evidence: Evidence) -> Html:
    task, latest = evidence.task, evidence.latest
    metric = evidence.metric
    worth = worth_it(latest.version, metric, latest.result)
    better = better_than_parent(latest.version, latest.parent, metric, evidence.comparison)
    headline = f"{worth.headline} {better.headline}" if better else worth.headline
    statements = [
        worth,
        better,
        good_enough(latest.version, task.chosen_metric, task.target, latest.result),
        good_everywhere(latest.version, latest.result),
        keeps_knowledge(latest.version, latest.result),
    ]
    return verdict_part(
        headline,
        [s for s in statements if s],
        _warnings(evidence),
        promotion_part(evidence.promotion, latest.version),
    )


def verdict_part(headline: str, statements: Sequence[Statement], *more: Child) -> Html:
    """The answer in a sentence, then each question with its own."""
    return element(
        "section",
        element("h2", "Verdict", class_="hidden"),
        element("p", headline, class_="headline"),
        element("div", [_statement(s) for s in statements], class_="statements"),
        *more,
        id="verdict",
    )


def _statement(statement: Statement) -> Html:
    answer = element(
        "p",
        element("span", SIGNS[statement.answer], class_="sign", aria_hidden="true"),
        capitalize(statement.answer),
        class_="answer",
    )
    return element(
        "article",
        element("h3", statement.question),
        answer,
        element("p", statement.reason, class_="quiet"),
        class_=f"statement {statement.answer.replace(' ', '-')}",
    )


def _warnings(evidence: Evidence) -> Html | None:
    """What would make the verdict worth less than it looks."""
    warnings = []
    job, validation = evidence.latest.job, evidence.validation
    if job is not None and job.status != "succeeded":
        why = f": {job.error}" if job.error else "."
        warnings.append(f"The training of {evidence.latest.version} is {job.status}, not succeeded{why}")
    if validation is None:
        warnings.append("The data has not been validated.")
    elif not validation.passed:
        warnings.append("The validation of the data found errors; see Data below.")
    result = evidence.latest.result
    if result is not None and result.sane is not None and result.sane.verdict != "ok":
        warnings.append(f"The measurement itself ({result.sane.verdict}): {result.sane.reason}")
    tested = {a.result.data_sha256 for a in evidence.attempts if a.result is not None}
    if len(tested) > 1:
        warnings.append(
            "The versions were not all tested on the same test file: compare their numbers with care."
        )
    return element("ul", [element("li", w) for w in warnings], class_="warnings") if warnings else None


def scores_section(evidence: Evidence) -> Html:
    return section(
        "scores",
        "Scores",
        *score_parts(evidence, evidence.latest.version),
        _against(evidence),
        sanity_line(evidence),
    )


def _against(evidence: Evidence) -> Html | None:
    """The version against each baseline on its own."""
    result = evidence.latest.result
    found = against_baselines(result, evidence.metric) if result is not None else []
    if not found:
        return None
    return table(
        ["Against", f"{evidence.latest.version} is", "Difference", "p"],
        [
            [
                capitalize(baseline_name(one.baseline)),
                one.verdict,
                element("span", show_gain(one.gain), class_="interval"),
                "not tested"
                if one.p_value is None
                else show_p(one.p_value).removeprefix("p ").removeprefix("= "),
            ]
            for one in found
        ],
        numbers=True,
        caption=f"{capitalize(metric_name(evidence.metric))}, paired test on the same rows, corrected for their number",
    )


def score_parts(evidence: Evidence, strong: str | None) -> list[Child]:
    """Every metric of the baselines and the versions; the version `strong` stands out."""
    rows = _score_rows(evidence, strong)
    if not rows:
        return [absent("No version has been evaluated yet.")]
    metric = evidence.metric
    drawn = [IntervalRow(name, metrics[metric], on) for name, metrics, on in rows if metric in metrics]
    columns = list(dict.fromkeys(m for _, metrics, _ in rows for m in metrics))
    columns.sort(key=lambda m: m != metric)
    grid = table(
        ["", *(capitalize(metric_name(m)) for m in columns)],
        [[name, *(interval_cell(metrics.get(m)) for m in columns)] for name, metrics, _ in rows],
        numbers=True,
        caption="Value and 95 % interval",
    )
    result = next(a.result for a in reversed(evidence.attempts) if a.result is not None)
    rows_of = f"{counted(result.count, 'row')} of the {result.split} split"
    name = capitalize(metric_name(metric))
    if not drawn:
        return [lead(f"Measured on {rows_of}. {name} was not measured."), grid]
    told = "; ".join(f"{row.label} {show_interval(row.interval)}" for row in drawn)
    chart = charts.interval_chart(
        drawn, alternative=f"{name} with 95 % intervals: {told}.", target=evidence.task.target
    )
    return [
        lead(f"{name} on {rows_of}. The dot is the value, the line its 95 % confidence interval."),
        figure(chart),
        grid,
    ]


def _score_rows(evidence: Evidence, strong: str | None) -> list[tuple[str, dict[str, Interval], bool]]:
    """The baselines of the newest test that has any, then every version: name, metrics, whether it stands out."""
    tested = [a for a in evidence.attempts if a.result is not None]
    measured = [a.result.baseline for a in tested if a.result is not None and a.result.baseline]
    baselines = [
        (capitalize(baseline_name(name)), score.metrics, False)
        for name, score in (measured[-1] if measured else {}).items()
    ]
    versions = [(a.version, a.result.metrics, a.version == strong) for a in tested if a.result is not None]
    return [*baselines, *versions]


def interval_cell(interval: Interval | None) -> Child:
    """A value with its interval small below it, which breaks into two lines where there is little room."""
    if interval is None:
        return element("span", "not measured", class_="interval")
    return (
        f"{show_value(interval.value)} ",
        element(
            "span",
            f"{show_value(interval.low)}\N{NO-BREAK SPACE}to {show_value(interval.high)}",
            class_="interval",
        ),
    )


def labels_section(evidence: Evidence) -> Html | None:
    """Precision, recall and F1 of each label; None for a task without labels."""
    result = evidence.latest.result
    if result is None or not result.per_label:
        return no_labels_section("labels", "Labels", evidence)
    rows = sorted(result.per_label.items(), key=lambda item: item[1].f1)
    weakest, score = rows[0]
    return section(
        "labels",
        "Labels",
        lead(
            f"Weakest first. “{weakest}” has F1 {score.f1:.3f} on {counted(score.support, 'row')}"
            + (": too few to lean on." if score.support < 30 else ".")
        ),
        table(
            ["Label", "Precision", "Recall", "F1", "Support"],
            [
                [label, f"{s.precision:.3f}", f"{s.recall:.3f}", f"{s.f1:.3f}", f"{s.support:,}"]
                for label, s in rows
            ],
            numbers=True,
        ),
    )


def no_labels_section(identifier: str, title: str, evidence: Evidence) -> Html | None:
    """Why labels were not counted; None for a task that has none."""
    if not evidence.task.type.has_labels:
        return None
    version = evidence.latest.version
    if evidence.latest.result is None:
        return section(identifier, title, absent(f"{version} has not been evaluated yet."))
    return section(identifier, title, absent(f"The results of {version} do not count its labels."))


def confusion_section(evidence: Evidence) -> Html | None:
    """What was taken for what; None for a task without labels."""
    result = evidence.latest.result
    if result is None or not result.confusion:
        return no_labels_section("confusion", "Confusion", evidence)
    confusion, labels = charts.fold_confusion(result.confusion)
    pairs = sorted(
        ((n, e, p) for e, row in result.confusion.items() for p, n in row.items() if e != p),
        key=lambda item: (-item[0], item[1], item[2]),
    )
    most = [f"“{expected}” taken for “{predicted}” ({n:,})" for n, expected, predicted in pairs[:3]]
    told = f"Most frequent: {'; '.join(most)}." if most else "There is no confusion: every row is right."
    chart = charts.heat_map(
        confusion,
        labels,
        alternative=f"Confusion matrix of {len(labels)} labels. {told} The table below holds every count.",
    )
    grid = table(
        ["Expected ↓ predicted →", *labels],
        [[e, *(str(confusion.get(e, {}).get(p, 0)) for p in labels)] for e in labels],
        numbers=True,
    )
    return section(
        "confusion",
        "Confusion",
        lead(told),
        figure(chart, scroll="Confusion matrix", table=grid),
        lead(
            "A row is what was expected. The shade is the share of that row, in steps of up to 10, 25, 50, 75 and 100 %; blue is right, orange is wrong."
        ),
    )
