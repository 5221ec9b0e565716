"""Data: what was read and kept, what the checks found, what was mended."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from nlp_skills.errors import counted
from nlp_skills.tables.grid import filled, short, table

if TYPE_CHECKING:
    from nlp_skills.data.fix import FixReport
    from nlp_skills.data.history import Restored, SnapshotList
    from nlp_skills.data.report import ValidationReport
    from nlp_skills.data.snapshot import DataSnapshot

LEVELS = {"error": "bold red", "warning": "yellow", "info": "cyan"}


def splits(found: DataSnapshot) -> RenderableType:
    """The splits with their labels."""
    labels = sorted({label for split in found.splits.values() for label in split.label_counts})
    shown = labels if len(labels) <= 10 else []
    rows = table("split", "rows", *shown, "sha256", right=("rows", *shown), less=("sha256",))
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
    if len(found.sources) > 1 or any(
        source.dropped or source.unusable or source.used not in (None, source.rows)
        for source in found.sources.values()
    ):
        parts += [Text(), yields(found)]
    return Group(*parts, *([Text(), Text(changes)] if changes else []), *warnings(found.warnings))


def yields(found: DataSnapshot) -> Table:
    """What each source gave, and what was left of it."""
    others = {
        name: source.rows - source.unusable - source.dropped - source.used
        for name, source in found.sources.items()
        if source.used is not None
    }
    # Rows that a fix dropped, or that no side of a split in numbers had room for.
    more = [] if not any(others.values()) else ["by fixes" if found.fixes else "not needed"]
    counts = ["read", "unusable", "dropped", *more, "used"]
    rows = table("source", *counts, right=counts)
    for name, source in found.sources.items():
        told = [f"{count:,}" for count in (source.rows, source.unusable, source.dropped)]
        told += [f"{others[name]:,}" if name in others else "" for _ in more]
        rows.add_row(name, *told, "" if source.used is None else f"{source.used:,}")
    return rows


def warnings(told: Iterable[str]) -> list[Text]:
    """Each on a line of its own, below what they are about."""
    lines = [Text(f"Warning: {warning}", style=LEVELS["warning"]) for warning in told]
    return [Text(), *lines] if lines else []


def snapshots(found: SnapshotList) -> RenderableType:
    """The present data first, then what was kept."""
    rows = filled(
        (
            {
                "snapshot": kept.name,
                "fetched (UTC)": kept.date[:16].replace("T", " "),
                **{split: f"{count:,}" for split, count in kept.rows.items()},
                "versions": ", ".join(kept.versions),
                "state": "edited by hand" if kept.edited else "",
            }
            for kept in found.snapshots
        ),
        right=("train", "valid", "test"),
        whole=("snapshot", "fetched (UTC)"),
    )
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
    """By check what was changed and dropped, with the first rows before and after; what to do with it."""
    parts: list[RenderableType] = []
    for check, count in found.fixes.items():
        done = [f"{n:,} {word}" for n, word in ((count.changed, "changed"), (count.dropped, "dropped")) if n]
        masked = (
            f" ({counted(count.masked, 'row')} of them only after personal data or keys were masked in it)"
            if count.masked
            else ""
        )
        parts.append(Text.assemble((f"{check} ", "bold"), f"{' and '.join(done)}{masked}:"))
        for row in count.rows:
            said = "dropped, after masking: " if row.masked else "dropped: " if row.after is None else ""
            lines = [f"    {row.file}:{row.line}  {said}{short(row.before, 160)}"]
            lines += [f"      → {short(row.after, 160)}"] if row.after is not None else []
            parts += [Text(line, overflow="ellipsis", no_wrap=True) for line in lines]
        parts.append(Text())
    rows = ", ".join(f"{file} {before:,} → {after:,}" for file, (before, after) in found.rows.items())
    if not found.fixes:
        told = "Nothing to mend: the rows are as they were."
    elif found.applied:
        told = f"Done ({rows} rows). The data before are kept: nlp-skills list-snapshots shows them."
    else:
        told = (
            f"Nothing is changed yet: the mended rows are in data/fixed/ ({rows}). Make them the data with:"
        )
    parts.append(Text(told, style="bold"))
    if found.apply_with:
        parts.append(Text(f"    {found.apply_with}", no_wrap=True, overflow="ignore"))
    if found.idle:
        parts += [Text(), Text("Nothing was done for:")]
        parts += [Text(f"    {check}: {why}") for check, why in found.idle.items()]
    return Group(*parts)


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
    page = [Text(), Text(f"As a page: {found.page}", no_wrap=True, overflow="ignore")] if found.page else []
    return Group(*parts, *page)
