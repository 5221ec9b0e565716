"""The raw rows of all sources → train, valid and test and their snapshot, in a staging folder.

    raw/*.jsonl ──convert──▶ lines ──merge──▶ which stay ──split──▶ sides ──read again──▶ {train,valid,test}.jsonl

Only identities of the rows are in memory, 100 bytes each; the lines are read again in the order in
which they are written.
"""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from nlp_skills.data.archive import is_same_data
from nlp_skills.data.convert import Conversion, convert_source, find_labels, read_layout, require_one_shape
from nlp_skills.data.difference import Named, compare_rows, read_named, same_lines
from nlp_skills.data.fixes import apply_fixes
from nlp_skills.data.format import Layout, instruction
from nlp_skills.data.identity import Identities, key_of
from nlp_skills.data.merge import Merged, merge_rows
from nlp_skills.data.partitions import SIZE, Where
from nlp_skills.data.present import describe_data, hash_files
from nlp_skills.data.replacement import UNFINISHED
from nlp_skills.data.snapshot import DataSnapshot, SourceSnapshot
from nlp_skills.data.sources.source import SPLITS, DataSources
from nlp_skills.data.split import NO_SIDE, choose_sides
from nlp_skills.data.writing import Lines, describe_split, write_splits
from nlp_skills.data.yields import count_again, count_yields, warn_of
from nlp_skills.records import Progress, to_json
from nlp_skills.task.task import Task

ONE_PROCESS = 4 * SIZE
"""Bytes of raw rows up to which starting other processes takes longer than the work."""


@dataclass
class Steps:
    """How far a piece of work is."""

    message: str
    total: int
    progress: Progress
    done: int = 0

    def add(self, count: int) -> None:
        """So much more is done."""
        self.done += count
        self.progress(self.message, self.done, self.total)


def assemble_data(
    data: Path,
    definition: Task,
    sources: DataSources,
    fetched: dict[str, SourceSnapshot],
    staging: Path,
    progress: Progress,
    *,
    ray: bool,
) -> tuple[DataSnapshot, Task]:
    """Write the splits and their snapshot into `staging`, whose `raw` folder holds the rows; nothing else stays there.

    `data` holds the data before, which are compared. Gives the snapshot, and the task with the labels that
    were found. Raises NotValid for rows that cannot be converted or divided.
    """
    raw = (staging / "raw").resolve()  # other processes may work in another folder
    progress("converting rows", 0, None)
    where = _where(raw, ray=ray)
    layouts = {s.name: read_layout(s, raw, definition) for s in sources.sources}
    require_one_shape(layouts)
    given, definition = definition, _with_labels(definition, sources, layouts, raw, where)
    conversions = [
        Conversion(source, layouts[source.name], definition, sources.split.seed) for source in sources.sources
    ]
    converting = Steps("converting rows", sum(source.rows for source in fetched.values()), progress)
    converted: dict[str, range] = {}
    with _converted(conversions, raw, where, converted, converting, skip=sources.skip_bad_rows) as lines:
        known = lines.known
        progress("dividing rows", 0, None)
        merged = merge_rows(known, sources, lambda row: lines.example(row).input_text)
        sides = _sides(lines, merged, sources, converted)
        splits = write_splits(lines, sides, staging, progress)
    yields = count_yields(fetched, sources, converted, merged.kept, sides)
    fixed = apply_fixes(staging, sources.fixes, definition, progress) if sources.fixes else {}
    if fixed:
        splits = {name: describe_split(staging / f"{name}.jsonl") for name in SPLITS}
        yields = count_again(yields, staging)
    before = describe_data(data, hash_files(data))
    snapshot = DataSnapshot(
        source_hash=hash_sources(fetched, sources, definition),
        sources={name: source.with_changes(id=layouts[name].columns.id) for name, source in yields.items()},
        splits=splits,
        seed=sources.split.seed,
        duplicates_dropped=merged.duplicates,
        near_duplicates_dropped=merged.near_duplicates,
        conflicts_dropped=merged.conflicts,
        before=before.source_hash if before else None,
        before_edited=before is not None and before.edited,
        fixes={check: count.changed + count.dropped for check, count in fixed.items()},
        warnings=warn_of(yields, splits, sources, layouts, given.labels if given.type.has_labels else []),
    )
    if before is not None and (data / UNFINISHED).is_file() and is_same_data(before, snapshot):
        # A run that was cut off has put these data in place: they are still compared with those before it.
        told = before.model_dump(include={"before", "before_edited", "added", "removed", "changed", "moved"})
        snapshot = snapshot.model_copy(update=told)
    elif before is None or before.splits != splits:
        by_line = same_lines(before, snapshot)
        rows = read_named(staging, snapshot, by_line) if fixed or by_line else _named(known, sides)
        difference = compare_rows(read_named(data, before, by_line), rows)
        snapshot = snapshot.model_copy(update=vars(difference))
    return snapshot.save(staging / "data_snapshot.json"), definition


