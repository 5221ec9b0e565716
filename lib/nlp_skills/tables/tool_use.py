"""How well tools are called, beside the targets, and what their definitions cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from nlp_skills.errors import clip, counted
from nlp_skills.tables.grid import table

if TYPE_CHECKING:
    from nlp_skills.evaluation.results import Interval
    from nlp_skills.evaluation.tool_use.context_cost import ContextCost
    from nlp_skills.evaluation.tool_use.record import Target, ToolUseResult

STATES = {"met": "bold green", "missed": "bold red", "cannot tell": "bold yellow", "measuring": "dim"}
FITS = {"small": "green", "recommended": "green", "too much": "bold yellow", "does not fit": "bold red"}


def tool_use(found: ToolUseResult) -> RenderableType:
    """Categories below each other, the targets, what was wrong, and how fast it was."""
    given = f"tools given {'by the chat template' if found.calling == 'native' else 'in the system prompt'}"
    parts: list[RenderableType] = [
        Text(f"{found.model}: {found.source}, {given}; 95 % intervals in brackets", style="dim"),
        _categories(found),
        Text(),
        _targets(found),
    ]
    faults = {f"{one.category}: {fault}": n for one in found.categories for fault, n in one.faults.items()}
    if faults:
        parts += [Text(), Text("Wrong: " + ", ".join(f"{what} {number}" for what, number in faults.items()))]
    if found.cut:
        parts.append(Text(f"{counted(found.cut, 'answer')} ran into the limit of tokens (--max-new-tokens)."))
    parts += [Text(), Text(_speed(found)), Text(f"All rows: {found.file.removesuffix('json')}jsonl")]
    return Group(*parts)


def _categories(found: ToolUseResult) -> RenderableType:
    lines = [(one.category, one.count, one.metrics) for one in found.categories]
    if len(lines) > 1:
        lines.append(("all", found.count, found.metrics))
    names = list(dict.fromkeys(name for _, _, metrics in lines for name in metrics))
    heads = ["rows", *(name.replace("_", " ") for name in names)]
    rows = table("", *heads, right=heads)
    for category, count, metrics in lines:
        values = [_interval(metrics[name]) if name in metrics else "" for name in names]
        rows.add_row(category, f"{count:,}", *values)
    return rows


def _interval(value: Interval) -> str:
    return f"{value.value:.1%} [{value.low:.1%}, {value.high:.1%}]"


def _targets(found: ToolUseResult) -> RenderableType:
    rows = table("target", "wanted", "measured", "", right=("wanted", "measured"))
    for target in found.targets:
        rows.add_row(
            target.name, target.wanted, _value(target), Text(target.state, style=STATES[target.state])
        )
    return rows


def _value(target: Target) -> str:
    if target.value is None:
        return ""
    return f"{target.value:,.0f} ms" if target.wanted.endswith("ms") else f"{target.value:.1%}"


def _speed(found: ToolUseResult) -> str:
    said = []
    if found.latency:
        said.append(f"{found.latency.p50:,.0f} ms an answer (p95 {found.latency.p95:,.0f} ms)")
    if found.answers_per_minute:
        said.append(f"{found.answers_per_minute:,.1f} answers a minute")
    if found.tokens_per_second:
        said.append(f"{found.tokens_per_second:,.1f} tokens a second")
    return ", ".join(said) or "No times were measured."


def context(found: ContextCost) -> RenderableType:
    """Windows, the largest tools, and what could go."""
    shown = f"{found.tokens:,} tokens for {counted(found.together, 'tool')} at once with {found.model}, tools given"
    parts: list[RenderableType] = [
        Text(f"{shown} {'by the chat template' if found.calling == 'native' else 'in the system prompt'}")
    ]
    if found.median_tokens != found.tokens:
        parts.append(
            Text(
                f"That is the largest prompt; the tools of half of the rows take {found.median_tokens:,} or less."
            )
        )
    windows = table("window", "taken", "", right=("window", "taken"))
    for one in found.windows:
        name = f"{one.window:,}{' (its own)' if one.of_the_model else ''}"
        windows.add_row(name, f"{one.share:.1%}", Text(one.fit, style=FITS[one.fit]))
    costs = table(
        "tool", "tokens", "share", "calls in the data", right=("tokens", "share", "calls in the data")
    )
    for cost in found.tools[:20]:
        costs.add_row(
            cost.name, f"{cost.tokens:,}", f"{cost.share:.1%}", "" if cost.used is None else f"{cost.used:,}"
        )
    parts += [windows, Text(), costs]
    if len(found.tools) > 20:
        parts.append(Text(f"and {len(found.tools) - 20} smaller ones", style="dim"))
    if found.prune:
        prune = table("could go", "why", "saves", right=("saves",))
        for one in found.prune:
            prune.add_row(clip(", ".join(one.tools), 60), one.reason, f"{one.tokens:,}")
        parts += [Text(), prune]
    if found.saved:
        parts += [Text(), Text(f"Kept in {found.saved}")]
    return Group(*parts)
