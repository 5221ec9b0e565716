"""Results as people read them: one renderer for each record that deserves a table, YAML for the others."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from nlp_skills.errors import counted
from nlp_skills.records import Record

if TYPE_CHECKING:
    from nlp_skills.data.fix import FixReport
    from nlp_skills.data.history import Restored, SnapshotList
    from nlp_skills.data.report import ValidationReport
    from nlp_skills.data.snapshot import DataSnapshot
    from nlp_skills.data.sourcing import Preview
    from nlp_skills.data.token_view import PreviewedRow, TokenPreview, TokenRun
    from nlp_skills.evaluation.results import EvalResult, Interval, Score
    from nlp_skills.pipeline import Examples, Outcome
    from nlp_skills.task.comparison import ChangedRow, Comparison
    from nlp_skills.task.index import TaskList
    from nlp_skills.task.version import Version
    from nlp_skills.training.overview import TaskOverview

LEVELS = {"error": "bold red", "warning": "yellow", "info": "cyan"}
VERDICTS = {"better": "bold green", "worse": "bold red", "cannot tell": "bold yellow"}


def show(record: Record) -> None:
    """Print a record to standard output."""
    # No markup, no emoji codes: a text of the user's that says "[/INST]" or ":tea:" is shown as it is.
    Console(highlight=False, markup=False, emoji=False).print(render(record), crop=False)


def render(record: Record) -> RenderableType:
    """The record as something that rich prints."""
    renderer = RENDERERS.get(type(record).__name__)
    return renderer(record) if renderer else Text(record.to_bytes(".yaml").decode().rstrip())


def table(*columns: str, title: str | None = None, right: Iterable[str] = ()) -> Table:
    """A plain table; columns named in `right` hold numbers."""
    made = Table(
        title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False
    )
    for column in columns:
        made.add_column(column, justify="right" if column in right else "left", overflow="fold")
    return made


def interval(value: Interval) -> str:
    """`0.871 (0.82–0.91)`."""
    return f"{value.value:.3f} ({value.low:.2f}–{value.high:.2f})"


def task_list(found: TaskList) -> RenderableType:
    """All tasks, the broken ones with their reason."""
    if not found.tasks and not found.unreadable:
        return Text(f"No task in {found.home} yet. See the whole way once with: nlp-skills quickstart")
    rows = table(
        "task",
        "type",
        "status",
        "versions",
        "latest",
        "metric",
        "best",
        "target",
        right=("versions", "best", "target"),
    )
    for task in found.tasks:
        best = "" if task.best_value is None else f"{task.best_value:.3f} ({task.best})"
        target = "" if task.target is None else f"{task.target:g}"
        rows.add_row(
            task.name,
            str(task.type),
            task.status,
            str(task.versions),
            task.latest or "",
            task.metric,
            best,
            target,
        )
    broken = [Text(f"{name}: {reason}", style="red") for name, reason in found.unreadable.items()]
    return Group(rows, *broken)


def task_overview(found: TaskOverview) -> RenderableType:
    """One task at a glance."""
    task = found.task
    target = "" if task.target is None else f", target {task.target:g}"
    rows = ", ".join(f"{name} {count}" for name, count in found.rows.items()) or "none yet"
    head = table("", "")
    for name, value in (
        ("task", f"{task.name} ({task.type})"),
        ("goal", task.goal),
        ("metric", f"{task.chosen_metric}{target}"),
        ("data", f"{rows}; {found.validation}"),
        ("folder", found.folder),
    ):
        head.add_row(Text(name, style="bold"), value)
    head.show_header = False
    parts: list[RenderableType] = [head]
    if found.versions:
        versions = table("version", "from", "training", "results", "changes")
        for v in found.versions:
            results = ", ".join(f"{name} {value:.3f}" for name, value in v.results.items())
            versions.add_row(v.version, v.parent or "", v.training, results, "; ".join(v.changes))
        parts += [Text(), versions]
    return Group(*parts, Text(), Text(f"Next: {found.next}", style="bold"))


def splits(found: DataSnapshot) -> RenderableType:
    """The splits with their labels."""
    labels = sorted({label for split in found.splits.values() for label in split.label_counts})
    shown = labels if len(labels) <= 10 else []
    rows = table("split", "rows", *shown, "sha256", right=("rows", *shown))
    for name, split in found.splits.items():
        counts = [str(split.label_counts.get(label, 0)) for label in shown]
        rows.add_row(name, str(split.count), *counts, split.sha256[:12])
    return rows


def snapshot(found: DataSnapshot) -> RenderableType:
    """The splits, and what changed."""
    dropped = [
        counted(count, noun)
        for count, noun in (
            (found.duplicates_dropped, "duplicate"),
            (found.near_duplicates_dropped, "near-duplicate"),
            (found.conflicts_dropped, "conflicting row"),
        )
        if count
    ]
    fixed = [f"{check} {count:,}" for check, count in found.fixes.items() if count]
    told = [
        found.against,
        f"Dropped: {', '.join(dropped)}." if dropped else "",
        f"Rows that fixes touched: {', '.join(fixed)}." if fixed else "",
        "Edited files that are replaced are kept: nlp-skills list-snapshots shows them."
        if found.before_edited
        else "",
    ]
    changes = " ".join(sentence for sentence in told if sentence)
    parts: list[RenderableType] = [splits(found)]
    if len(found.sources) > 1 or any(source.dropped or source.unusable for source in found.sources.values()):
        parts += [Text(), yields(found)]
    return Group(*parts, *([Text(), Text(changes)] if changes else []), *warnings(found.warnings))


def yields(found: DataSnapshot) -> Table:
    """What each source gave, and what was left of it."""
    rows = table(
        "source", "read", "unusable", "dropped", "used", right=("read", "unusable", "dropped", "used")
    )
    for name, source in found.sources.items():
        used = "" if source.used is None else f"{source.used:,}"
        rows.add_row(name, f"{source.rows:,}", f"{source.unusable:,}", f"{source.dropped:,}", used)
    return rows


def warnings(told: Iterable[str]) -> list[Text]:
    """Each on a line of its own, below what they are about."""
    lines = [Text(f"Warning: {warning}", style=LEVELS["warning"]) for warning in told]
    return [Text(), *lines] if lines else []


def snapshots(found: SnapshotList) -> RenderableType:
    """The present data first, then what was kept."""
    rows = table("snapshot", "fetched", "rows", "versions", "")
    rows.columns[0].no_wrap = True
    for kept in found.snapshots:
        counts = ", ".join(f"{split} {count:,}" for split, count in kept.rows.items())
        edited = "edited by hand" if kept.edited else ""
        rows.add_row(kept.name, kept.date[:10], counts, ", ".join(kept.versions), edited)
    if not found.snapshots:
        return Text(f"{found.task} has no data yet. Make it with: nlp-skills regenerate-data {found.task}")
    told = f"Bring one back with: nlp-skills restore-data {found.task} SNAPSHOT"
    return Group(rows, *([Text(), Text(told)] if len(found.snapshots) > 1 else []))


def restored(found: Restored) -> RenderableType:
    """Which data lie there now, and where those of before are."""
    if found.kept:
        told = f"Restored {found.restored}; the data before is kept as {found.kept}."
    else:
        told = f"Restored {found.restored}."
    return Group(splits(found.snapshot), Text(), Text(told, style="bold"))


def fixes(found: FixReport) -> RenderableType:
    """By check what was changed and dropped, with the first rows; what to do with it."""
    parts: list[RenderableType] = []
    for check, count in found.fixes.items():
        done = [f"{n:,} {word}" for n, word in ((count.changed, "changed"), (count.dropped, "dropped")) if n]
        parts.append(Text.assemble((f"{check} ", "bold"), f"{' and '.join(done)}:"))
        for row in count.rows:
            after = " (dropped)" if row.after is None else f" → {_short(row.after, 60)}"
            line = f"    {row.file}:{row.line}  {_short(row.before, 60)}{after}"
            parts.append(Text(line, overflow="ellipsis", no_wrap=True))
        parts.append(Text())
    rows = ", ".join(f"{file} {before:,} → {after:,}" for file, (before, after) in found.rows.items())
    if not parts:
        told = "Nothing to mend: the rows are as they were."
    elif found.applied:
        told = f"Done ({rows} rows). The data before are kept: nlp-skills list-snapshots shows them."
    else:
        told = f"Nothing is changed yet: the mended rows are in data/fixed/ ({rows}). Make them the data with --apply."
    return Group(*parts, Text(told, style="bold"))


def validation(found: ValidationReport) -> RenderableType:
    """The verdict first, then what was found and how to mend it."""
    rows = ", ".join(f"{name} {count:,}" for name, count in found.files.items())
    warned = any(finding.level == "warning" for finding in found.findings)
    good = "bold yellow" if warned or found.not_run else "bold green"
    head = Text(found.verdict, style=good if found.passed else "bold red")
    parts: list[RenderableType] = [Text.assemble(head, f"  ({rows})")]
    order = list(LEVELS)
    for finding in sorted(found.findings, key=lambda finding: order.index(finding.level)):
        parts.append(Text())
        parts.append(
            Text.assemble((f"{finding.level} {finding.check} ", LEVELS[finding.level]), finding.message)
        )
        parts += [
            Text(f"    {row.file}:{row.line}  {row.text}", overflow="ellipsis", no_wrap=True)
            for row in finding.rows
        ]
        parts.append(Text(f"  → {finding.fix}"))
    silent: dict[str, list[str]] = {}
    for check, said in found.checks.items():
        if said not in ("passed", "found"):
            silent.setdefault(said, []).append(check)
    parts += [Text(), *(Text(f"{check} {told}") for check, told in found.gate.items())] if found.gate else []
    parts += [Text()] if silent else []
    # What should have run and could not stands before what is off or has nothing to look at.
    parts += [
        Text(
            f"{said[:1].upper()}{said[1:]} ({', '.join(ids)})",
            style="yellow" if said.startswith("not run") else "dim",
        )
        for said, ids in sorted(silent.items(), key=lambda item: not item[0].startswith("not run"))
    ]
    if found.looks:
        parts += [Text(), *(Text(look, style="dim") for look in found.looks)]
    return Group(*parts, Text(), Text("As a page: data/validation.html"))


def version(found: Version) -> RenderableType:
    """A version's settings, data and cost; all of it is in its folder."""
    rows = {"train": found.data.train_count, "valid": found.data.valid_count, "test": found.data.test_count}
    shown = table("", "")
    shown.show_header = False
    for name, value in (
        ("version", found.version + (f", from {found.parent}" if found.parent else "")),
        ("changes", "; ".join(found.changes)),
        ("data", ", ".join(f"{side} {count}" for side, count in rows.items())),
        ("settings", ", ".join(f"{key} {value}" for key, value in found.config.items())),
        ("results", ", ".join(f"{metric} {value:.3f}" for metric, value in found.results.items())),
        ("cost", ", ".join(f"{key} {value}" for key, value in found.cost.items())),
    ):
        if value:
            shown.add_row(Text(name, style="bold"), value)
    return shown


