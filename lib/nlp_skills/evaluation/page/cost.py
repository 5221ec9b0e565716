"""What it costs: time for an answer against what the task allows, memory, and what the training took."""

from __future__ import annotations

from collections.abc import Sequence

from nlp_skills.evaluation.page.evidence import Attempt, Evidence
from nlp_skills.evaluation.page.history import show_duration
from nlp_skills.evaluation.results import Latency
from nlp_skills.page.charts import nice_ticks, percent, picture, text_at, tick_anchor, vertical
from nlp_skills.page.markup import Html, element
from nlp_skills.page.parts import absent, figure, lead, section, table
from nlp_skills.task.task import Task


def cost_section(evidence: Evidence) -> Html:
    """Latency, memory, and the cost of every version on the page."""
    return section(
        "cost",
        "Speed and cost",
        *_latency(evidence),
        _memory(evidence),
        element("h3", "Training"),
        cost_table(evidence.attempts),
    )


def _latency(evidence: Evidence) -> list[Html]:
    result = evidence.latest.result
    if result is None or result.latency is None:
        return [absent(f"How long {evidence.latest.version} takes for an answer was not measured.")]
    taken = result.latency
    told = (
        f"One answer took {taken.p50:,.0f} ms at the median, {taken.p95:,.0f} ms at the 95th percentile, "
        f"{taken.p99:,.0f} ms at the 99th, while evaluating on this machine (rows of one batch share its time)."
    )
    limits = {
        "p95": _limit(evidence.task, "latency_p95_ms", evidence.task.constraints.latency_ms),
        "p50": _limit(evidence.task, "latency_p50_ms"),
        "p99": _limit(evidence.task, "latency_p99_ms"),
    }
    named = {"p50": "the median", "p95": "the 95th percentile", "p99": "the 99th percentile"}
    allowed = {name: limit for name, limit in limits.items() if limit is not None}
    for name, limit in allowed.items():
        side = "within" if getattr(taken, name) <= limit else "over"
        told += f" The task allows {limit:g} ms: {named[name]} is {side} that."
    if not allowed:
        told += " The task sets no limit of time."
    line = next(iter(allowed.values()), None)
    return [figure(latency_chart(taken, line, alternative=f"Latency. {told}")), lead(told)]


def _limit(task: Task, metric: str, constraint: float | None = None) -> float | None:
    """The most that the task allows: the lower of its constraint and of its criteria about the figure."""
    asked = [c.at_most for c in task.criteria if c.metric == metric]
    return min((limit for limit in (constraint, *asked) if limit is not None), default=None)


def latency_chart(taken: Latency, limit: float | None, *, alternative: str) -> Html:
    """A bar for each percentile, in milliseconds, and a line where the limit stands."""
    bars = (("median", taken.p50), ("95th percentile", taken.p95), ("99th percentile", taken.p99))
    ticks = nice_ticks(0, max(taken.p99, limit or 0.0), count=4)
    top = 20 if limit is not None else 0
    height = top + 44 * len(bars)
    parts = [vertical(percent(t, ticks), top, height, "grid") for t in ticks]
    parts += [
        text_at(
            percent(t, ticks),
            height + 18,
            f"{t:g} ms" if t == ticks[-1] else f"{t:g}",
            "tick",
            tick_anchor(t, ticks),
        )
        for t in ticks
    ]
    for index, (name, value) in enumerate(bars):
        y = top + 44 * index
        kind = "bar over" if limit is not None and value > limit else "bar series-0"
        parts.append(text_at("0", y + 16, f"{name}: {value:,.0f} ms", "row-label", "start"))
        parts.append(element("rect", x="0", y=y + 23, width=percent(value, ticks), height=10, class_=kind))
    if limit is not None:
        place = percent(limit, ticks)
        anchor = "end" if limit > 0.7 * ticks[-1] else "start" if limit < 0.2 * ticks[-1] else "middle"
        parts.append(vertical(place, top - 4, height, "target"))
        parts.append(text_at(place, 10, f"limit {limit:g} ms", "target-text", anchor))
    return picture(parts, height + 26, alternative, "chart")


def _memory(evidence: Evidence) -> Html:
    result = evidence.latest.result
    limit = _limit(evidence.task, "memory_gb", evidence.task.constraints.memory_gb)
    if result is None or result.memory_mb is None:
        return absent("How much memory answering takes was not measured.")
    allowed = ""
    if limit is not None:
        allowed = (
            f" The task allows {limit:g} GB: {'within' if result.memory_mb / 1024 <= limit else 'over'} that."
        )
    return lead(f"Answering took at most {result.memory_mb:,.0f} MB of memory.{allowed}")


def cost_table(attempts: Sequence[Attempt]) -> Html:
    """What each training took, and all together."""
    spent = [(a, a.job.cost if a.job else None) for a in attempts]
    known = [cost for _, cost in spent if cost is not None]
    rows = [
        [
            a.version,
            show_duration(cost.seconds),
            f"${cost.usd:,.2f}",
            f"{cost.peak_memory_mb:,.0f} MB",
            f"{cost.peak_gpu_memory_mb:,.0f} MB" if cost.peak_gpu_memory_mb else "–",
        ]
        if cost is not None
        else [a.version, "not recorded", "–", "–", "–"]
        for a, cost in spent
    ]
    if len(known) > 1:
        total = show_duration(sum(c.seconds for c in known))
        part = f" ({len(known)} of {len(spent)} recorded)" if len(known) < len(spent) else ""
        rows.append([f"All together{part}", total, f"${sum(c.usd for c in known):,.2f}", "", ""])
    return table(
        ["Version", "Time", "Cost", "Memory", "GPU memory"],
        rows,
        numbers=True,
        caption="What the training took",
    )
