"""The verdict and what it rests on: scores beside the baselines, labels, confusion."""

from __future__ import annotations

from nlp_skills.evaluation import charts
from nlp_skills.evaluation.charts import IntervalRow
from nlp_skills.evaluation.page.evidence import Evidence
from nlp_skills.evaluation.results import Interval
from nlp_skills.evaluation.verdict import (
    Statement,
    baseline_name,
    better_than_parent,
    capitalize,
    good_enough,
    metric_name,
    show_interval,
    worth_it,
)
from nlp_skills.page.markup import Child, Html, element
from nlp_skills.page.parts import absent, figure, lead, section, table


def verdict_section(evidence: Evidence) -> Html:
    task, latest = evidence.task, evidence.latest
    metric = task.chosen_metric
    worth = worth_it(latest.version, metric, latest.result)
    better = better_than_parent(latest.version, latest.parent, metric, evidence.comparison)
    headline = f"{worth.headline} {better.headline}" if better else worth.headline
    statements = [worth, better, good_enough(latest.version, task, latest.result)]
    return element(
        "section",
        element("h2", "Verdict", class_="hidden"),
        element("p", headline, class_="headline"),
        element("div", [_statement(s) for s in statements if s is not None], class_="statements"),
        _warnings(evidence),
        id="verdict",
    )


_SIGNS = {"yes": "✓", "no": "✕", "cannot tell": "?"}


def _statement(statement: Statement) -> Html:
    answer = element(
        "p",
        element("span", _SIGNS[statement.answer], class_="sign", aria_hidden="true"),
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
    tested = {a.result.data_sha256 for a in evidence.attempts if a.result is not None}
    if len(tested) > 1:
        warnings.append(
            "The versions were not all tested on the same test file: compare their numbers with care."
        )
    return element("ul", [element("li", w) for w in warnings], class_="warnings") if warnings else None


def scores_section(evidence: Evidence) -> Html:
    rows = _score_rows(evidence)
    if not rows:
        return section("scores", "Scores", absent("No version has been evaluated yet."))
    metric = evidence.task.chosen_metric
    drawn = [
        IntervalRow(name, metrics[metric], strong) for name, metrics, strong in rows if metric in metrics
    ]
    columns = list(dict.fromkeys(m for _, metrics, _ in rows for m in metrics))
    columns.sort(key=lambda m: m != metric)
    grid = table(
        ["", *(capitalize(metric_name(m)) for m in columns)],
        [[name, *(_with_interval(metrics.get(m)) for m in columns)] for name, metrics, _ in rows],
        numbers=True,
        caption="Value and 95 % interval",
    )
    told = "; ".join(f"{row.label} {show_interval(row.interval)}" for row in drawn)
    chart = charts.interval_chart(
        drawn,
        alternative=f"{capitalize(metric_name(metric))} with 95 % intervals: {told}.",
        target=evidence.task.target,
    )
    result = next(a.result for a in reversed(evidence.attempts) if a.result is not None)
    return section(
        "scores",
        "Scores",
        lead(
            f"{capitalize(metric_name(metric))} on {result.count:,} rows of the {result.split} split. The dot is the "
            "value, the line its 95 % confidence interval (bootstrap over rows)."
        ),
        figure(chart) if drawn else None,
        grid,
        _speed(evidence),
    )


def _score_rows(evidence: Evidence) -> list[tuple[str, dict[str, Interval], bool]]:
    """The baselines of the newest test, then every version: name, metrics, whether it is the latest."""
    tested = [a for a in evidence.attempts if a.result is not None]
    if not tested or tested[-1].result is None:
        return []
    baselines = [
        (capitalize(baseline_name(name)), score.metrics, False)
        for name, score in tested[-1].result.baseline.items()
    ]
    versions = [
        (a.version, a.result.metrics, a.version == evidence.latest.version)
        for a in tested
        if a.result is not None
    ]
    return [*baselines, *versions]


def _with_interval(interval: Interval | None) -> Child:
    if interval is None:
        return "not measured"
    return (
        f"{interval.value:.3f} ",
        element("span", f"{interval.low:.3f} to {interval.high:.3f}", class_="interval"),
    )


def _speed(evidence: Evidence) -> Html | None:
    result = evidence.latest.result
    if result is None or result.latency is None:
        return None
    limit = evidence.task.constraints.latency_ms
    p50, p95, p99 = result.latency.p50, result.latency.p95, result.latency.p99
    text = f"One row took {p50:.0f} ms at the median, {p95:.0f} ms at the 95th percentile, {p99:.0f} ms at the 99th, while evaluating."
    if limit is not None:
        text += f" The task allows {limit:g} ms: the 95th percentile is {'within' if p95 <= limit else 'over'} that, on this machine."
    return lead(text)


def labels_section(evidence: Evidence) -> Html:
    result = evidence.latest.result
    if result is None or not result.per_label:
        return section("labels", "Labels", absent(why_no_labels(evidence)))
    rows = sorted(result.per_label.items(), key=lambda item: item[1].f1)
    weakest, score = rows[0]
    return section(
        "labels",
        "Labels",
        lead(
            f"Weakest first. “{weakest}” has F1 {score.f1:.3f} on {score.support:,} rows"
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


def why_no_labels(evidence: Evidence) -> str:
    if evidence.latest.result is None:
        return f"{evidence.latest.version} has not been evaluated yet."
    return f"A task of type {evidence.task.type.value.replace('_', ' ')} has no labels to count."


def confusion_section(evidence: Evidence) -> Html:
    result = evidence.latest.result
    if result is None or not result.confusion:
        return section("confusion", "Confusion", absent(why_no_labels(evidence)))
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