def scores(lines: Iterable[tuple[str, dict[str, Interval]]]) -> Table:
    """Predictors beside each other, metrics with their 95 % intervals."""
    lines = list(lines)
    metrics = list(dict.fromkeys(name for _, found in lines for name in found))
    rows = table("", *metrics, right=metrics)
    for name, found in lines:
        rows.add_row(name, *(interval(found[m]) if m in found else "" for m in metrics))
    return rows


def evaluation(found: EvalResult) -> RenderableType:
    """Baselines first, then the model, then its labels."""
    from nlp_skills.evaluation.verdict import baseline_name

    lines = [(baseline_name(name), score.metrics) for name, score in found.baseline.items()]
    parts: list[RenderableType] = [
        Text(f"{found.count} rows of {found.split}, 95 % intervals in brackets", style="dim"),
        scores([*lines, (found.model or "the tuned model", found.metrics)]),
    ]
    if found.per_label and len(found.per_label) <= 30:
        parts += [Text(), per_label(found)]
    if found.latency:
        parts += [Text(), Text(f"{found.latency.p50:.0f} ms a row (p95 {found.latency.p95:.0f} ms)")]
    return Group(*parts)


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
    """The verdict with its reason, what was changed, and the rows that changed sides."""
    from nlp_skills.evaluation.verdict import show_p

    parts: list[RenderableType] = [
        Text.assemble(f"{found.b} against {found.a}: ", (found.verdict, VERDICTS[found.verdict])),
        Text(found.reason[:1].upper() + found.reason[1:]),
    ]
    if found.p_value is not None:
        parts.append(Text(f"McNemar's exact test: {show_p(found.p_value)}"))
    changes = [f"{name}: {a} → {b}" for name, (a, b) in found.config_changes.items()]
    if found.data_changed:
        changes.append("the data")
    parts.append(Text("Changed: " + ("; ".join(changes) or "nothing")))
    for title, rows in (("Fixed", found.fixed_rows), ("Broken", found.broken_rows)):
        if rows:
            parts += [Text(), changed_rows(title, found, rows)]
    return Group(*parts)


