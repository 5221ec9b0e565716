"""What a model reaches in public benchmarks, beside another model where one was named."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.text import Text

from nlp_skills.evaluation.figures import show_change, show_p, show_value
from nlp_skills.tables.grid import table

if TYPE_CHECKING:
    from nlp_skills.evaluation.benchmarks.record import BenchmarkResult, SuiteChange, SuiteScore


def benchmark(found: BenchmarkResult) -> RenderableType:
    """Suites below each other, then the changes, then what to make of them."""
    asked = "as plain text" if found.settings.get("plain") else "as a chat, end tokens counted"
    parts: list[RenderableType] = [
        Text(f"{found.model}: lm-evaluation-harness {found.harness}, {asked}", style="dim"),
        _scores(found),
    ]
    if found.changes:
        parts += [Text(), _changes(found)]
    if found.sanity.verdict != "ok":
        parts += [Text(), Text(f"{found.sanity.verdict}: {found.sanity.reason}", style="bold red")]
    return Group(*parts, Text(), Text(f"All rows: {found.file.removesuffix('json')}jsonl"))


def _scores(found: BenchmarkResult) -> RenderableType:
    heads = ("value", "± (standard error)", "rows", "examples shown")
    rows = table("suite", "metric", *heads, right=heads)
    for one in found.scores:
        stderr = "" if one.stderr is None else f"{one.stderr:.4f}"
        shown = "" if one.few_shot is None else str(one.few_shot)
        rows.add_row(one.suite, _metric(one), show_value(one.value, ".4f"), stderr, f"{one.count:,}", shown)
    return rows


def _changes(found: BenchmarkResult) -> RenderableType:
    heads = (found.against or "", found.reference, "change (95 %)", "p")
    rows = table("suite", "metric", *heads, right=heads)
    for one in found.changes:
        value, low, high = (
            show_change(v, ".4f") for v in (one.change.value, one.change.low, one.change.high)
        )
        rows.add_row(
            one.suite,
            _metric(one),
            show_value(one.before, ".4f"),
            show_value(one.after, ".4f"),
            f"{value} ({low} to {high})",
            show_p(one.p_value).removeprefix("p ").removeprefix("= "),
        )
    return rows


def _metric(one: SuiteScore | SuiteChange) -> str:
    """With what the harness did to the answers before: gsm8k has the same metric twice."""
    return one.metric if one.filter == "none" else f"{one.metric} ({one.filter})"
