"""Versions: their settings, how good they are, and whether one is better than another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nlp_skills.errors import counted
from nlp_skills.evaluation.figures import show_interval, show_p, show_signed
from nlp_skills.tables.grid import short, table

if TYPE_CHECKING:
    from nlp_skills.evaluation.promotion import Promotion
    from nlp_skills.evaluation.results import EvalResult, Interval, Score
    from nlp_skills.evaluation.test_size import TestSize
    from nlp_skills.task.comparison import ChangedRow, Comparison, SliceChange
    from nlp_skills.task.version import Version

VERDICTS = {"better": "bold green", "worse": "bold red", "cannot tell": "bold yellow"}


def version(found: Version) -> RenderableType:
    """A version's settings, data and cost; all of it is in its folder."""
    rows = {"train": found.data.train_count, "valid": found.data.valid_count, "test": found.data.test_count}
    shown = table("", "")
    shown.show_header = False
    for name, value in (
        ("version", found.version + (f", from {found.parent}" if found.parent else "")),
        ("changes", "; ".join(found.changes)),
        ("data", ", ".join(f"{side} {count}" for side, count in rows.items())),
        ("settings", ", ".join(f"{key} {value}" for key, value in told_settings(found.config).items())),
        ("results", ", ".join(f"{metric} {value:.3f}" for metric, value in found.results.items())),
        ("cost", ", ".join(f"{key} {value}" for key, value in found.cost.items())),
    ):
        if value:
            shown.add_row(Text(name, style="bold"), value)
    return shown


SETTINGS = (
    "base_model",
    "method",
    "peft",
    "lora_r",
    "epochs",
    "learning_rate",
    "per_device_train_batch_size",
)
"""Those that are told in any case."""