def changed_rows(title: str, found: Comparison, rows: list[ChangedRow]) -> Table:
    """Rows on which the versions disagree."""
    made = table("row", "input", "expected", found.a, found.b, title=title)
    for row in rows[:5]:
        made.add_row(row.id, _short(row.input, 100), row.expected, _short(row.a, 40), _short(row.b, 40))
    return made


def preview(found: Preview) -> RenderableType:
    """The first rows and the example that the first becomes."""
    columns = list(dict.fromkeys(key for row in found.rows for key in row))[:8]
    rows = table(*columns)
    for row in found.rows:
        rows.add_row(*(_short(row.get(column)) for column in columns))
    said = [
        Text.assemble((f"{m['role']}: ", "bold"), _short(m.get("content") or m.get("tool_calls"), 300))
        for m in found.example
    ]
    roles = ", ".join(f"{part} = {column}" for part, column in found.columns.items())
    return Group(Text(f"{found.source}: {found.reason} ({roles})"), Text(), rows, Text(), *said)


def _short(value: Any, length: int = 80) -> str:
    text = "" if value is None else str(value)
    return text if len(text) <= length else text[: length - 1] + "…"


def outcome(found: Outcome) -> RenderableType:
    """The closing table, what it means, and what to do next."""
    minutes, seconds = divmod(round(found.seconds), 60)
    parts: list[RenderableType] = [
        Text(),
        scores((line.name, line.metrics) for line in found.scores),
        Text(),
        Text(found.advice),
    ]
    if found.comparison:
        parts += [Text(), comparison(found.comparison)]
    parts += [Text(), Text(f"Done in {minutes} min {seconds} s. Next:", style="bold")]
    return Group(*parts, *(Text(f"  {step}") for step in found.next))


