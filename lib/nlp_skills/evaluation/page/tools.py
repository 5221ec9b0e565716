"""How well tools are called: each measurement beside the targets, and the calls that went wrong."""

from __future__ import annotations

from nlp_skills.errors import counted
from nlp_skills.evaluation.figures import show_value
from nlp_skills.evaluation.page.evidence import Evidence
from nlp_skills.evaluation.page.results import interval_cell
from nlp_skills.evaluation.tool_use.record import Target, ToolUseResult
from nlp_skills.evaluation.verdict import capitalize, metric_name
from nlp_skills.page.markup import Child, Html, element
from nlp_skills.page.parts import absent, lead, section, table
from nlp_skills.task.task import TaskType

MOST_FAILURES = 20

_STATES = {
    "met": "✓ met",
    "missed": "✕ missed",
    "cannot tell": "? cannot tell",
    "measuring": "– not measured",
}


def tools_section(evidence: Evidence) -> Html | None:
    """One part for each measurement of the version, and of the base model; None for a task that calls no tools."""
    if not evidence.tools:
        if evidence.task.type is not TaskType.TOOL_USE:
            return None
        name = evidence.task.name
        return section(
            "tools",
            "Tool use",
            absent(f"How well tools are called was not measured. Run: nlp-skills evaluate-tools {name}"),
        )
    return section("tools", "Tool use", *(_measured(found) for found in evidence.tools))


def _measured(found: ToolUseResult) -> Html:
    few = f", at most {found.limit} of each category" if found.limit else ""
    cut = f" {counted(found.cut, 'answer')} ran into the limit of tokens." if found.cut else ""
    return element(
        "div",
        element("h3", f"{found.model}: {found.source}"),
        lead(
            f"{counted(found.count, 'row')}{few}, {found.calling} calls, measured {found.created[:10]}.{cut}{_speed(found)}"
        ),
        table(
            ["Target", "Wanted", "Measured", ""],
            [[t.name, t.wanted, _value(t), _STATES[t.state]] for t in found.targets],
            numbers=True,
            caption="Targets",
        )
        if found.targets
        else None,
        _categories(found),
        _failures(found),
    )


def _speed(found: ToolUseResult) -> str:
    parts = []
    if found.latency is not None:
        parts.append(
            f"{found.latency.p50:,.0f} ms an answer at the median, {found.latency.p95:,.0f} ms at the 95th percentile"
        )
    if found.tokens_per_second is not None:
        parts.append(f"{found.tokens_per_second:,.1f} tokens a second")
    return f" {'; '.join(parts)}." if parts else ""


def _value(target: Target) -> str:
    return "not measured" if target.value is None else show_value(target.value, ".4g")


def _categories(found: ToolUseResult) -> Html:
    names = list(dict.fromkeys([*found.metrics, *(m for c in found.categories for m in c.metrics)]))
    rows: list[list[Child]] = []
    for title, count, metrics in (
        *((c.category, c.count, c.metrics) for c in found.categories),
        *([("All", found.count, found.metrics)] if found.metrics else []),
    ):
        cells: list[Child] = [interval_cell(metrics[n]) if n in metrics else "–" for n in names]
        rows.append([title, f"{count:,}", *cells])
    return table(
        ["Category", "Rows", *(capitalize(metric_name(n)) for n in names)],
        rows,
        numbers=True,
        caption="Value and 95 % interval by category",
    )


def _failures(found: ToolUseResult) -> Html | None:
    if not found.failures:
        return None
    shown = found.failures[:MOST_FAILURES]
    return element(
        "details",
        element("summary", f"Calls that went wrong (the first {len(shown)})"),
        table(
            ["Asked", "Expected", "Said", "Fault"],
            [
                [
                    element("span", f.asked, class_="input"),
                    element("code", f.expected),
                    element("code", f.said),
                    f"{f.fault}. {f.message}".strip(),
                ]
                for f in shown
            ],
            stack=True,
        ),
    )
