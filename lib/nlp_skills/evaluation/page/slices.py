"""Kinds of rows: a table with intervals, and the kinds named on which the version is weak or got worse."""

from __future__ import annotations

from nlp_skills.evaluation.figures import show_value
from nlp_skills.evaluation.page.evidence import Evidence
from nlp_skills.evaluation.page.results import interval_cell
from nlp_skills.evaluation.results import Interval, SliceScore
from nlp_skills.evaluation.slices import LEAST, weak_slices, worse_slices
from nlp_skills.evaluation.verdict import capitalize, is_higher_better, metric_name, show_p, show_signed
from nlp_skills.page.markup import Child, Html, element
from nlp_skills.page.parts import absent, lead, section, table
from nlp_skills.task.comparison import Comparison


def slices_section(evidence: Evidence) -> Html:
    """Every kind of rows that has enough of them."""
    result = evidence.latest.result
    if result is None or not result.slices or result.slice_metric is None:
        return section("slices", "Kinds of rows", absent(_why_none(evidence)))
    higher, name = is_higher_better(result.slice_metric), metric_name(result.slice_metric)
    marked = {
        s.name: "worse than the base model" for s in worse_slices(result.slices, higher_is_better=higher)
    }
    for weak in weak_slices(result.slices, higher_is_better=higher):
        marked[weak.name] = "; ".join(filter(None, (marked.get(weak.name), "below the rest")))
    ordered = sorted(result.slices, key=lambda s: (s.by, s.score.value if higher else -s.score.value))
    return section(
        "slices",
        "Kinds of rows",
        lead(
            f"{capitalize(name)} on each kind of rows with at least {LEAST} rows, with 95 % intervals; p-values are "
            f"corrected for the {len(result.slices)} kinds."
        ),
        _named(evidence, marked),
        table(
            ["Kind", "Rows", capitalize(name), "All others", "p", "Against the base model", "p of that"],
            [_cells(s, marked.get(s.name)) for s in ordered],
            stack=True,
            caption="Kinds of rows, the weakest of each first",
        ),
    )


def _why_none(evidence: Evidence) -> str:
    version, result = evidence.latest.version, evidence.latest.result
    if result is None:
        return f"{version} has not been evaluated yet."
    why = result.not_measured.get("slices")
    return why or (
        "Kinds of rows were not looked at: these results are older than that, or no kind has enough rows. Run: "
        f"nlp-skills evaluate-version {evidence.task.name} --version {version}"
    )


def _named(evidence: Evidence, marked: dict[str, str]) -> Html:
    """Those that stand out, and those that got worse since the parent."""
    told = [element("li", element("strong", name), f": {why}") for name, why in marked.items()]
    comparison = evidence.comparison
    if isinstance(comparison, Comparison):
        told += [
            element(
                "li",
                element("strong", s.name),
                f": worse than {comparison.a}, "
                f"{show_signed(Interval(value=s.difference, low=s.low, high=s.high))}, {show_p(s.p_value)}",
            )
            for s in comparison.worse_slices
        ]
        if comparison.better_slices:
            names = ", ".join(s.name for s in comparison.better_slices)
            told.append(element("li", f"Better than {comparison.a} beyond chance: {names}"))
    if not told:
        return lead("No kind stands out beyond chance. That is no proof that all are alike.")
    return element("ul", told, class_="named")


def _cells(found: SliceScore, mark: str | None) -> list[Child]:
    rest = "" if found.rest is None else show_value(found.rest)
    gain: Child = "not measured"
    if found.gain is not None:
        value, interval = show_signed(found.gain).split(" (95 % interval ")
        gain = (f"{value} ", element("span", interval.rstrip(")"), class_="interval"))
    score = found.score
    return [
        (found.name, element("span", f"▼ {mark}", class_="mark-worse") if mark else None),
        f"{found.count:,}",
        interval_cell(score),
        rest,
        _p(found.p_rest),
        gain,
        _p(found.p_gain),
    ]


def _p(value: float | None) -> Child:
    if value is None:
        return ""
    return element("span", show_p(value).removeprefix("p ").removeprefix("= "), class_="whole")