def examples(found: Examples) -> RenderableType:
    """Commands under what they are for."""
    parts: list[RenderableType] = []
    for purpose, commands in found.commands.items():
        parts += [
            Text(purpose, style="bold"),
            # Longer than the terminal is wide or not: a command that is cut cannot be copied.
            *(Text(f"  {command}", no_wrap=True, overflow="ignore") for command in commands),
            Text(),
        ]
    return Group(*parts[:-1])


class TokenText:
    """A row's tokens: coloured, or in plain text with [[…]] around what is trained and {{…}} around what is cut."""

    def __init__(self, found: TokenPreview, row: PreviewedRow) -> None:
        self._found, self._row = found, row

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        from nlp_skills.data.token_view import pieces

        shown, last = Text(), None
        plain = console.color_system is None or console.no_color
        for run, text, mark in pieces(self._found, self._row):
            if plain and run is not last:
                shown.append(_brackets(last, closing=True) + _brackets(run, closing=False))
            style = ("bold " if mark else "") + ("green underline" if run.trained else "bright_black")
            named = f"({TOKEN_MARKS[mark]})" if mark in TOKEN_MARKS else ""
            shown.append(text + named, "" if plain else style + (" strike" if run.cut else ""))
            last = run
        if plain:
            shown.append(_brackets(last, closing=True))
        yield shown


TOKEN_MARKS = {"end": "EOS", "begin": "BOS"}


def _brackets(run: TokenRun | None, *, closing: bool) -> str:
    if run is None:
        return ""
    cut, trained = ("}}", "]]") if closing else ("{{", "[[")
    signs = [cut if run.cut else "", trained if run.trained else ""]
    return "".join(reversed(signs) if closing else signs)


def token_preview(found: TokenPreview) -> RenderableType:
    """A legend, then each row: its counts and its text."""
    from nlp_skills.data.token_view import visible

    legend = Text(
        "Underlined, or between [[ and ]], is what the model learns to write; the rest it is given. Struck through,"
        f" or between {{{{ and }}}}, lies beyond max_length {found.max_length:,}.",
        style="dim",
    )
    parts: list[RenderableType] = [legend, *(Text(note, style="dim") for note in found.notes)]
    for row in found.rows:
        cut = f", {row.cut:,} cut" if row.cut else ""
        said = row.problem or f"{counted(row.tokens, 'token')}, {row.trained:,} trained{cut}"
        parts += [Text(), Text.assemble((f"{found.file}:{row.line}  {visible(row.id)}  ", "bold"), said)]
        if row.runs:
            parts.append(TokenText(found, row))
    return Group(*parts, Text(), Text(f"In full: {found.page}"))


RENDERERS: dict[str, Callable[[Any], RenderableType]] = {
    "TaskList": task_list,
    "TaskOverview": task_overview,
    "DataSnapshot": snapshot,
    "SnapshotList": snapshots,
    "Restored": restored,
    "FixReport": fixes,
    "ValidationReport": validation,
    "EvalResult": evaluation,
    "Comparison": comparison,
    "Preview": preview,
    "Outcome": outcome,
    "Examples": examples,
    "Version": version,
    "TokenPreview": token_preview,
}
"""By the record's name, so that nothing is imported that is not shown."""