def _where(raw: Path, *, ray: bool) -> Where:
    if ray:
        return "ray"
    return "cores" if sum(file.stat().st_size for file in raw.iterdir()) > ONE_PROCESS else "here"


def _with_labels(
    definition: Task, sources: DataSources, layouts: dict[str, Layout], raw: Path, where: Where
) -> Task:
    """A task without labels gets those that its data has: every prompt lists them."""
    if not definition.type.has_labels or definition.labels:
        return definition
    found: set[str] = set()
    for source in sources.sources:
        conversion = Conversion(source, layouts[source.name], definition, sources.split.seed)
        found |= find_labels(conversion, raw / f"{source.name}.jsonl", where)
    return definition.with_changes(labels=sorted(found))


@contextmanager
def _converted(
    conversions: list[Conversion],
    raw: Path,
    where: Where,
    converted: dict[str, range],
    steps: Steps,
    *,
    skip: bool,
) -> Iterator[Lines]:
    """The examples of all sources as lines of a file that is gone afterwards; `converted` gets each source's rows."""
    file = raw.parent / "lines"
    known = Identities(conversions[0].seed)
    try:
        file.touch()
        for conversion in conversions:
            first, source = len(known), conversion.source
            from_raw = raw / f"{source.name}.jsonl"
            for rows in convert_source(conversion, from_raw, file, known, where, skip=skip):
                steps.add(rows)
            converted[source.name] = range(first, len(known))
        with file.open("rb", buffering=0) as stream:
            yield Lines(stream, known)
    finally:
        file.unlink(missing_ok=True)


def _sides(lines: Lines, merged: Merged, sources: DataSources, converted: dict[str, range]) -> bytearray:
    """The side of each row, as choose_sides gives it; rows of a pinned source are where it says."""
    free = bytearray(merged.kept)
    pinned = [(source.side, converted[source.name]) for source in sources.sources if source.side is not None]
    for _, rows in pinned:
        free[rows.start : rows.stop] = bytes(len(rows))
    sides = bytearray([NO_SIDE]) * len(lines.known)
    divided = array("I", (row for row, is_free in enumerate(free) if is_free))
    if divided:
        sides = choose_sides(
            lines.known,
            divided,
            sources.split,
            lambda row: lines.example(row).meta.group or "",
            lambda row: lines.example(row).input_text,
        )
    for name, rows in pinned:
        for row in (row for row in rows if merged.kept[row]):
            sides[row] = SPLITS.index(name)
    return sides


def hash_sources(fetched: dict[str, SourceSnapshot], sources: DataSources, task: Task) -> str:
    """What the splits follow from: the raw rows and the settings that turn them into splits."""
    parts = {
        "sources": {name: source.sha256 for name, source in sorted(fetched.items())},
        "columns": {s.name: [s.columns.model_dump(), s.side, s.max_rows] for s in sources.sources},
        "settings": [sources.deduplicate, sources.skip_bad_rows, sources.split.model_dump()],
        "merge": [sources.near_duplicates, sources.conflicts, sources.fixes],
        "instruction": instruction(task),
        "order": "by row",
    }
    return hashlib.sha256(to_json(parts)).hexdigest()


def _named(known: Identities, sides: bytearray) -> Named:
    """The rows that stand in the splits, without reading them again."""
    found = Named()
    for row, side in enumerate(sides):
        if side != NO_SIDE:
            found.names += key_of(known.name, row)
            found.contents += key_of(known.content, row)
            found.sides.append(side)
    return found