def told_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that people choose first, and every other that is not as it would be by itself."""
    from nlp_skills.training.config import TrainConfig

    told = {name: config[name] for name in SETTINGS if name in config}
    if told.get("peft") == "none":
        told.pop("lora_r", None)
    usual = {
        name: field.get_default(call_default_factory=True) for name, field in TrainConfig.model_fields.items()
    }
    return told | {
        name: value for name, value in config.items() if name not in SETTINGS and value != usual.get(name)
    }


SHOWN_METRICS = 2
"""Columns of the table of scores; results.json has all metrics."""


def scores(lines: Iterable[tuple[str, dict[str, Interval]]], first: str | None = None) -> Table:
    """Predictors beside each other, with the first metrics and their 95 % intervals; `first` is the one that decides."""
    lines = list(lines)
    named = [first, *(name for _, found in lines for name in found)]
    measured = {name for _, found in lines for name in found}
    metrics = [name for name in dict.fromkeys(named) if name in measured][:SHOWN_METRICS]
    rows = table("", *metrics, right=metrics)
    for name, found in lines:
        rows.add_row(name, *(show_interval(found[m]) if m in found else "" for m in metrics))
    return rows


def evaluation(found: EvalResult) -> RenderableType:
    """Baselines first, then the model, the verdict, and what stands out: labels, kinds of rows, what was left out."""
    from nlp_skills.evaluation.verdict import (
        baseline_name,
        good_enough,
        good_everywhere,
        keeps_knowledge,
        worth_it,
    )

    lines = [(baseline_name(name), score.metrics) for name, score in found.baseline.items()]
    parts: list[RenderableType] = [
        Text(f"{counted(found.count, 'row')} of {found.split}, 95 % intervals in brackets", style="dim"),
        scores([*lines, (found.model or "the tuned model", found.metrics)], found.metric),
    ]
    if found.sane is not None and found.sane.verdict == "harness error":
        parts.insert(0, Text(f"Harness error, not a bad model: {found.sane.reason}", style="bold red"))
    name, metric = found.model or "the tuned model", found.metric or next(iter(found.metrics), "")
    statements = [
        worth_it(name, metric, found),
        good_enough(name, metric, found.target, found),
        keeps_knowledge(name, found),
        good_everywhere(name, found),
    ]
    if found.baseline:
        parts += [Text(), against(found, metric)]
    for statement in statements:
        if statement is not None:
            parts += [Text(), Text.assemble((f"{statement.headline} ", "bold"), statement.reason)]
    if found.per_label and len(found.per_label) <= 30:
        parts += [Text(), per_label(found)]
    if found.latency:
        memory = f", {found.memory_mb / 1024:.1f} GB of memory at most" if found.memory_mb else ""
        parts += [Text(), Text(f"{found.latency.p50:.0f} ms a row (p95 {found.latency.p95:.0f} ms){memory}")]
    for what, why in found.not_measured.items():
        parts.append(Text(f"Not measured: {baseline_name(what)}. {why}"))
    return Group(*parts)


def against(found: EvalResult, metric: str) -> Table:
    """The model against each baseline: better, worse or cannot tell."""
    from nlp_skills.evaluation.against_baselines import against_baselines
    from nlp_skills.evaluation.verdict import baseline_name, metric_name

    rows = table("against", "it is", f"difference in {metric_name(metric)}", "")
    for one in against_baselines(found, metric):
        rows.add_row(
            baseline_name(one.baseline),
            Text(one.verdict, style=VERDICTS[one.verdict]),
            show_signed(one.gain).replace("95 % interval ", ""),
            "" if one.p_value is None else show_p(one.p_value),
        )
    return rows


def per_label(found: Score) -> Table:
    """Precision, recall and F1 of each label."""
    numbers = ("precision", "recall", "F1", "rows")
    rows = table("label", *numbers, right=numbers)
    for label, score in found.per_label.items():
        rows.add_row(
            label, f"{score.precision:.2f}", f"{score.recall:.2f}", f"{score.f1:.2f}", str(score.support)
        )
    return rows


def comparison(found: Comparison) -> RenderableType:
    """The verdict with its reason, what was changed and what it cost, and the rows that changed sides."""
    from nlp_skills.evaluation.verdict import metric_name

    parts: list[RenderableType] = [
        Text.assemble(f"{found.b} against {found.a}: ", (found.verdict, VERDICTS[found.verdict])),
        Text(found.reason[:1].upper() + found.reason[1:]),
    ]
    if found.p_value is not None:
        parts.append(Text(f"McNemar's mid-p test on fixed and broken rows: {show_p(found.p_value)}"))
    changes = [f"{name}: {a} → {b}" for name, (a, b) in found.config_changes.items()]
    if found.data_changed:
        changes.append("the data")
    parts.append(Text("Changed: " + ("; ".join(changes) or "nothing")))
    figures = [f"{metric_name(name)} {a:,.4g} → {b:,.4g}" for name, (a, b) in found.figures.items() if a or b]
    if figures:
        parts.append(Text(f"Measured beside it: {'; '.join(figures)}"))
    if found.forgetting is not None:
        parts.append(
            Text(f"General questions: {found.forgetting.a:.0%} → {found.forgetting.b:.0%} answered rightly")
        )
    for title, changed in (("Worse on", found.worse_slices), ("Better on", found.better_slices)):
        if changed:
            parts += [Text(), slice_changes(title, found, changed)]
    for title, rows in (("Fixed", found.fixed_rows), ("Broken", found.broken_rows)):
        if rows:
            parts += [Text(), changed_rows(title, found, rows)]
    return Group(*parts)


def slice_changes(title: str, found: Comparison, changed: list[SliceChange]) -> Table:
    """Kinds of rows on which the versions differ beyond chance."""
    made = table("kind of rows", "rows", found.a, found.b, "corrected p", title=title, right=("rows",))
    for one in changed:
        made.add_row(one.name, str(one.count), f"{one.a:.3f}", f"{one.b:.3f}", show_p(one.p_value))
    return made


def changed_rows(title: str, found: Comparison, rows: list[ChangedRow]) -> Table:
    """Rows on which the versions disagree."""
    right = found.b if title == "Fixed" else found.a  # what it answered is what was expected, or nearly
    made = table("row", "input", "expected", found.a, found.b, title=title, less=("row", right))
    for row in rows[:5]:
        made.add_row(row.id, short(row.input, 100), row.expected, short(row.a, 40), short(row.b, 40))
    return made


ANSWERS = {"yes": "bold green", "no": "bold red", "cannot tell": "bold yellow"}


def promotion(found: Promotion) -> RenderableType:
    """Each criterion with its answer, then the gate."""
    made = table("criterion", "", "why")
    for one in found.criteria:
        made.add_row(one.criterion, Text(one.answer, style=ANSWERS[one.answer]), one.reason)
    return Group(
        made,
        Text(),
        Text(found.message, style=ANSWERS[found.answer]),
        *cures((one.criterion, one.next) for one in found.criteria),
    )


def cures(found: Iterable[tuple[str, str]]) -> Iterator[Text]:
    """Each command that goes on from a no or a cannot tell, once, with what it is for."""
    wanted: dict[str, list[str]] = {}
    for what, command in found:
        if command:
            wanted.setdefault(command, []).append(what)
    for command, what in wanted.items():
        yield Text(f"{', '.join(what)}: {command}")


def test_size(found: TestSize) -> RenderableType:
    """How many rows, and the plan of a live test beside it."""
    parts: list[RenderableType] = [Text(found.message)]
    if found.live is not None:
        parts += [Text(), Text(found.live.message), Text(f"Users are divided by {found.live.split}")]
    return Group(*parts)
